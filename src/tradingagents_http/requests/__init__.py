"""Reading requests: body, credentials, client address, path and query."""
