"""The store in an SQL database."""

from tradingagents_adapters.settings import ConfigurationError, DatabaseSettings
from tradingagents_adapters.sql.access import check_access, check_no_tables, check_place
from tradingagents_adapters.sql.database import Check, Database
from tradingagents_adapters.sql.postgresql import PgbouncerDatabase, PostgresqlDatabase
from tradingagents_adapters.sql.revision import DataWouldBeDropped, check_schema, find_revision, has_newer_schema
from tradingagents_adapters.sql.sqlite import SqliteDatabase

__all__ = ["DataWouldBeDropped", "migrate", "open_checked_database", "open_database"]


def open_database(settings: DatabaseSettings, check: Check | None = None) -> Database:
    """The database of these settings; it connects when it is first used, and has its schema checked before."""
    if settings.database_url.get_backend_name() == "sqlite":
        return SqliteDatabase(settings, check)
    return PgbouncerDatabase(settings, check) if settings.database_pgbouncer else PostgresqlDatabase(settings, check)


def open_checked_database(settings: DatabaseSettings) -> Database:
    """The database of these settings; before it is used, its schema is brought up to date or found to fit."""
    return open_database(settings, _SchemaCheck(settings))


async def migrate(settings: DatabaseSettings, *, to: str | None = None, may_drop: bool = False) -> None:
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
        await schema.migrate(settings, to=to, may_drop=may_drop)
    except ConfigurationError:
        async with open_database(settings) as database:
            if not await has_newer_schema(database) or to is not None:
                raise


class _SchemaCheck:
    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._has_passed = False

    async def __call__(self, database: Database) -> None:
        await check_place(database)
        is_empty = await find_revision(database) is None
        if is_empty:
            await check_no_tables(database)
        # A file that is put in place of another while the service runs should not become an empty database.
        migrates = self._settings.migrates_on_start and not (self._has_passed and is_empty)
        await check_schema(database, (lambda: migrate(self._settings)) if migrates else None)
        await check_access(database)
        self._has_passed = True
