"""The connections of SQLAlchemy on which the migrations run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy import URL, NullPool, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from tradingagents_adapters.sql.drivers.engine import begin_immediate
from tradingagents_adapters.sql.errors import Translated
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.postgresql import connect, connect_options
from tradingagents_adapters.sql.sqlite import check_files, create_file, file_of

LOCK_SECONDS: Final = 60
"""How long a migration waits for other writers of the same SQLite file."""

_PRAGMAS: Final = ("foreign_keys=OFF", "legacy_alter_table=ON")
"""The settings for the procedure by which alembic changes tables (SQLite, "ALTER TABLE", 7)."""

_BEGIN: Final = {"sqlite": text("BEGIN IMMEDIATE"), "postgresql": text("BEGIN")}


@asynccontextmanager
async def connected(options: DatabaseOptions) -> AsyncIterator[AsyncConnection]:
    """A connection to the database of these options, closed at the end of the block.

    The connection is in autocommit mode outside `transaction`, and has no statement timeout. Foreign keys are not
    enforced on SQLite, so that a table can be replaced while others refer to it.

    Raises:
        ConfigurationError: this process may not write the file or its folder.
        StoreUnavailable: the database is unavailable or busy.
    """
    engine = _open_sqlite(options) if options.is_sqlite else _open_postgresql(options)
    try:
        with Translated(role=options.url.username):
            async with engine.connect() as connection:
                yield connection
    finally:
        await engine.dispose()


@asynccontextmanager
async def transaction(options: DatabaseOptions) -> AsyncIterator[AsyncConnection]:
    """A transaction on a connection of its own. The end of the block commits; an exception closes the connection, which
    rolls back.

    Raises:
        StoreUnavailable: the database is unavailable or busy.
    """
    async with connected(options) as connection:
        await connection.execute(_BEGIN[connection.dialect.name])
        yield connection
        await connection.execute(text("COMMIT"))


@asynccontextmanager
async def transaction_of_engine(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction on a connection of a host's engine. The end of the block commits; an exception rolls back.

    The connection has the settings of `connected`, and is closed at the end of the block, because the host does not
    expect these settings.

    Raises:
        StoreUnavailable: the database is unavailable or busy.
    """
    with Translated(role=engine.url.username):
        async with engine.connect() as connection:
            try:
                if connection.dialect.name == "sqlite":
                    await _set_up_migration(connection)
                    await begin_immediate(connection)
                else:
                    await connection.execution_options(isolation_level="READ COMMITTED")
                    await connection.execute(text("SET LOCAL statement_timeout = 0"))
                yield connection
                await connection.commit()
            finally:
                await connection.invalidate()


async def _set_up_migration(connection: AsyncConnection) -> None:
    """Set up a connection of a host's engine to SQLite for migrations."""
    # Through SQLAlchemy, an event of the host could begin a transaction, in which these settings have no effect.
    driver: Any = (await connection.get_raw_connection()).driver_connection
    if driver.in_transaction:
        await driver.rollback()
    for pragma in (*_PRAGMAS, f"busy_timeout={LOCK_SECONDS * 1000}"):
        await driver.execute_fetchall(f"PRAGMA {pragma}")


def _open_sqlite(options: DatabaseOptions) -> AsyncEngine:
    def set_up(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", *_PRAGMAS):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    check_files(file_of(options))
    create_file(file_of(options))
    engine = _create(options, options.url, connect_args={"isolation_level": None, "timeout": LOCK_SECONDS})
    event.listen(engine.sync_engine, "connect", set_up)
    return engine


def _open_postgresql(options: DatabaseOptions) -> AsyncEngine:
    connect_args = connect_options(options) | {"async_creator_fn": connect}
    if options.pgbouncer:
        connect_args["prepared_statement_cache_size"] = 0
    # The options hold everything else of the URL.
    url = URL.create(options.url.drivername)
    return _create(options, url, isolation_level="AUTOCOMMIT", connect_args=connect_args)


def _create(database: DatabaseOptions, url: URL, **options: Any) -> AsyncEngine:
    return create_async_engine(
        url,
        poolclass=NullPool,
        echo=database.echo,
        hide_parameters=True,
        skip_autocommit_rollback=True,
        **options,
    )
