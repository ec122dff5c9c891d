"""The store in an SQL database."""

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.access import check_access, check_no_tables, check_place
from tradingagents_adapters.sql.database import Check, Database
from tradingagents_adapters.sql.drivers.aiosqlite import AiosqliteDriver
from tradingagents_adapters.sql.drivers.asyncpg import AsyncpgDriver
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.revision import DataWouldBeDropped, check_schema, find_revision, has_newer_schema
from tradingagents_adapters.sql.sqlite import file_of

__all__ = ["DataWouldBeDropped", "migrate", "open_checked_database", "open_database"]


def open_database(options: DatabaseOptions, check: Check | None = None) -> Database:
    """The database of these options; it connects when it is first used, and has its schema checked before."""
    driver = AiosqliteDriver(file_of(options)) if options.is_sqlite else AsyncpgDriver(options)
    return Database(driver, echo=options.echo, check=check)


def open_checked_database(options: DatabaseOptions, *, migrates: bool) -> Database:
    """The database of these options; before it is used, its schema is found to fit, or is brought up to date where the
    start `migrates`."""
    return open_database(options, _SchemaCheck(options, migrates=migrates))


async def migrate(options: DatabaseOptions, *, to: str | None = None, may_drop: bool = False) -> None:
    """Bring the schema to a revision, or up to the newest; of several processes that do so at once one works and the
    rest wait.

    A newer schema on which this version may run is left as it is, where no revision is named.

    Raises:
        ConfigurationError: the schema needs a newer version, or is one that this version does not know.
        DataWouldBeDropped: on the way down tables that hold data would be dropped, and it is not said that they may be.
        StoreUnavailable: the database is away or busy.
    """
    # Alembic takes a tenth of a process's memory; one whose schema is up to date does without.
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
        await check_place(database)
        is_empty = await find_revision(database) is None
        if is_empty:
            await check_no_tables(database)
        # A file that is put in place of another while the service runs should not become an empty database.
        migrates = self._migrates and not (self._has_passed and is_empty)
        await check_schema(database, (lambda: migrate(self._options)) if migrates else None)
        await check_access(database)
        self._has_passed = True
