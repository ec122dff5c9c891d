"""The REST API: HTTP in front of the core's use cases."""
