"""The objects of the service. They are frozen, and are checked when they are made."""
