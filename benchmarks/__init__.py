"""The speed of the service, compared with the speed of its parts and of an ordinary implementation."""
