"""Which schema this code is written for, which one a database has, and whether the two fit."""

import logging
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Select, TextClause, column, select, table, text

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.database import Database
from tradingagents_adapters.sql.errors import TableMissing
from tradingagents_adapters.sql.tables import VERSION_TABLE, schema_needs
from tradingagents_core import __version__

REVISION: Final = "0006"
"""The newest revision in `migrations`. Revisions are numbers of four digits: their texts have the same order."""

FIRST_OF_OWN_NAMES: Final = "0006"
"""The first revision whose tables all have names that no other application uses."""

OLD_VERSION_TABLE: Final = "alembic_version"
"""The table with the revision before that, unless it is another application's."""

_OLD_COLUMNS: Final[Mapping[str, Collection[tuple[str, str]]]] = {
    "0001": [
        *(("users", name) for name in ("id", "email", "password_hash", "is_active", "created_at", "updated_at")),
        *(("strategies", name) for name in ("id", "owner_id", "name", "description", "parameters", "is_active")),
    ],
    "0003": [("users", "strategy_count"), ("users", "active_strategy_count")],
    "0004": [(schema_needs.name, name) for name in schema_needs.columns.keys()],  # noqa: SIM118
}
"""Columns of the tables before that, by which another application's tables of the same names are told from them."""

_OLD_TABLES: Final = ("users", "strategies", schema_needs.name)

OLD_COLUMNS: Final[Mapping[str, TextClause]] = {
    "sqlite": text(
        f"""
SELECT found.name AS of_table, found_column.name AS name
FROM sqlite_schema AS found JOIN pragma_table_info(found.name) AS found_column
WHERE found.name IN {_OLD_TABLES}
"""  # noqa: S608 - nothing of a stranger's
    ),
    "postgresql": text(
        f"""
SELECT wanted.name AS of_table, CAST(attname AS text) AS name
FROM unnest(ARRAY[{", ".join(f"'{name}'" for name in _OLD_TABLES)}]) AS wanted (name)
JOIN pg_catalog.pg_attribute ON attrelid = to_regclass(wanted.name)
WHERE attnum > 0 AND NOT attisdropped
"""  # noqa: S608 - nothing of a stranger's
    ),
}
"""By the dialect: the columns of the tables that have the names of ours before that, whosever they are."""


def _revisions_in(version_table: str) -> Select[Any]:
    return select(column("version_num")).select_from(table(version_table))


_REVISION: Final = _revisions_in(VERSION_TABLE)
_OLD_REVISION: Final = _revisions_in(OLD_VERSION_TABLE)
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

    Another application's `alembic_version` does not count.

    Raises:
        ConfigurationError: the database says that it has several.
        StoreUnavailable: the database is away or busy.
    """
    version_table = VERSION_TABLE
    try:
        rows = await database.read_unchecked(_REVISION)
    except TableMissing:
        columns = [
            (row["of_table"], row["name"]) for row in await database.read_unchecked(OLD_COLUMNS[database.dialect_name])
        ]
        if not may_be_old(columns):
            return None
        version_table = OLD_VERSION_TABLE
        try:
            rows = await database.read_unchecked(_OLD_REVISION)
        except TableMissing:
            return None
        if not is_old([row["version_num"] for row in rows], columns):
            return None
    found = sorted(str(row["version_num"]) for row in rows)
    if len(found) > 1:
        mending = f"DELETE FROM {version_table} WHERE version_num <> '{found[-1]}'"  # noqa: S608 - for a person to run
        raise ConfigurationError(
            f"the table {version_table} holds {' and '.join(found)}, as after the data of another schema was restored: "
            f"run {mending}"
        )
    return found[0] if found else None


def may_be_old(columns: Iterable[tuple[str, str]]) -> bool:
    """Whether these columns are those of tables that a revision of ours before the own names has made."""
    return set(_OLD_COLUMNS["0001"]) <= set(columns)


def is_old(revisions: Iterable[str], columns: Iterable[tuple[str, str]]) -> bool:
    """Whether a table `alembic_version` that says these revisions, beside tables with these columns, is ours.

    It says revisions before the own names, and the tables have what the newest of these has made.
    """
    said = sorted(revisions)
    if not said or not all(re.fullmatch(r"\d{4}", each) and "0001" <= each < FIRST_OF_OWN_NAMES for each in said):
        return False
    made = [each for since, some in _OLD_COLUMNS.items() if since <= said[-1] for each in some]
    return set(made) <= set(columns)


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
        ConfigurationError: none has.
    """
    if revision is not None and not re.fullmatch(r"\d{4}", revision):
        raise ConfigurationError(
            f"the table {VERSION_TABLE} says {revision[:40]!a}, which no version of the service writes: it was changed "
            "by hand; restore a backup"
        )


def is_newer(revision: str | None) -> bool:
    """Whether a revision is one that this code does not know yet."""
    return revision is not None and revision > REVISION


async def has_newer_schema(database: Database) -> bool:
    """Whether the schema is a newer one on which this code may run.

    Raises:
        ConfigurationError: it is one that this code may not run on, or none that a version of the service has made.
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
