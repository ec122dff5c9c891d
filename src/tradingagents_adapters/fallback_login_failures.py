"""Counts of failed logins that fall back to memory while the database cannot be written."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from tradingagents_adapters.memory import MemoryLoginFailures
from tradingagents_core.domain.login_throttle import FailureCount
from tradingagents_core.errors import StoreUnavailable, Unavailable
from tradingagents_core.ports import LoginFailures

WRITE_SECONDS: Final = 0.5
"""How long a caller waits for a write. A slower write goes on without the caller."""

RETRY_SECONDS: Final = 1
"""How long after a failed or slow write the next write is tried."""

_log = logging.getLogger(__name__)


class FallbackLoginFailures(LoginFailures):
    """Counts failed logins in other `failures`, and in memory while these cannot be written.

    A failure is counted in memory first, and removed from memory once it is written, so that it counts at any time. A
    failure that cannot be written counts in this process until it expires. `add` raises no error and takes no longer
    than `WRITE_SECONDS`.
    """

    def __init__(self, failures: LoginFailures, *, write_seconds: float = WRITE_SECONDS) -> None:
        self._failures = failures
        self._write_seconds = write_seconds
        self._memory = MemoryLoginFailures()
        self._writing: set[asyncio.Task[bool]] = set()
        self._problem: str | None = None
        """Why the last write failed; None after a successful write."""
        self._retry_at = 0.0

    async def find(self, keys: Sequence[str]) -> Mapping[str, FailureCount]:
        written = await self._failures.find(keys)
        in_memory = await self._memory.find(keys)
        both = {key: _sum(written[key], in_memory[key]) for key in written if key in in_memory}
        return {**written, **in_memory, **both}

    async def add(self, keys: Sequence[str], *, at: datetime) -> None:
        await self._memory.add(keys, at=at)
        if not self._may_try():
            return
        task = self._start(self._failures.add(keys, at=at), then=lambda: self._memory.take_back(keys))
        await self._wait_briefly(task)

    async def clear(self, keys: Sequence[str]) -> None:
        await self._memory.clear(keys)
        if not self._may_try():
            raise StoreUnavailable(reason=self._problem or "")
        task = self._start(self._failures.clear(keys), then=lambda: None)
        if not await self._wait_briefly(task):
            raise StoreUnavailable(reason=self._problem or "")

    def _may_try(self) -> bool:
        if self._problem is None:
            return True
        # One write at a time, so that no crowd of writers waits for a database that does not respond.
        return not self._writing and asyncio.get_running_loop().time() >= self._retry_at

    def _start(self, write: Awaitable[None], *, then: Callable[[], None]) -> "asyncio.Task[bool]":
        # A separate task, because a write that has begun waits for its outcome, however long that takes.
        task = asyncio.ensure_future(self._write(write, then))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return task

    async def _write(self, write: Awaitable[None], then: Callable[[], None]) -> bool:
        try:
            await write
        except Unavailable as error:
            self._note(error.reason)
            return False
        then()
        self._note(None)
        return True

    async def _wait_briefly(self, task: "asyncio.Task[bool]") -> bool:
        """Whether the write has succeeded within its time."""
        done, _ = await asyncio.wait({task}, timeout=self._write_seconds)
        if not done:
            self._note(f"the database takes more than {self._write_seconds} s to write")
            return False
        return task.result()

    def _note(self, problem: str | None) -> None:
        if problem is not None and self._problem is None:
            _log.error("Failed logins cannot be written and are counted in memory meanwhile: %s", problem)
        elif problem is None and self._problem is not None:
            _log.warning("Failed logins are written again")
        self._problem = problem
        if problem is not None:
            self._retry_at = asyncio.get_running_loop().time() + RETRY_SECONDS


def _sum(one: FailureCount, other: FailureCount) -> FailureCount:
    earlier, later = sorted((one, other), key=lambda count: count.last_at)
    if earlier.is_forgotten(now=later.last_at):
        return later
    return FailureCount(earlier.count + later.count, later.last_at)
