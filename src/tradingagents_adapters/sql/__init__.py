"""The stores in an SQL database."""

from functools import partial

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.database import Check, Database
from tradingagents_adapters.sql.drivers.aiosqlite import AiosqliteDriver
from tradingagents_adapters.sql.drivers.asyncpg import AsyncpgDriver
from tradingagents_adapters.sql.engine_database import EngineDatabase
from tradingagents_adapters.sql.errors import ConnectionOfAnotherDatabase, DataWouldBeDropped, NoOpenTransaction
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.revision import has_newer_schema
from tradingagents_adapters.sql.schema_check import SchemaCheck
from tradingagents_adapters.sql.sqlite import file_of

__all__ = [
    "ConnectionOfAnotherDatabase",
    "DataWouldBeDropped",
    "Database",
    "EngineDatabase",
    "NoOpenTransaction",
    "migrate",
    "open_checked_database",
    "open_database",
]


def open_database(options: DatabaseOptions, check: Check | None = None, *, starts_by_itself: bool = False) -> Database:
    """The database of these options. The first use connects, and runs the `check` before anything else."""
    driver = AiosqliteDriver(file_of(options)) if options.is_sqlite else AsyncpgDriver(options)
    return Database(driver, echo=options.echo, check=check, starts_by_itself=starts_by_itself)


def open_checked_database(options: DatabaseOptions, *, migrates: bool, starts_by_itself: bool = False) -> Database:
    """The database of these options. The first use checks the schema; with `migrates` it migrates an older schema."""
    return open_database(
        options, SchemaCheck(partial(migrate, options) if migrates else None), starts_by_itself=starts_by_itself
    )


async def migrate(options: DatabaseOptions, *, to: str | None = None, may_drop: bool = False) -> None:
    """Migrate the schema to a revision, or to the newest. Concurrent migrations run one after another.

    Without a revision, a newer schema on which this version may run is left unchanged.

    Raises:
        ConfigurationError: the schema needs a newer version, or this version does not know the schema or the revision.
        DataWouldBeDropped: a downgrade would drop tables that hold data, and `may_drop` is False.
        StoreUnavailable: the database is unavailable or busy.
    """
    # Alembic takes a tenth of a process's memory. A process with an up-to-date schema does not import alembic.
    from tradingagents_adapters.sql import schema  # noqa: PLC0415

    try:
        await schema.migrate(options, to=to, may_drop=may_drop)
    except ConfigurationError:
        async with open_database(options) as database:
            if not await has_newer_schema(database) or to is not None:
                raise
