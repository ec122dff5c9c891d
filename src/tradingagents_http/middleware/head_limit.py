"""The size limits of headers, path and query."""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from tradingagents_http.errors import error_response

HEAD_MAX_BYTES: Final = 64 * 1024
"""The most bytes that the headers of a request may have."""

HEAD_TOO_LONG: Final = f"The headers should have at most {HEAD_MAX_BYTES} bytes"

TARGET_MAX_LENGTH: Final = 8 * 1024
"""The most characters that path and query of a request may have together. No valid request has as many."""


class HeadLimit:
    """Refuses headers of more than `HEAD_MAX_BYTES` with 431, and path and query of more than
    `TARGET_MAX_LENGTH` with 414.

    Plain uvicorn on httptools has no such limits, and the application's time to read some headers grows with their
    length.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http":
            if len(scope["path"]) + len(scope["query_string"]) > TARGET_MAX_LENGTH:
                app = error_response(414, f"Path and query should have at most {TARGET_MAX_LENGTH} characters")
            elif sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD_MAX_BYTES:
                app = error_response(431, HEAD_TOO_LONG)
        await app(scope, receive, send)
