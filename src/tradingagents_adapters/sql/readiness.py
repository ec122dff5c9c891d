"""Preparing a database for use, and refusing requests until it is ready."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_core.errors import StoreUnavailable
from tradingagents_core.ports import Lifetime

ENSURE_SECONDS: Final = 4
"""How long a request waits for a running preparation before the request is refused."""

FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 5
"""The pauses between attempts in the background. Each pause is twice the previous pause."""

_AWAY: Final = "away"

_log: Final = logging.getLogger(__name__)


class Readiness:
    """Prepares a database after its start in an event loop, and again after the database was lost.

    One preparation runs at a time, and callers wait for it. The log has one line when the database becomes unavailable,
    one for each further reason that an operator has to resolve, and one when the database can be used again.
    """

    def __init__(self, prepare: Callable[[], Awaitable[None]], *, starts_by_itself: bool = False) -> None:
        self._prepare = prepare
        self._lifetime = Lifetime(starts_by_itself=starts_by_itself)
        self._ready_in: asyncio.AbstractEventLoop | None = None
        """The event loop in which the database is prepared."""
        self._preparing: asyncio.Task[None] | None = None
        self._logged: str | None = None

    def start(self) -> None:
        """Allow the use in the present event loop, until `end`.

        Raises:
            WrongEventLoop: the database is in use in another event loop.
        """
        self._lifetime.start()
        self._ready_in = None

    async def ensure(self) -> None:
        """Return when the database can be used.

        Raises:
            NotRunning: the database was not started, or has ended.
            WrongEventLoop: the database was started in another event loop.
            StoreUnavailable: the preparation failed, or takes longer than `ENSURE_SECONDS`.
        """
        self._lifetime.check()
        if self._ready_in is self._lifetime.loop:
            return
        try:
            async with asyncio.timeout(ENSURE_SECONDS):
                await self.prepare()
        except TimeoutError:
            raise StoreUnavailable(reason="the database is being prepared") from None
        except Exception as error:
            self._log_once(error)
            raise StoreUnavailable(reason=_reason(error), is_logged=True) from error

    async def prepare(self) -> None:
        """Prepare the database, unless it is already prepared.

        Raises:
            NotRunning: the database was not started, or has ended.
            WrongEventLoop: the database was started in another event loop.
            ConfigurationError: the schema does not fit this code.
            StoreUnavailable: the database is unavailable or busy.
        """
        self._lifetime.check()
        if self._ready_in is self._lifetime.loop:
            return
        if self._preparing is None or self._preparing.get_loop() is not self._lifetime.loop:
            self._preparing = asyncio.create_task(self._prepare_once())
            # Read the exception, so that asyncio logs none when no caller waits any more.
            self._preparing.add_done_callback(lambda task: task.cancelled() or task.exception())
        # Other callers may wait for the same preparation.
        await asyncio.shield(self._preparing)

    async def keep_trying(self) -> None:
        """Retry the preparation until it succeeds."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self.prepare()
            except Exception as error:  # noqa: BLE001
                self._log_once(error)
            else:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    @asynccontextmanager
    async def prepared_in_background(self) -> AsyncIterator[None]:
        """A block during which a background task retries the preparation until it succeeds."""
        trying = asyncio.create_task(self.keep_trying())
        try:
            yield
        finally:
            trying.cancel()
            await asyncio.wait({trying})

    def lose(self, reason: str) -> None:
        """Require a new preparation before the next use."""
        if self._ready_in is not None:
            self._ready_in = None
            self._logged = _AWAY
            _log.error("%s. Requests that need the database are answered with 503 until it can be used.", reason)

    async def end(self) -> None:
        """Cancel a running preparation, and refuse every use until the next start, in any event loop."""
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.wait({self._preparing})
        self._lifetime.end()

    async def _prepare_once(self) -> None:
        try:
            await self._prepare()
        finally:
            self._preparing = None
        self._ready_in = asyncio.get_running_loop()
        if self._logged is not None:
            self._logged = None
            _log.info("The database can be used now.")

    def _log_once(self, error: Exception) -> None:
        kind = _AWAY if isinstance(error, StoreUnavailable) else _reason(error)
        if self._logged == kind or (self._logged is not None and kind == _AWAY):
            return
        self._logged = kind
        if isinstance(error, StoreUnavailable | ConfigurationError):
            _log.error(
                "The database cannot be used: %s. Requests that need it are answered with 503 until it can.",
                _reason(error),
            )
        else:
            _log.error("The database cannot be prepared.", exc_info=error)


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, StoreUnavailable) else str(error) or type(error).__name__
