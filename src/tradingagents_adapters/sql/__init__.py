"""The stores in an SQL database."""

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.access import check_access, check_encoding_and_schema, check_no_tables
from tradingagents_adapters.sql.database import Check, Database
from tradingagents_adapters.sql.drivers.aiosqlite import AiosqliteDriver
from tradingagents_adapters.sql.drivers.asyncpg import AsyncpgDriver
from tradingagents_adapters.sql.errors import DataWouldBeDropped
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.revision import check_schema, find_revision, has_newer_schema
from tradingagents_adapters.sql.sqlite import file_of

__all__ = ["DataWouldBeDropped", "Database", "migrate", "open_checked_database", "open_database"]


def open_database(options: DatabaseOptions, check: Check | None = None, *, starts_by_itself: bool = False) -> Database:
    """The database of these options. The first use connects, and runs the `check` before anything else."""
    driver = AiosqliteDriver(file_of(options)) if options.is_sqlite else AsyncpgDriver(options)
    return Database(driver, echo=options.echo, check=check, starts_by_itself=starts_by_itself)


def open_checked_database(options: DatabaseOptions, *, migrates: bool, starts_by_itself: bool = False) -> Database:
    """The database of these options. The first use checks the schema; with `migrates` it migrates an older schema."""
    return open_database(options, _SchemaCheck(options, migrates=migrates), starts_by_itself=starts_by_itself)


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


class _SchemaCheck:
    def __init__(self, options: DatabaseOptions, *, migrates: bool) -> None:
        self._options = options
        self._migrates = migrates
        self._has_passed = False

    async def __call__(self, database: Database) -> None:
        await check_encoding_and_schema(database)
        is_empty = await find_revision(database) is None
        if is_empty:
            await check_no_tables(database)
        # An empty file that replaces the database while the service runs must not be migrated.
        migrates = self._migrates and not (self._has_passed and is_empty)
        await check_schema(database, (lambda: migrate(self._options)) if migrates else None)
        await check_access(database)
        self._has_passed = True
