"""Failures that nothing else answers."""

import asyncio
import logging
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradingagents_http.errors import error_response

_log: Final = logging.getLogger(__name__)


class LastResort:
    """Answers 500 for an exception that nothing else answered, and logs it once with its trace.

    The log line has the id that goes out as `X-Request-ID`, for whoever reports the failure. A request that the server
    cancels when it ends is answered with 503.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except asyncio.CancelledError:
            if started:
                raise
            response = error_response(503, "The server is stopping; try again shortly", {"Retry-After": "1"})
            await response(scope, receive, send)
        except Exception:
            if started:
                raise
            request_id = scope["state"]["request_id"]
            _log.exception("Unexpected error in request %s: %s %r", request_id, scope["method"], scope["path"])
            await error_response(500, "Internal Server Error")(scope, receive, send)
