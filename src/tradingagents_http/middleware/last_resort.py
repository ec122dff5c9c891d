"""Exceptions that no handler answers."""

import asyncio
import logging
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradingagents_http.errors import error_response

_log: Final = logging.getLogger(__name__)


class LastResort:
    """Answers exceptions that no handler has answered with 500, and logs each of them once with its traceback.

    The log line contains the request id, which the client receives as `X-Request-ID` and can report. A request that
    the server cancels during its shutdown is answered with 503.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_and_record_start(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_record_start)
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
