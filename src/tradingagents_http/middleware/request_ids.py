"""Request ids."""

import re
import secrets
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from tradingagents_http.middleware.headers import add_headers

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")


def new_request_id() -> bytes:
    """A new request id: 16 random hexadecimal digits."""
    return secrets.token_hex(8).encode()


class RequestIds:
    """Gives every request an id, and returns the id in the response as `X-Request-ID`.

    An id from the client or a proxy is kept if it consists of 1 to 128 letters, digits, dots, hyphens and underscores.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = sent if _REQUEST_ID.fullmatch(sent) else new_request_id()
        scope.setdefault("state", {})["request_id"] = request_id.decode()
        headers = ((b"x-request-id", request_id),)
        await self._app(scope, receive, add_headers(send, lambda _: headers))
