"""How the application is served: uvicorn, its connections held to HTTP/1.1 (RFC 9112) and to time limits."""
