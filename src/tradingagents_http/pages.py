"""Responses with pages of strategies: bounded memory, and no endless wait for slow clients."""

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
"""The most bytes of a strategy in UTF-8. Texts with characters beyond ASCII take more memory, which is counted after
they have been read."""

PAGES_MAX_BYTES: Final = 256 * 1024 * 1024
"""The most bytes that all pages of an application may take together while they are read and sent."""

WHOLE_MAX_BYTES: Final = 1024 * 1024
"""The most bytes of a page that is written in one step."""

PIECE_BYTES: Final = 256 * 1024
"""The size of the pieces of a larger page. Other requests are served between two pieces."""

ROOM_SECONDS: Final = 2
"""How long a page waits for free memory before the response is 503."""

SEND_SECONDS: Final = 30
"""How long a client may take to read a piece before the response is aborted."""

SLOWEST_BYTES_PER_SECOND: Final = 32 * 1024
"""The lowest average speed of a client. A slower client could hold memory for hours."""

_log: Final = logging.getLogger(__name__)


class PageRoom:
    """The memory that all pages of an application may take together. Waiting pages are served in order of arrival."""

    def __init__(self, size: int = PAGES_MAX_BYTES, *, seconds: float = ROOM_SECONDS) -> None:
        self._size = size
        self._free = size
        self._seconds = seconds
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def bounded(self, amount: int) -> int:
        """The amount, but at most all of the memory."""
        return min(amount, self._size)

    async def acquire(self, amount: int) -> None:
        """Acquire this many bytes as soon as they are free.

        Raises:
            HTTPException: 503, the bytes have not become free in time.
        """
        if amount <= self._free and not self._waiting:
            self._free -= amount
            return
        acquired = asyncio.get_running_loop().create_future()
        entry = (amount, acquired)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(self._seconds):
                await acquired
        except BaseException as error:
            if acquired.done() and not acquired.cancelled():
                self.release(amount)
            else:
                # `_serve` removes the entry, too, if bytes become free after the cancellation.
                with suppress(ValueError):
                    self._waiting.remove(entry)
                self._serve()
            if isinstance(error, TimeoutError):
                raise HTTPException(
                    503, "Too many large pages at once; try again shortly", {"Retry-After": "1"}
                ) from None
            raise

    def release(self, amount: int) -> None:
        """Release these bytes for other pages."""
        self._free += amount
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            amount, acquired = self._waiting.popleft()
            if not acquired.done():
                self._free -= amount
                acquired.set_result(None)


class PageAnswer(Response):
    """A page that holds its share of the memory for pages while it is read and sent.

    A page of more than `PAGE_LIMIT_DEFAULT` strategies acquires memory for its largest possible size before it is read,
    and then keeps only its real size. A shorter page is read at once, and acquires memory only if it is large.

    A page of more than `WHOLE_MAX_BYTES` is written in pieces, and other requests are served between two pieces. The
    response is aborted if the client does not read for `SEND_SECONDS`, or reads more slowly than
    `SLOWEST_BYTES_PER_SECOND`.
    """

    def __init__(self, read: Callable[[], Awaitable[Page[Strategy]]], *, limit: int, room: PageRoom) -> None:
        super().__init__()
        self._read = read
        self._room = room
        self._largest = room.bounded(limit * STRATEGY_MAX_BYTES) if limit > PAGE_LIMIT_DEFAULT else 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        held = 0
        try:
            if self._largest:
                await self._room.acquire(self._largest)
                held = self._largest
            page = await self._read()
            size = sum(_memory(item.parameters.json) + _memory(item.description or "") for item in page.items)
            kept = self._room.bounded(size) if size > WHOLE_MAX_BYTES else 0
            if kept > held:
                await self._room.acquire(kept - held)
            else:
                self._room.release(held - kept)
            held = kept
            if size <= WHOLE_MAX_BYTES:
                await page_answer(page)(scope, receive, send)
            else:
                await _send_in_pieces(page, send)
        finally:
            self._room.release(held)


def _memory(text: str) -> int:
    """The most bytes that a text takes in memory: four for each character if the text is not ASCII."""
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
        # The server closes the connection, since the response is incomplete.
        _log.warning(
            "Aborted a page: the client did not read for %g s, or read less than %d bytes/s",
            SEND_SECONDS,
            SLOWEST_BYTES_PER_SECOND,
        )


class _Sender:
    """Sends a response in parts, and lets other tasks run after each part."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun_at = asyncio.get_running_loop().time()
        self._sent = 0

    async def send(self, message: dict[str, Any]) -> None:
        """Send a part.

        Raises:
            TimeoutError: the client has not read the part in time, or has read too slowly so far.
        """
        seconds = self._sent / SLOWEST_BYTES_PER_SECOND
        behind = asyncio.get_running_loop().time() - self._begun_at - seconds
        async with asyncio.timeout(SEND_SECONDS - max(0, behind)):
            await self._send(message)
        self._sent += len(message.get("body", b""))
        await asyncio.sleep(0)
