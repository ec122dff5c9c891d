"""The size limit of request bodies."""

from collections.abc import Mapping

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradingagents_http.errors import error_response


class BodyLimit:
    """Refuses bodies of more than `limit` bytes with 413.

    A body whose `Content-Length` exceeds the limit is refused unread; other bodies are refused while they are read.
    `limits` sets other limits for single paths.
    """

    def __init__(self, app: ASGIApp, *, limit: int, limits: Mapping[str, int]) -> None:
        self._app = app
        self._limit = limit
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limits.get(scope["path"].removeprefix(scope.get("root_path", "")), self._limit)
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > limit:
            await error_response(413, _too_large(limit))(scope, receive, send)
            return
        read = 0

        async def receive_up_to_limit() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise HTTPException(413, _too_large(limit))
            return message

        await self._app(scope, receive_up_to_limit, send)


def _too_large(limit: int) -> str:
    return f"The body should have at most {limit} bytes"
