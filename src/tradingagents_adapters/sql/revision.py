"""Which schema this code is written for, and which one a database has."""

from typing import Any, Final

from sqlalchemy import Select, column, select, table

from tradingagents_adapters.sql.database import Database
from tradingagents_adapters.sql.errors import TableMissing

REVISION: Final = "0003"
"""The newest revision in `migrations`."""

_REVISION: Final[Select[Any]] = select(column("version_num")).select_from(table("alembic_version"))


async def find_revision(database: Database) -> str | None:
    """The revision of a database's schema; None where it has never been migrated.

    Raises:
        StoreUnavailable: the database is away or busy.
    """
    try:
        rows = await database.read(_REVISION)
    except TableMissing:
        return None
    return str(rows[0]["version_num"]) if rows else None
