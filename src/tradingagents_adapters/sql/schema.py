"""Bringing the database's schema up to date."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, delete, func, insert, select, table, text

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.access import check_encoding
from tradingagents_adapters.sql.engine import transaction
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.revision import REVISION, DataWouldBeDropped
from tradingagents_adapters.sql.tables import schema_needs

_MIGRATION_LOCK: Final = 7_310_579_285_141
"""Any number that no other program takes for its own locks."""


async def migrate(options: DatabaseOptions, *, to: str | None = None, may_drop: bool = False) -> None:
    """Bring the schema to a revision, or up to the newest; of several processes that do so at once one works and the
    rest wait.

    Raises:
        ConfigurationError: the revision, or that of the schema, is one that this version does not know.
        DataWouldBeDropped: on the way down tables that hold data would be dropped, and it is not said that they may be.
        StoreUnavailable: the database is away or busy.
    """
    try:
        async with transaction(options) as connection:
            await connection.run_sync(partial(_migrate, to=to, may_drop=may_drop))
    except CommandError as error:
        raise ConfigurationError(f"the database's schema cannot be migrated: {error}") from error


def take_turns(connection: Connection) -> None:
    """Wait until no other process migrates, and keep others waiting until the transaction ends.

    On SQLite the transaction itself does that (`BEGIN IMMEDIATE`).
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})


def write_needs(connection: Connection, script: ScriptDirectory) -> None:
    """Write down the oldest code that may run on the schema, as the migration to it says, upgrade or downgrade.

    Migrations before 0004 say nothing, and have no place for it.
    """
    revision = MigrationContext.configure(connection).get_current_revision()
    module = None if revision is None else script.get_revision(revision).module
    needs = {name: getattr(module, name, None) for name in schema_needs.c.keys()}  # noqa: SIM118
    if None in needs.values() or [dict(row) for row in connection.execute(select(schema_needs)).mappings()] == [needs]:
        return
    connection.execute(delete(schema_needs))
    connection.execute(insert(schema_needs).values(needs))


def check_references(connection: Connection) -> None:
    """Refuse to end a migration that leaves a row without the row that it refers to; only SQLite has to be asked.

    Raises:
        ValueError: there is such a row.
    """
    if connection.dialect.name == "sqlite" and (broken := connection.execute(text("PRAGMA foreign_key_check")).all()):
        raise ValueError(f"the migration leaves {len(broken)} rows that refer to nothing")


def check_database(connection: Connection) -> None:
    """Refuse a database that cannot hold every text.

    Raises:
        ConfigurationError: it is one of those.
    """
    if connection.dialect.name == "postgresql":
        place = text("SELECT current_database(), current_setting('server_encoding')")
        check_encoding(*connection.execute(place).one())


def _migrate(connection: Connection, *, to: str | None, may_drop: bool) -> None:
    config = _config()
    config.attributes["connection"] = connection
    if to is None:
        command.upgrade(config, "head")
        return
    take_turns(connection)
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())
    known = {"base": "", "head": REVISION, **{script.revision: script.revision for script in scripts}}
    if to not in known:
        raise ConfigurationError(
            f"--to should be one of base, {', '.join(sorted(known.keys() - {'base', 'head'}))}, head"
        )
    target = known[to]
    current = MigrationContext.configure(connection).get_current_revision() or ""
    if target >= current:
        command.upgrade(config, to)
        return
    if not may_drop:
        undone = [script.module for script in scripts if target < script.revision <= current]
        _check_nothing_is_dropped(connection, [name for module in undone for name in getattr(module, "drops", ())])
    command.downgrade(config, to)


def _check_nothing_is_dropped(connection: Connection, tables: Sequence[str]) -> None:
    rows = {name: connection.scalar(select(func.count()).select_from(table(name))) or 0 for name in tables}
    if holding := {name: number for name, number in rows.items() if number}:
        raise DataWouldBeDropped(holding)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_migrations()).replace("%", "%%"))
    return config


def _migrations() -> Path:
    """The folder of the revisions: beside this file where the wheel is installed, at the root of a checkout."""
    installed = Path(__file__).with_name("migrations")
    return installed if installed.is_dir() else Path(__file__).parents[3] / "migrations"
