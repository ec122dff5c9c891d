"""The REST API: the core's use cases over HTTP."""
