"""Failures of the start."""

import sys

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradingagents_core.errors import explained


class BriefStartFailure:
    """Makes the server log one line instead of a traceback if the start fails with one of the `expected` errors."""

    def __init__(self, app: ASGIApp, *, expected: tuple[type[Exception], ...]) -> None:
        self._app = app
        self._expected = expected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_briefly(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed" and isinstance(error := sys.exc_info()[1], self._expected):
                message = {**message, "message": explained(error)}
            await send(message)

        await self._app(scope, receive, send_briefly if scope["type"] == "lifespan" else send)
