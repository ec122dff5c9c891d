"""The store in an SQL database."""

from tradingagents_adapters.settings import DatabaseSettings
from tradingagents_adapters.sql.database import Database
from tradingagents_adapters.sql.postgresql import PgbouncerDatabase, PostgresqlDatabase
from tradingagents_adapters.sql.sqlite import SqliteDatabase

__all__ = ["migrate", "open_database"]


def open_database(settings: DatabaseSettings) -> Database:
    """The database of these settings; it connects when it is first used."""
    if settings.database_url.get_backend_name() == "sqlite":
        return SqliteDatabase(settings)
    return PgbouncerDatabase(settings) if settings.database_pgbouncer else PostgresqlDatabase(settings)


async def migrate(settings: DatabaseSettings) -> None:
    """Bring the schema up to the newest revision; of several processes that do so at once one works and the rest wait.

    Raises:
        ConfigurationError: the schema is one that this version does not know.
        StoreUnavailable: the database is away or busy.
    """
    # Alembic takes a tenth of a process's memory; one whose schema is up to date does without.
    from tradingagents_adapters.sql import schema  # noqa: PLC0415

    await schema.migrate(settings)
