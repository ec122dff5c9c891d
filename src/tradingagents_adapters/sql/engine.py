"""Connections: how they are opened, and blocks on them that a cancelled caller cannot cut in half."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import CursorResult, Executable, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from tradingagents_adapters.settings import DatabaseSettings
from tradingagents_adapters.sql.errors import translated
from tradingagents_core.domain.parameters import Parameters

POOL_SIZE: Final = 5
POOL_OVERFLOW: Final = 10
WAIT_SECONDS: Final = 5
"""How long a block waits for a connection, or for another process that is writing to the same SQLite file."""

_BEGIN: Final = {"sqlite": "BEGIN IMMEDIATE"}

T = TypeVar("T")


def open_engine(settings: DatabaseSettings) -> AsyncEngine:
    """An engine for the database of these settings; it connects when it is first used.

    The drivers stay in autocommit mode: `connected` and `transaction` say where a transaction begins and ends.
    """
    engine = create_async_engine(
        settings.database_url,
        echo=settings.sqlalchemy_echo,
        hide_parameters=True,
        json_serializer=_parameters_to_json,
        json_deserializer=Parameters.from_store,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=WAIT_SECONDS,
        skip_autocommit_rollback=True,
        connect_args={"isolation_level": None, "timeout": WAIT_SECONDS},
    )
    event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    return engine


def _parameters_to_json(parameters: Parameters) -> str:
    return parameters.json


def _set_up_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


class SqlConnection:
    """A connection whose statements run to their end, whatever becomes of the caller."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def execute(self, statement: Executable, parameters: dict[str, Any] | None = None) -> CursorResult[Any]:
        """Run a statement and fetch all that it returns.

        Raises:
            StoreUnavailable: the database is away or busy.
            IntegrityError: a constraint of the tables is broken.
        """
        with translated():
            return await uncut(self._connection.execute(statement, parameters))


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncIterator[SqlConnection]:
    """A connection on which every statement stands for itself.

    Raises:
        StoreUnavailable: the database is away, or every connection is in use.
    """
    async with _checked_out(engine) as connection:
        yield SqlConnection(connection)


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[SqlConnection]:
    """A connection in a transaction: committed when the block ends, rolled back when an exception leaves it.

    Raises:
        StoreUnavailable: the database is away or busy, or every connection is in use. When that happens while the block
            ends, whether it was kept is not known.
    """
    async with begun(engine) as connection:
        yield SqlConnection(connection)


@asynccontextmanager
async def begun(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """What `transaction` is made of, with SQLAlchemy's own connection."""
    async with _checked_out(engine) as connection:
        try:
            await _run(connection, _BEGIN[engine.dialect.name])
            yield connection
        except BaseException:
            await _roll_back(connection)
            raise
        try:
            await _run(connection, "COMMIT")
        except Exception:
            await _roll_back(connection)
            raise


@asynccontextmanager
async def _checked_out(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    connection = engine.connect()
    try:
        with translated():
            await uncut(connection.start())
        yield connection
    finally:
        if connection.sync_connection is not None:
            await uncut(connection.close())


async def _run(connection: AsyncConnection, sql: str) -> None:
    with translated():
        await uncut(connection.exec_driver_sql(sql))


async def _roll_back(connection: AsyncConnection) -> None:
    try:
        await uncut(connection.exec_driver_sql("ROLLBACK"))
    except Exception:  # noqa: BLE001
        # Nobody can say what state this connection is in; the database rolls back when it is gone.
        await uncut(connection.invalidate())


async def uncut(work: Awaitable[T]) -> T:
    """Wait until `work` has ended, and only then pass on a cancellation that came meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                continue
        if not task.cancelled():
            task.exception()
        raise
