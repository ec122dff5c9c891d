"""Adding headers to responses."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from starlette.types import Message, Send

RawHeaders: TypeAlias = Sequence[tuple[bytes, bytes]]


def add_headers(send: Send, more: Callable[[RawHeaders], RawHeaders]) -> Send:
    """A `send` that adds headers to the response: `more` returns them for the headers that the response has."""

    async def send_with_more(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            message = {**message, "headers": [*headers, *more(headers)]}
        await send(message)

    return send_with_more
