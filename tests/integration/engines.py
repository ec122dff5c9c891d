"""Engines of hosts, and stores over them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import URL, Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tradingagents_adapters.sql import Database, EngineDatabase, open_database
from tradingagents_adapters.sql.drivers.engine import EngineDriver
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.postgresql import connect, connect_options
from tradingagents_adapters.sql.strategies import SqlStrategyStore
from tradingagents_core.ports import StrategyStore, StrategyView, StrategyWork

OpenEngine: TypeAlias = Callable[..., AsyncEngine]
"""Makes an engine to one database with the newest tables, with these options of `create_async_engine`."""


def sqlite_engine(file: Path, **options: Any) -> AsyncEngine:
    return create_async_engine(f"sqlite+aiosqlite:///{file}", **options)


def begun_by_events(engine: AsyncEngine) -> AsyncEngine:
    """The engine with the events of SQLAlchemy's documentation, with which SQLite's transactions begin at once."""
    _begin_by_events(engine.sync_engine)
    return engine


def _begin_by_events(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def do_connect(dbapi_connection: Any, _: object) -> None:
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def do_begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")


@asynccontextmanager
async def opened(engine: AsyncEngine, **options: Any) -> AsyncIterator[EngineDatabase]:
    """The database of an engine, and the engine, until the block ends. No connection may be left in use then."""
    try:
        async with EngineDatabase(engine, **options) as database:
            yield database
        assert in_use(engine) == 0
    finally:
        await engine.dispose()


@asynccontextmanager
async def opened_by(way: str, options: DatabaseOptions) -> AsyncIterator[Database]:
    """A database without a check of its schema: by its driver, or over an engine."""
    if way == "driver":
        async with open_database(options) as database:
            yield database
        return
    if options.is_sqlite:
        engine = create_async_engine(options.url)
    else:
        # The options hold the URL as this project reads it, which SQLAlchemy does not.
        connect_args = connect_options(options) | {"async_creator_fn": connect}
        engine = create_async_engine(URL.create(options.url.drivername), connect_args=connect_args)
    try:
        async with Database(EngineDriver(engine, pgbouncer=options.pgbouncer)) as database:
            yield database
        assert in_use(engine) == 0
    finally:
        await engine.dispose()


def in_use(engine: AsyncEngine) -> int:
    """How many connections of the engine's pool are in use. A pool that keeps none does not know."""
    checked_out = getattr(engine.pool, "checkedout", lambda: 0)
    return int(checked_out())


class StoreInTransactionsOfAHost(StrategyStore):
    """A store whose writing blocks are those of a host: the host begins a transaction, works in it and commits."""

    def __init__(self, engine: AsyncEngine, database: EngineDatabase) -> None:
        self._engine = engine
        self._database = database
        self._reading = SqlStrategyStore(database)

    def read(self) -> AbstractAsyncContextManager[StrategyView]:
        return self._reading.read()

    @asynccontextmanager
    async def write(self, owner_id: int) -> AsyncIterator[StrategyWork]:
        async with (
            self._engine.begin() as connection,
            self._database.strategies_within(connection, owner_id) as work,
        ):
            yield work
