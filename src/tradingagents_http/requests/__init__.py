"""How a request is read: its body, its credentials, where it comes from, its path and query."""
