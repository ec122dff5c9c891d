"""How a page of strategies is answered, however large it is."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from fastapi import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tradingagents_core.domain.page import PAGE_LIMIT_DEFAULT, Page
from tradingagents_core.domain.parameters import PARAMETERS_MAX_BYTES
from tradingagents_core.domain.strategies import DESCRIPTION_MAX_LENGTH, NAME_MAX_LENGTH, Strategy
from tradingagents_http.answers import json_bytes, page_answer, page_without_items, strategy_fields

STRATEGY_MAX_BYTES: Final = PARAMETERS_MAX_BYTES + 4 * (DESCRIPTION_MAX_LENGTH + NAME_MAX_LENGTH)
"""What a strategy takes at most, in UTF-8. Texts with characters beyond ASCII take more in memory, which is counted
once they have been read."""

PAGES_MAX_BYTES: Final = 256 * 1024 * 1024
"""What the pages that a process reads and sends take together."""

WHOLE_MAX_BYTES: Final = 1024 * 1024
"""A page of fewer bytes is written in one step."""

PIECE_BYTES: Final = 256 * 1024
"""How much of a larger page is written before other requests have their turn."""

ROOM_SECONDS: Final = 2
"""How long a page waits for room before it is answered with 503."""

SEND_SECONDS: Final = 30
"""How long the client may take to read a piece before the answer is given up."""

SLOWEST_BYTES_PER_SECOND: Final = 32 * 1024
"""How fast the client has to read all in all, so that nobody keeps room for hours with one piece now and then."""

_log: Final = logging.getLogger(__name__)


class PageRoom:
    """The bytes that all pages of an application may take together; who comes first is served first."""

    def __init__(self, size: int = PAGES_MAX_BYTES, *, seconds: float = ROOM_SECONDS) -> None:
        self._size = size
        self._free = size
        self._seconds = seconds
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def bounded(self, amount: int) -> int:
        """The amount, or all the room where that is less."""
        return min(amount, self._size)

    async def take(self, amount: int) -> None:
        """Take so many bytes when they are free.

        Raises:
            HTTPException: 503, they have not become free in time.
        """
        if amount <= self._free and not self._waiting:
            self._free -= amount
            return
        taken = asyncio.get_running_loop().create_future()
        entry = (amount, taken)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(self._seconds):
                await taken
        except BaseException as error:
            if taken.done() and not taken.cancelled():
                self.give_back(amount)
            else:
                # Not there any more where the room came after the caller had been cancelled.
                with suppress(ValueError):
                    self._waiting.remove(entry)
                self._serve()
            if isinstance(error, TimeoutError):
                raise HTTPException(
                    503, "Too many large pages at once; try again shortly", {"Retry-After": "1"}
                ) from None
            raise

    def give_back(self, amount: int) -> None:
        """Let others have these bytes."""
        self._free += amount
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            amount, taken = self._waiting.popleft()
            if not taken.done():
                self._free -= amount
                taken.set_result(None)


class PageAnswer(Response):
    """A page that takes its room among all pages while it is read and sent.

    One of more than `PAGE_LIMIT_DEFAULT` strategies is read when there is room for the largest that it can be, and then
    keeps what it really takes; a shorter one is read at once, and takes room only where it is large. A page of more
    than `WHOLE_MAX_BYTES` is written in pieces, between which other requests have their turn. A client that does not
    read on for `SEND_SECONDS`, or reads more slowly than `SLOWEST_BYTES_PER_SECOND`, gets no more of it.
    """

    def __init__(self, read: Callable[[], Awaitable[Page[Strategy]]], *, limit: int, room: PageRoom) -> None:
        super().__init__()
        self._read = read
        self._room = room
        self._most = room.bounded(limit * STRATEGY_MAX_BYTES) if limit > PAGE_LIMIT_DEFAULT else 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        taken = 0
        try:
            if self._most:
                await self._room.take(self._most)
                taken = self._most
            page = await self._read()
            size = sum(_memory(item.parameters.json) + _memory(item.description or "") for item in page.items)
            kept = self._room.bounded(size) if size > WHOLE_MAX_BYTES else 0
            if kept > taken:
                await self._room.take(kept - taken)
            else:
                self._room.give_back(taken - kept)
            taken = kept
            if size <= WHOLE_MAX_BYTES:
                await page_answer(page)(scope, receive, send)
            else:
                await _send_in_pieces(page, send)
        finally:
            self._room.give_back(taken)


def _memory(text: str) -> int:
    """The bytes that a text takes in memory at most: four for each character when one of them needs as many."""
    return len(text) if text.isascii() else 4 * len(text)


async def _send_in_pieces(page: Page[Strategy], send: Send) -> None:
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
    before, after = page_without_items(page)
    piece = bytearray(before)
    sender = _Sender(send)
    try:
        await sender.send(start)
        for number, strategy in enumerate(page.items):
            piece += b"," * bool(number) + json_bytes(strategy_fields(strategy))
            if len(piece) >= PIECE_BYTES:
                await sender.send({"type": "http.response.body", "body": bytes(piece), "more_body": True})
                piece.clear()
        await sender.send({"type": "http.response.body", "body": bytes(piece + after)})
    except TimeoutError:
        # The server closes the connection of an answer that has no end.
        _log.warning(
            "A page is given up, since the client has not read on for %d seconds, or reads slowly", SEND_SECONDS
        )


class _Sender:
    """Sends an answer in parts, and lets others have their turn after each."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun_at = asyncio.get_running_loop().time()
        self._sent = 0

    async def send(self, message: dict[str, Any]) -> None:
        """Send a part.

        Raises:
            TimeoutError: the client has not read it in time, or has read too slowly so far.
        """
        seconds = self._sent / SLOWEST_BYTES_PER_SECOND
        behind = asyncio.get_running_loop().time() - self._begun_at - seconds
        async with asyncio.timeout(SEND_SECONDS - max(0, behind)):
            await self._send(message)
        self._sent += len(message.get("body", b""))
        await asyncio.sleep(0)
