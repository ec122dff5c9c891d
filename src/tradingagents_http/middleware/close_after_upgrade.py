"""Requests that offer an upgrade to another protocol."""

from typing import Final

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradingagents_http.middleware.headers import RawHeaders, add_headers

_CLOSE: Final[RawHeaders] = ((b"connection", b"close"),)


class CloseAfterUpgrade:
    """Closes the connection after a request that offers an upgrade to another protocol.

    The service accepts no upgrade (RFC 9110, 7.8). But uvicorn on httptools stops parsing at the offer: the body is
    lost, and bytes of the body that arrive later are parsed as the next request. So the response closes the connection.
    If a body was announced but none arrived, the response is 400 and says why. `tradingagents serve` parses such
    requests correctly and hides the offer from the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _offers_upgrade(scope):
            await self._app(scope, receive, send)
            return
        waits_for_body = _announces_body(scope)

        async def receive_unless_lost() -> Message:
            nonlocal waits_for_body
            message = await receive()
            if waits_for_body and not message.get("body"):
                if not message.get("more_body", False):
                    raise HTTPException(
                        400, "The body was lost, since the request offers an upgrade: leave Upgrade out"
                    )
            else:
                waits_for_body = False
            return message

        await self._app(scope, receive_unless_lost, add_headers(send, lambda _: _CLOSE))


def _offers_upgrade(scope: Scope) -> bool:
    return any(name == b"upgrade" for name, _ in scope["headers"])


def _announces_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0").lstrip("0") != ""
