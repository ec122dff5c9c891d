"""The server: uvicorn with strict HTTP/1.1 (RFC 9112) and time limits."""
