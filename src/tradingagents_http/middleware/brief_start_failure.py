"""A start that fails."""

import sys

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradingagents_core.errors import explained


class BriefStartFailure:
    """Lets the server say in one line why the application does not start, where the reason is one of `expected`."""

    def __init__(self, app: ASGIApp, *, expected: tuple[type[Exception], ...]) -> None:
        self._app = app
        self._expected = expected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_briefly(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed" and isinstance(error := sys.exc_info()[1], self._expected):
                message = {**message, "message": explained(error)}
            await send(message)

        await self._app(scope, receive, send_briefly if scope["type"] == "lifespan" else send)
