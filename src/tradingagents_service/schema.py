"""The schema of the configured database."""

from tradingagents_adapters.sql import DataWouldBeDropped, open_database
from tradingagents_adapters.sql import migrate as migrate_schema
from tradingagents_adapters.sql.database import naming
from tradingagents_service.settings import DatabaseSettings

__all__ = ["DataWouldBeDropped", "database_name", "migrate"]


def database_name(settings: DatabaseSettings) -> str:
    """The name of the configured database for people, without the password."""
    return open_database(settings.database).name


async def migrate(settings: DatabaseSettings, *, to: str | None = None, may_drop: bool = False) -> None:
    """Migrate the schema to a revision, or to the newest. Errors name the database.

    Raises:
        ConfigurationError: the schema needs a newer version of the service, or is unknown to this version.
        DataWouldBeDropped: the downgrade would drop tables that hold data, and `may_drop` is false.
        StoreUnavailable: the database is unavailable or busy.
    """
    with naming(database_name(settings)):
        await migrate_schema(settings.database, to=to, may_drop=may_drop)
