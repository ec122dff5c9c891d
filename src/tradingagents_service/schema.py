"""The schema of the configured database."""

from tradingagents_adapters.sql import DataWouldBeDropped, open_database
from tradingagents_adapters.sql import migrate as migrate_schema
from tradingagents_adapters.sql.database import naming
from tradingagents_service.settings import DatabaseSettings

__all__ = ["DataWouldBeDropped", "database_name", "migrate"]


def database_name(settings: DatabaseSettings) -> str:
    """Which database these settings name, for people: without its password."""
    return open_database(settings.database).name


async def migrate(settings: DatabaseSettings, *, to: str | None = None, may_drop: bool = False) -> None:
    """Bring the schema to a revision, or up to the newest; errors name the database.

    Raises:
        ConfigurationError: the schema needs a newer version, or is one that this version does not know.
        DataWouldBeDropped: on the way down tables that hold data would be dropped, and it is not said that they may be.
        StoreUnavailable: the database is away or busy.
    """
    with naming(database_name(settings)):
        await migrate_schema(settings.database, to=to, may_drop=may_drop)
