"""A database that a host uses through an engine of SQLAlchemy of its own."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Self
from weakref import WeakKeyDictionary

from sqlalchemy import URL
from sqlalchemy.engine import Transaction

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.connection import Connection
from tradingagents_adapters.sql.database import Database
from tradingagents_adapters.sql.drivers.driver import Driver
from tradingagents_adapters.sql.drivers.engine import EngineDriver, HostTransactionDriver
from tradingagents_adapters.sql.errors import ConnectionOfAnotherDatabase
from tradingagents_adapters.sql.revision import has_newer_schema
from tradingagents_adapters.sql.schema_check import SchemaCheck
from tradingagents_adapters.sql.strategies import StrategyWriteBlock
from tradingagents_core.errors import NestedBlock
from tradingagents_core.ports import Blocks, StrategyWork

if TYPE_CHECKING:
    # Only for types: this module imports the ORM, which costs the start of every process time and memory.
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


class EngineDatabase(Database):
    """A database that a host uses through an engine of its own, with asyncpg or aiosqlite.

    Entering the block checks the schema; with `migrates` it migrates an older schema on a connection of the engine. The
    pool, its limits and its end are the host's: the end of the block closes no connection.

    `pgbouncer` says that the engine reaches PostgreSQL through pgbouncer in transaction mode.

    Raises:
        ConfigurationError: the engine cannot be used, or on entering: the schema does not fit this code.
        StoreUnavailable: on entering: the database is unavailable or busy.
    """

    def __init__(self, engine: "AsyncEngine", *, migrates: bool = False, pgbouncer: bool = False) -> None:
        driver = EngineDriver(engine, pgbouncer=pgbouncer)
        check = SchemaCheck(
            self.migrate if migrates else None,
            remedy="call `await EngineDatabase(engine).migrate()`, or pass `migrates=True`",
        )
        super().__init__(driver, check=check)
        self._engine = engine
        self._engine_driver = driver
        self._blocks = _EngineBlocks()
        self.blocks = self._blocks

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            await self.readiness.prepare()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def migrate(self) -> None:
        """Migrate the schema to the newest revision, also outside the block. A newer schema is left unchanged.

        The migrations run on a connection of the engine, in one transaction. Concurrent migrations run one after
        another.

        Raises:
            ConfigurationError: the schema needs a newer version, or this version does not know the schema.
            StoreUnavailable: the database is unavailable or busy.
        """
        # Alembic takes a tenth of a process's memory. A process with an up-to-date schema does not import alembic.
        from tradingagents_adapters.sql import migration_connection, schema  # noqa: PLC0415

        try:
            await schema.migrate_in(migration_connection.transaction_of_engine(self._engine))
        except ConfigurationError:
            if not await has_newer_schema(self):
                raise

    def strategies_within(
        self, connection: "AsyncConnection", owner_id: int
    ) -> AbstractAsyncContextManager[StrategyWork]:
        """A writing block of an owner within the open transaction of a host.

        The host commits: what the block changed is kept or undone together with the host's own changes. An exception
        that leaves the block undoes the changes of the block only, so that a host who catches the exception can go on.
        The owner's row stays locked until the host's transaction ends. The `connection` may be that of a session
        (`await session.connection()`).

        Raises:
            NoOpenTransaction: the connection is in no transaction, or in autocommit mode.
            ConnectionOfAnotherDatabase: the connection belongs to an engine with another database.
            NestedBlock: the present task has a writing block of this database open.
            StoreUnavailable: the database is unavailable or busy, or another transaction keeps the row locked.
        """
        return StrategyWriteBlock(self, owner_id, connections=_HostConnections(self, connection))

    def driver_within(self, connection: "AsyncConnection") -> HostTransactionDriver:
        """The driver of a block within the transaction of this connection.

        Raises:
            ConnectionOfAnotherDatabase: the connection belongs to an engine with another database.
        """
        theirs, ours = connection.engine, self._engine
        if theirs.pool is not ours.pool and _place(theirs.url) != _place(ours.url):
            raise ConnectionOfAnotherDatabase(
                f"This connection belongs to the database {_shown(theirs)}, and the stores to {_shown(ours)}"
            )
        return HostTransactionDriver(connection, self._engine_driver)

    def blocks_within(self, connection: "AsyncConnection") -> Blocks:
        """The writing blocks of this database, for a block within the transaction of this connection."""
        return _BlocksWithin(self._blocks, connection)


class _HostConnections:
    """The one connection of a host, for a block within its open transaction."""

    def __init__(self, database: EngineDatabase, connection: "AsyncConnection") -> None:
        self.driver: Driver = database.driver_within(connection)
        self.blocks: Blocks = database.blocks_within(connection)
        self.readiness = database.readiness
        self.translated = database.translated
        self._compiler = database.compiler

    async def acquire(self, *, to_write: bool) -> Connection:
        return Connection(await self.driver.acquire(to_write=to_write), self._compiler)

    async def release(self, connection: Connection) -> None:
        await self.driver.release(connection.driver_connection)


class _EngineBlocks(Blocks):
    """The open writing blocks, and the open transactions of hosts that keep a row locked after the end of a block."""

    def __init__(self) -> None:
        super().__init__()
        self._transactions: WeakKeyDictionary[asyncio.Task[object], Transaction] = WeakKeyDictionary()

    def enter(self) -> Callable[[], None]:
        task = asyncio.current_task()
        if task is not None and task in self._transactions:
            if self._transactions[task].is_active:
                # The block would wait for a lock of the transaction that this task has open.
                raise NestedBlock
            del self._transactions[task]
        return super().enter()

    def enter_within(self, transaction: Transaction | None) -> Callable[[], None]:
        """Note that the present task opens a block within this transaction."""
        leave = super().enter()
        task = asyncio.current_task()
        if task is not None and transaction is not None:
            self._transactions[task] = transaction
        return leave


class _BlocksWithin(Blocks):
    def __init__(self, blocks: _EngineBlocks, connection: "AsyncConnection") -> None:
        super().__init__()
        self._blocks = blocks
        self._connection = connection

    def enter(self) -> Callable[[], None]:
        transaction = self._connection.get_transaction() if not self._connection.closed else None
        return self._blocks.enter_within(None if transaction is None else transaction.sync_transaction)


def _place(url: URL) -> tuple[object, ...]:
    return url.get_backend_name(), url.host, url.port, url.database, url.query.get("host"), url.query.get("port")


def _shown(engine: "AsyncEngine") -> str:
    return engine.url.render_as_string(hide_password=True)
