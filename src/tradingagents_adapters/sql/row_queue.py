"""Where writers of one row wait in their process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from tradingagents_core.errors import StoreUnavailable


class RowQueue:
    """Lets one writer of each row through at a time, in the order of their arrival, in one event loop.

    Writers that wait here keep no connection, and cost the server nothing.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds: Final = seconds
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def passed(self, row: str) -> AsyncIterator[None]:
        """A block that one writer of the `row` at a time is in.

        Raises:
            StoreUnavailable: the writers before took too long.
        """
        lock = self._locks.get(row)
        if lock is None:
            lock = self._locks[row] = asyncio.Lock()
            await lock.acquire()
        else:
            await acquire_within(lock, self._seconds, f"the lock of {row}")
        try:
            yield
        finally:
            lock.release()


async def acquire_within(lock: asyncio.Lock | asyncio.Semaphore, seconds: float, what: str) -> None:
    """Acquire a lock that others may hold, within some seconds. Errors say `what` it stands for.

    Raises:
        StoreUnavailable: the others did not release it in time.
    """
    try:
        async with asyncio.timeout(seconds):
            await lock.acquire()
    except TimeoutError:
        raise StoreUnavailable(reason=f"timed out after {seconds:g} s waiting for {what}") from None
