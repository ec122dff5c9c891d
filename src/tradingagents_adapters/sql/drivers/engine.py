"""A host's own engine of SQLAlchemy, and an open transaction of a host on a connection of such an engine."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self

import asyncpg
from sqlalchemy import CursorResult, RowMapping
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import asyncpg as postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.drivers.driver import Driver, DriverConnection, Row, Statement
from tradingagents_adapters.sql.drivers.sqlite_values import as_column, time_of_column
from tradingagents_adapters.sql.errors import NoOpenTransaction, SessionEnded, driver_error
from tradingagents_adapters.sql.row_queue import RowQueue, acquire_within
from tradingagents_core.ports import shielded

if TYPE_CHECKING:
    # Only for types: this module imports the ORM, which costs the start of every process time and memory.
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncTransaction

QUEUE_SECONDS: Final = 5
"""How long a writer waits in this process for earlier writers: on PostgreSQL of the same row, on SQLite of the file."""

_SUPPORTED: Final = ("postgresql+asyncpg", "sqlite+aiosqlite")

_TAKE_LOCK: Final = "UPDATE tradingagents_owners SET id = id WHERE id = 0"
"""A statement that changes nothing. On SQLite the statement takes the lock for writing."""


class EngineDriver(Driver):
    """A database that a host uses through an engine of SQLAlchemy. The engine and its pool stay the host's.

    Every statement runs through the engine, where the host's events, its log and its instrumentation see the statement.
    On PostgreSQL a read runs in autocommit mode and a transaction in READ COMMITTED, whatever the engine's isolation
    level is. With `pgbouncer`, a read runs in a transaction, too.

    Raises:
        ConfigurationError: the engine has another driver than asyncpg or aiosqlite, or all its callers share one
            connection, as on an SQLite database in memory.
    """

    begin = ()
    autocommits_writes = False
    retries = 1

    def __init__(self, engine: "AsyncEngine", *, pgbouncer: bool = False) -> None:
        _check(engine)
        self.name = engine.url.render_as_string(hide_password=True)
        self.role = engine.url.username
        self.is_sqlite = engine.dialect.name == "sqlite"
        # Not the engine's own dialect, for which the host may have chosen another style of parameters.
        self.dialect = sqlite.dialect() if self.is_sqlite else postgresql.dialect()  # type: ignore[no-untyped-call]
        self.for_update = "" if self.is_sqlite else " FOR UPDATE"
        self._readers = self._writers = engine
        if not self.is_sqlite:
            # The isolation level is an attribute of the driver's connection: to set it takes no round trip.
            self._readers = engine if pgbouncer else engine.execution_options(isolation_level="AUTOCOMMIT")
            self._writers = engine.execution_options(isolation_level="READ COMMITTED")

    async def open(self) -> None:
        self.row_queue = None if self.is_sqlite else RowQueue(QUEUE_SECONDS)
        self._writing = asyncio.Lock() if self.is_sqlite else None

    async def close(self) -> None:
        """Do nothing: the host closes the connections of its engine."""

    async def acquire(self, *, to_write: bool) -> DriverConnection:
        if not to_write:
            return _EngineConnection(await self._readers.connect(), is_sqlite=self.is_sqlite)
        if self._writing is None:
            return _EngineConnection(await self._writers.connect(), is_sqlite=self.is_sqlite)
        await acquire_within(
            self._writing, QUEUE_SECONDS, "other writers of this process, which use the SQLite file one at a time"
        )
        try:
            return await _SqliteWriter.begun(await self._writers.connect(), self._writing)
        except BaseException:
            self._writing.release()
            raise

    async def release(self, connection: DriverConnection) -> None:
        assert isinstance(connection, _EngineConnection)
        await connection.release()

    def read_time(self, value: Any) -> datetime:
        if self.is_sqlite:
            return time_of_column(value)
        assert isinstance(value, datetime)
        return value


class HostTransactionDriver(Driver):
    """An open transaction of a host: a transaction here is a savepoint there.

    Nothing waits in a queue of this process: another writer in the queue may wait for the host's transaction.

    Raises:
        NoOpenTransaction: the connection is in no transaction, or in autocommit mode.
    """

    begin = ()

    def __init__(self, connection: "AsyncConnection", driver: EngineDriver) -> None:
        self.name = driver.name
        self.role = driver.role
        self.dialect = driver.dialect
        self.for_update = driver.for_update
        self._connection = connection
        self._driver = driver

    async def open(self) -> None:
        """Do nothing: the connection is open."""

    async def close(self) -> None:
        """Do nothing: the host closes the connection."""

    async def acquire(self, *, to_write: bool) -> DriverConnection:
        await self._ensure_transaction()
        savepoint = await self._connection.begin_nested()
        connection = _SavepointConnection(self._connection, savepoint, is_sqlite=self._driver.is_sqlite)
        if self._driver.is_sqlite:
            try:
                await connection.execute(_TAKE_LOCK)
            except BaseException:
                await shielded(connection.roll_back())
                raise
        return connection

    async def release(self, connection: DriverConnection) -> None:
        """Do nothing: the connection and its transaction are the host's."""

    def read_time(self, value: Any) -> datetime:
        return self._driver.read_time(value)

    async def _ensure_transaction(self) -> None:
        connection = self._connection
        if connection.closed or not connection.in_transaction():
            raise NoOpenTransaction(
                "This connection has no open transaction: take the connection of `async with engine.begin()`, or that "
                "of a session (`await session.connection()`)"
            )
        pooled = await connection.get_raw_connection()
        if self._driver.is_sqlite and pooled.driver_connection.in_transaction:  # type: ignore[union-attr]
            return
        assert pooled.dbapi_connection is not None
        if connection.dialect.detect_autocommit_setting(pooled.dbapi_connection):
            raise NoOpenTransaction(
                "This connection is in autocommit mode, where each statement is committed at once: take a connection"
                " with another isolation level"
            )
        if self._driver.is_sqlite:
            # Python's module sqlite3 begins a transaction only with the first change, and not with a savepoint.
            await shielded(connection.exec_driver_sql("BEGIN IMMEDIATE"))


class _EngineConnection(DriverConnection):
    """A connection of an engine. SQLAlchemy begins a transaction with the first statement.

    After a cancelled statement on PostgreSQL, SQLAlchemy has closed the connection of the driver. On SQLite a cancelled
    caller waits until the statement has ended.
    """

    def __init__(self, connection: "AsyncConnection", *, is_sqlite: bool) -> None:
        self._connection = connection
        self._is_sqlite = is_sqlite
        self._is_unused = True

    async def fetch(self, *statements: Statement, within: float | None = None) -> Sequence[Row]:
        rows: Sequence[Row] = ()
        for sql, values in statements:
            rows = await self._run(sql, tuple(map(as_column, values)) if self._is_sqlite else tuple(values))
        return rows

    async def execute(self, *statements: str) -> int:
        return len(await self.fetch(*[(sql, ()) for sql in statements]))

    async def execute_for(self, row_id: int, *statements: str) -> int:
        # A parameter, because SQLAlchemy prepares each text, and its cache of prepared statements is small.
        parameter = "?" if self._is_sqlite else "$1"
        return len(await self.fetch(*[(sql.format(id=parameter), (row_id,)) for sql in statements]))

    async def commit(self) -> None:
        await self._connection.commit()

    async def roll_back(self) -> None:
        await self._connection.rollback()

    async def terminate(self) -> None:
        await self._connection.invalidate()

    async def release(self) -> None:
        """Release the connection to the pool of the engine."""
        await shielded(self._connection.close())

    async def _run(self, sql: str, values: tuple[Any, ...]) -> Sequence[Row]:
        may_have_ended, self._is_unused = self._is_unused, False
        try:
            result = await self._execute(sql, values)
        except DBAPIError as error:
            if isinstance(driver_error(error), asyncpg.InternalClientError):
                # The driver has read the reason for the end of the session, but not yet the end of the connection.
                await self.terminate()
            if may_have_ended and self._connection.invalidated:
                raise SessionEnded("the server has ended the session") from error
            raise
        return [_EngineRow(row) for row in result.mappings()] if result.returns_rows else ()

    async def _execute(self, sql: str, values: tuple[Any, ...]) -> CursorResult[Any]:
        executed = self._connection.exec_driver_sql(sql, values or None)
        # A cancelled caller would leave a statement of SQLite open, which keeps the file locked until the garbage
        # collector runs.
        return await (shielded(executed) if self._is_sqlite else executed)


class _SqliteWriter(_EngineConnection):
    """A connection in a transaction that has the lock for writing."""

    def __init__(self, connection: "AsyncConnection", writing: asyncio.Lock) -> None:
        super().__init__(connection, is_sqlite=True)
        self._writing = writing
        self._sqlite: Any = None
        self._begins_itself = False

    @classmethod
    async def begun(cls, connection: "AsyncConnection", writing: asyncio.Lock) -> Self:
        """A connection in a new transaction. The end of the transaction releases `writing`, too."""
        writer = cls(connection, writing)
        try:
            # Shielded for the reason in `_execute`.
            await shielded(writer._begin())
        except BaseException:
            await shielded(writer._close())
            raise
        return writer

    async def commit(self) -> None:
        await super().commit()
        await self._ensure_ended("COMMIT")

    async def roll_back(self) -> None:
        await super().roll_back()
        await self._ensure_ended("ROLLBACK")

    async def release(self) -> None:
        try:
            await super().release()
        finally:
            self._writing.release()

    async def _close(self) -> None:
        try:
            await self.roll_back()
        finally:
            await self._connection.close()

    async def _begin(self) -> None:
        pooled = await self._connection.get_raw_connection()
        self._sqlite = pooled.driver_connection
        self._begins_itself = await begin_immediate(self._connection)

    async def _ensure_ended(self, sql: str) -> None:
        # With some settings of an engine, SQLAlchemy or Python's module sqlite3 leaves transactions open that they have
        # not begun.
        if self._begins_itself and not self._connection.invalidated and self._sqlite.in_transaction:
            await self._connection.exec_driver_sql(sql)


class _SavepointConnection(_EngineConnection):
    """The connection of a host, with a savepoint in the place of a transaction."""

    def __init__(self, connection: "AsyncConnection", savepoint: "AsyncTransaction", *, is_sqlite: bool) -> None:
        super().__init__(connection, is_sqlite=is_sqlite)
        self._savepoint = savepoint
        # The host's connection is in use: no statement is the first one.
        self._is_unused = False

    async def commit(self) -> None:
        if not self._savepoint.is_active:
            raise NoOpenTransaction("The transaction of this connection has ended before the block in it")
        await self._savepoint.commit()

    async def roll_back(self) -> None:
        if self._savepoint.is_active:
            await self._savepoint.rollback()


class _EngineRow:
    """A row of SQLAlchemy with the interface of `Row`."""

    __slots__ = ("_row",)

    def __init__(self, row: RowMapping) -> None:
        self._row = row

    def __getitem__(self, name: str) -> Any:
        return self._row[name]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._row.values())


async def begin_immediate(connection: "AsyncConnection") -> bool:
    """Begin a transaction on SQLite that has the lock for writing.

    Returns False where an event of the host or the module sqlite3 had begun a transaction without the lock, in whose
    place the new one is.
    """
    await connection.begin()
    pooled = await connection.get_raw_connection()
    assert pooled.driver_connection is not None
    is_begun: bool = pooled.driver_connection.in_transaction
    if is_begun:
        await connection.exec_driver_sql("ROLLBACK")
    await connection.exec_driver_sql("BEGIN IMMEDIATE")
    return not is_begun


def _check(engine: "AsyncEngine") -> None:
    driver = f"{engine.dialect.name}+{engine.dialect.driver}"
    if driver not in _SUPPORTED:
        raise ConfigurationError(f"the engine uses {driver}; supported are {' and '.join(_SUPPORTED)}")
    if isinstance(engine.pool, StaticPool | SingletonThreadPool) or _is_in_memory(engine):
        raise ConfigurationError(
            "the engine has one connection for all callers, who would share one transaction, as on an SQLite database "
            "in memory: name a file, or use the stores in `tradingagents_adapters.memory`"
        )


def _is_in_memory(engine: "AsyncEngine") -> bool:
    if engine.dialect.name != "sqlite":
        return False
    name = engine.url.database
    return not name or ":memory:" in name or engine.url.query.get("mode") == "memory"
