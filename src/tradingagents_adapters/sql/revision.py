"""Which schema this code is written for, which one a database has, and whether the two fit."""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from sqlalchemy import Select, column, select, table

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.database import Database
from tradingagents_adapters.sql.errors import TableMissing
from tradingagents_adapters.sql.tables import schema_needs
from tradingagents_core import __version__

REVISION: Final = "0005"
"""The newest revision in `migrations`. Revisions are numbers of four digits: their texts have the same order."""

_REVISION: Final[Select[Any]] = select(column("version_num")).select_from(table("alembic_version"))
_NEEDS: Final[Select[Any]] = select(schema_needs)

_GO_BACK: Final = f"`tradingagents migrate --to {REVISION}`"

_log: Final = logging.getLogger(__name__)


class DataWouldBeDropped(Exception):
    """On the way down to an older revision, `tables` that hold data would be dropped: how many rows each has."""

    def __init__(self, tables: Mapping[str, int]) -> None:
        super().__init__(
            ", ".join(f"{name} ({rows} {'row' if rows == 1 else 'rows'})" for name, rows in tables.items())
        )
        self.tables = tables


async def find_revision(database: Database) -> str | None:
    """The revision of a database's schema; None where it has never been migrated.

    Raises:
        ConfigurationError: the database says that it has several.
        StoreUnavailable: the database is away or busy.
    """
    try:
        rows = await database.read_unchecked(_REVISION)
    except TableMissing:
        return None
    found = sorted(str(row["version_num"]) for row in rows)
    if len(found) > 1:
        mending = f"DELETE FROM alembic_version WHERE version_num <> '{found[-1]}'"  # noqa: S608 - for a person to run
        raise ConfigurationError(
            f"the table alembic_version holds {' and '.join(found)}, as after the data of another schema was restored: "
            f"run {mending}"
        )
    return found[0] if found else None


async def check_schema(database: Database, migrate: Callable[[], Awaitable[None]] | None) -> None:
    """Return when the schema is one for this code, after an older one has been migrated where there is a way to.

    Raises:
        ConfigurationError: the schema is older or missing and there is no way to migrate it, or it needs newer code.
        StoreUnavailable: the database is away or busy.
    """
    check_known(revision := await find_revision(database))
    if is_newer(revision):
        await check_newer_schema(database, revision)
    elif revision != REVISION and migrate is not None:
        await migrate()
    elif revision != REVISION:
        raise ConfigurationError(
            f"the database's schema is {revision or 'missing'}, not the one of this version: "
            "run `tradingagents migrate`"
        )


def check_known(revision: str | None) -> None:
    """Return when a version of the service, however new, may have written this revision.

    Raises:
        ConfigurationError: another application has.
    """
    if revision is not None and not re.fullmatch(r"\d{4}", revision):
        raise ConfigurationError(
            f"the table alembic_version says {revision[:40]!a}, which no version of the service writes: it is another "
            "application's; name a database in DATABASE_URL that is the service's own"
        )


def is_newer(revision: str | None) -> bool:
    """Whether a revision is one that this code does not know yet."""
    return revision is not None and revision > REVISION


async def has_newer_schema(database: Database) -> bool:
    """Whether the schema is a newer one on which this code may run.

    Raises:
        ConfigurationError: it is one that this code may not run on, or another application's.
        StoreUnavailable: the database is away or busy.
    """
    check_known(revision := await find_revision(database))
    if is_newer(revision):
        await check_newer_schema(database, revision)
        return True
    return False


async def check_newer_schema(database: Database, revision: str | None) -> None:
    """Return when a newer schema says that this code may run on it.

    Raises:
        ConfigurationError: it says that it needs newer code, or says nothing.
        StoreUnavailable: the database is away or busy.
    """
    try:
        rows = await database.read_unchecked(_NEEDS)
    except TableMissing:
        rows = ()
    # What was said of another schema, whose data was restored, does not count: nobody has said it of this one.
    rows = [row for row in rows if row["revision"] == revision]
    if not rows:
        raise ConfigurationError(
            f"the database's schema {revision} is newer than this version of the service ({__version__}): "
            f"install the version that made it, or go back with that version: {_GO_BACK}"
        )
    if rows[0]["oldest_revision"] > REVISION:
        raise ConfigurationError(
            f"the database's schema {revision} needs at least version {rows[0]['oldest_version']} of the service: "
            f"install it in place of this one ({__version__}), or go back with the version that made it: {_GO_BACK}"
        )
    _log.info("The database's schema %s is newer than this code's, %s, which may run on it.", revision, REVISION)
