"""Which schema this code is written for, which schema a database has, and whether they fit."""

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from sqlalchemy import Select, column, select, table

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.database import Database
from tradingagents_adapters.sql.errors import TableMissing
from tradingagents_adapters.sql.old_tables import OLD_COLUMNS, OLD_VERSION_TABLE, is_our_version_table, may_be_ours
from tradingagents_adapters.sql.tables import VERSION_TABLE, schema_needs
from tradingagents_core import __version__

REVISION: Final = "0007"
"""The newest revision in `migrations`. Revisions are numbers of four digits, so they sort as text."""


def _select_revisions(version_table: str) -> Select[Any]:
    return select(column("version_num")).select_from(table(version_table))


_REVISIONS: Final = _select_revisions(VERSION_TABLE)
_OLD_REVISIONS: Final = _select_revisions(OLD_VERSION_TABLE)
_NEEDS: Final[Select[Any]] = select(schema_needs)

_GO_BACK: Final = f"`tradingagents migrate --to {REVISION}`"

_log: Final = logging.getLogger(__name__)


async def find_revision(database: Database) -> str | None:
    """The revision of a database's schema; None for a database that was never migrated.

    Another application's `alembic_version` is ignored.

    Raises:
        ConfigurationError: the database holds several revisions.
        StoreUnavailable: the database is unavailable or busy.
    """
    version_table = VERSION_TABLE
    try:
        rows = await database.read_unchecked(_REVISIONS)
    except TableMissing:
        columns = [
            (row["of_table"], row["name"]) for row in await database.read_unchecked(OLD_COLUMNS[database.dialect_name])
        ]
        if not may_be_ours(columns):
            return None
        version_table = OLD_VERSION_TABLE
        try:
            rows = await database.read_unchecked(_OLD_REVISIONS)
        except TableMissing:
            return None
        if not is_our_version_table([row["version_num"] for row in rows], columns):
            return None
    found = sorted(str(row["version_num"]) for row in rows)
    if len(found) > 1:
        remedy = f"DELETE FROM {version_table} WHERE version_num <> '{found[-1]}'"  # noqa: S608 - for a person to run
        raise ConfigurationError(
            f"the table {version_table} holds {' and '.join(found)}, as after the data of another schema was restored: "
            f"run {remedy}"
        )
    return found[0] if found else None


async def check_schema(database: Database, migrate: Callable[[], Awaitable[None]] | None, *, remedy: str) -> None:
    """Return when this code may run on the schema. Where `migrate` is given, an older schema is migrated first.

    `remedy` tells a person how to migrate where `migrate` is None.

    Raises:
        ConfigurationError: the schema is older or missing and `migrate` is None, or the schema needs newer code.
        StoreUnavailable: the database is unavailable or busy.
    """
    revision = await find_revision(database)
    if revision == REVISION or await _is_newer_and_fits(database, revision):
        return
    if migrate is None:
        raise ConfigurationError(
            f"the database's schema is {revision or 'missing'}, but this version needs {REVISION}: {remedy}"
        )
    await migrate()


async def has_newer_schema(database: Database) -> bool:
    """Whether the schema is newer than this code, and this code may run on it.

    Raises:
        ConfigurationError: this code may not run on the schema, or no version of the service made the schema.
        StoreUnavailable: the database is unavailable or busy.
    """
    return await _is_newer_and_fits(database, await find_revision(database))


async def _is_newer_and_fits(database: Database, revision: str | None) -> bool:
    if revision is None:
        return False
    if not re.fullmatch(r"\d{4}", revision):
        raise ConfigurationError(
            f"the table {VERSION_TABLE} says {revision[:40]!a}, which no version of the service writes: the table was "
            "changed by hand; restore a backup"
        )
    if revision <= REVISION:
        return False
    await _check_newer_schema(database, revision)
    return True


async def _check_newer_schema(database: Database, revision: str) -> None:
    try:
        rows = await database.read_unchecked(_NEEDS)
    except TableMissing:
        rows = ()
    # A row about another revision came with restored data, and says nothing about this schema.
    rows = [row for row in rows if row["revision"] == revision]
    if not rows:
        raise ConfigurationError(
            f"the database's schema {revision} is newer than this version of the service ({__version__}): "
            f"install the version that made the schema, or go back with that version: {_GO_BACK}"
        )
    if rows[0]["oldest_revision"] > REVISION:
        raise ConfigurationError(
            f"the database's schema {revision} needs at least version {rows[0]['oldest_version']} of the service: "
            f"install that version in place of {__version__}, or go back with the version that made the schema: "
            f"{_GO_BACK}"
        )
    _log.info(
        "The database's schema %s is newer than this code's schema %s. This code may run on it.", revision, REVISION
    )
