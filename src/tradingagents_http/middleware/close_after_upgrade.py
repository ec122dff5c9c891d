"""Offers of another protocol."""

from typing import Final

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradingagents_http.middleware.headers import RawHeaders, add_headers

_CLOSE: Final[RawHeaders] = ((b"connection", b"close"),)


class CloseAfterUpgrade:
    """Lets no other request follow on a connection on which an upgrade to another protocol was offered.

    No upgrade is taken (RFC 9110, 7.8). But uvicorn on httptools stops to parse where one is offered: the body is lost,
    and what arrives of it later is taken for the next request. So the answer closes the connection, and where a body
    was announced and none has come, it is 400 and says why. `tradingagents serve` reads such requests as they are, and
    offers of upgrades do not reach the application.
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
