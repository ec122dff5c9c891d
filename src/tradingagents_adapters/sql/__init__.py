"""The store in an SQL database."""

from tradingagents_adapters.settings import ConfigurationError, DatabaseSettings
from tradingagents_adapters.sql.database import Check, Database
from tradingagents_adapters.sql.postgresql import PgbouncerDatabase, PostgresqlDatabase
from tradingagents_adapters.sql.revision import check_newer_schema, check_schema, find_revision, is_newer
from tradingagents_adapters.sql.sqlite import SqliteDatabase

__all__ = ["migrate", "open_checked_database", "open_database"]


def open_database(settings: DatabaseSettings, check: Check | None = None) -> Database:
    """The database of these settings; it connects when it is first used, and has its schema checked before."""
    if settings.database_url.get_backend_name() == "sqlite":
        return SqliteDatabase(settings, check)
    return PgbouncerDatabase(settings, check) if settings.database_pgbouncer else PostgresqlDatabase(settings, check)


def open_checked_database(settings: DatabaseSettings) -> Database:
    """The database of these settings; before it is used, its schema is brought up to date or found to fit."""
    return open_database(settings, _SchemaCheck(settings))


async def migrate(settings: DatabaseSettings) -> None:
    """Bring the schema up to the newest revision; of several processes that do so at once one works and the rest wait.

    A newer schema on which this version may run is left as it is.

    Raises:
        ConfigurationError: the schema needs a newer version, or is one that this version does not know.
        StoreUnavailable: the database is away or busy.
    """
    # Alembic takes a tenth of a process's memory; one whose schema is up to date does without.
    from tradingagents_adapters.sql import schema  # noqa: PLC0415

    try:
        await schema.migrate(settings)
    except ConfigurationError:
        async with open_database(settings) as database:
            if not is_newer(revision := await find_revision(database)):
                raise
            await check_newer_schema(database, revision)


class _SchemaCheck:
    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._has_passed = False

    async def __call__(self, database: Database) -> None:
        # A file that is put in place of another while the service runs should not become an empty database.
        migrates = self._settings.migrates_on_start and not (self._has_passed and await find_revision(database) is None)
        await check_schema(database, (lambda: migrate(self._settings)) if migrates else None)
        self._has_passed = True
