"""PostgreSQL through asyncpg and its pool."""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, cast

import asyncpg
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from tradingagents_adapters.database_url import shown_url
from tradingagents_adapters.sql.drivers.driver import Driver, DriverConnection, LongerLimit, Row, Statement
from tradingagents_adapters.sql.errors import SessionEnded
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.postgresql import connect, connect_options
from tradingagents_adapters.sql.row_queue import RowQueue, acquire_within

IDLE_IN_TRANSACTION_SECONDS: Final = 10
"""How long a transaction may be idle before the server terminates its connection."""


class AsyncpgDriver(Driver):
    """A PostgreSQL database with a pool of connections.

    Pgbouncer in transaction mode may send each statement outside a transaction to another server connection, even the
    messages of one statement. So all statements run in transactions there.
    """

    begin = ("BEGIN",)
    for_update = " FOR UPDATE"

    def __init__(self, options: DatabaseOptions) -> None:
        self.name = shown_url(options.url)
        self.dialect = dialect()  # type: ignore[no-untyped-call]
        self.autocommits_reads = self.autocommits_writes = not options.pgbouncer
        self.retries = options.pool_size
        self._options = options
        self._connect_options = connect_options(options) | {"command_timeout": options.answer_timeout}
        self.role = self._connect_options.get("user")
        if not options.pgbouncer:
            self._connect_options["server_settings"] = {
                "application_name": "tradingagents",
                **self._connect_options["server_settings"],
                "statement_timeout": _milliseconds(options.statement_timeout),
                "lock_timeout": _milliseconds(options.statement_timeout),
                "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
                # A custom plan for an owner of much of the table would scan the strategies of all owners by id.
                "plan_cache_mode": "force_generic_plan",
            }
        self._pool: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        if self._loop is asyncio.get_running_loop():
            return
        # The connections of a closed event loop cannot be closed: they are garbage-collected with their pool.
        self._loop = asyncio.get_running_loop()
        self.row_queue = RowQueue(self._options.statement_timeout)
        size = self._options.pool_size
        self._free = asyncio.Semaphore(size)
        self._pool = await asyncpg.create_pool(
            min_size=0, max_size=size, connect=connect, reset=_reset_nothing, **self._connect_options
        )

    async def close(self) -> None:
        # A graceful close would wait for a server that may not respond.
        if self._loop is asyncio.get_running_loop():
            self._pool.terminate()
        self._loop = None

    async def acquire(self, *, to_write: bool) -> DriverConnection:
        if self._free.locked():
            await acquire_within(
                self._free,
                self._options.pool_timeout,
                f"one of {self._options.pool_size} connections (DATABASE_POOL_SIZE)",
            )
        else:
            await self._free.acquire()
        try:
            return _AsyncpgConnection(await self._pool.acquire(), self._options.answer_timeout)
        except BaseException:
            self._free.release()
            raise

    async def release(self, connection: DriverConnection) -> None:
        assert isinstance(connection, _AsyncpgConnection)
        try:
            await self._pool.release(connection.pooled)
        finally:
            self._free.release()

    def read_time(self, value: Any) -> datetime:
        assert isinstance(value, datetime)
        return value

    def longer_limit(self, patience: int) -> LongerLimit:
        limit = _milliseconds(self._options.statement_timeout * patience)
        return LongerLimit(
            begin=("BEGIN READ ONLY", f"SET LOCAL statement_timeout = '{limit}'"),
            seconds=self._options.answer_timeout * patience,
        )


class _AsyncpgConnection(DriverConnection):
    __slots__ = ("_answer_seconds", "pooled")

    def __init__(self, connection: Any, answer_seconds: float) -> None:
        self.pooled = connection
        self._answer_seconds = answer_seconds

    async def fetch(self, *statements: Statement, within: float | None = None) -> Sequence[Row]:
        rows: Sequence[Row] = ()
        for sql, values in statements:
            rows = cast(Sequence[Row], await self._run(self.pooled.fetch(sql, *values, timeout=within), within))
        return rows

    async def execute(self, *statements: str) -> int:
        _, _, rows = (await self._run(self.pooled.execute("; ".join(statements)))).rpartition(" ")
        return int(rows) if rows.isdecimal() else 0

    async def roll_back(self) -> None:
        if self.pooled.is_in_transaction():
            await self.execute("ROLLBACK")

    async def terminate(self) -> None:
        # The pool raises this error for a connection that the server has closed, which is back in the pool.
        with suppress(asyncpg.InterfaceError):
            self.pooled.terminate()

    async def _run(self, call: Awaitable[Any], within: float | None = None) -> Any:
        try:
            return await call
        except TimeoutError:
            # For the same reason as after a cancellation.
            await self.terminate()
            limit = f"{within or self._answer_seconds:g} s (DATABASE_ANSWER_TIMEOUT)"
            raise TimeoutError(f"the server's answer did not come within {limit}") from None
        except asyncio.CancelledError:
            # The driver would ask the server to cancel, and hold the connection until the server responds.
            await self.terminate()
            raise
        except asyncpg.InternalClientError as error:
            # The driver has read the reason for the end of the session, but not yet the end of the connection.
            await self.terminate()
            raise SessionEnded("the server has ended the session") from error


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


async def _reset_nothing(_: object) -> None:
    """Every transaction has ended, and no session setting was changed."""
