"""A queue in this process for the writers of each row."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from tradingagents_core.errors import StoreUnavailable


class RowQueue:
    """Lets one writer of each row through at a time, in the order of arrival, in one event loop.

    Waiting writers hold no connection, and cost the server nothing.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds: Final = seconds
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def passed(self, row: str) -> AsyncIterator[None]:
        """A block that admits one writer of the `row` at a time.

        Raises:
            StoreUnavailable: the time limit of the queue expired.
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
    """Acquire a lock or semaphore within some seconds. The error message says `what` the caller waited for.

    Raises:
        StoreUnavailable: the lock was not released in time.
    """
    try:
        async with asyncio.timeout(seconds):
            await lock.acquire()
    except TimeoutError:
        raise StoreUnavailable(reason=f"timed out after {seconds:g} s waiting for {what}") from None
