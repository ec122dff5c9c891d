"""Bringing the database's schema up to date."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Final, TypeAlias

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, String, column, delete, func, insert, inspect, select, table, text
from sqlalchemy.schema import SchemaItem

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.access import check_encoding
from tradingagents_adapters.sql.engine import transaction
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.revision import (
    FIRST_OF_OWN_NAMES,
    OLD_COLUMNS,
    OLD_VERSION_TABLE,
    REVISION,
    DataWouldBeDropped,
    is_old,
    may_be_old,
)
from tradingagents_adapters.sql.tables import PREFIX, VERSION_TABLE, schema_needs

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
    revision = _current_revision(connection)
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
    if connection.dialect.name != "sqlite":
        return
    broken = [row for row in connection.execute(text("PRAGMA foreign_key_check")) if _is_own(row.table, connection)]
    if broken:
        raise ValueError(f"the migration leaves {len(broken)} rows that refer to nothing")


def version_table(connection: Connection) -> str:
    """The name of the table in which the revision of our schema stands, or will stand.

    Before revision 0006 that is `alembic_version`; one that is another application's does not count.
    """
    inspector = inspect(connection)
    if inspector.has_table(VERSION_TABLE):
        return VERSION_TABLE
    columns = [(row.of_table, row.name) for row in connection.execute(OLD_COLUMNS[connection.dialect.name])]
    if not may_be_old(columns) or not inspector.has_table(OLD_VERSION_TABLE):
        return VERSION_TABLE
    revisions = connection.scalars(select(column("version_num", String)).select_from(table(OLD_VERSION_TABLE))).all()
    return OLD_VERSION_TABLE if is_old(revisions, columns) else VERSION_TABLE


def place_version_table(connection: Connection, name: str) -> None:
    """Give the table with the revision, which has this name, the one that it has in the schema that was reached.

    Without a schema there is no such table.

    Raises:
        ConfigurationError: the name that it should get is that of another application's table.
    """
    if not inspect(connection).has_table(name):
        return
    revision = _revision_in(connection, name)
    if revision is None:
        connection.execute(text(f"DROP TABLE {name}"))
        return
    wanted = VERSION_TABLE if revision >= FIRST_OF_OWN_NAMES else OLD_VERSION_TABLE
    if wanted == name:
        return
    inspector = inspect(connection)
    if inspector.has_table(wanted, inspector.default_schema_name):
        raise ConfigurationError(
            f"revision {revision} needs the name {wanted}, which another application's table has in this database; "
            "nothing was changed"
        )
    connection.execute(text(f"ALTER TABLE {name} RENAME TO {wanted}"))
    if connection.dialect.name == "postgresql":
        # As alembic names it.
        connection.execute(text(f"ALTER INDEX IF EXISTS {name}_pkc RENAME TO {wanted}_pkc"))


Plan: TypeAlias = Callable[[tuple[str, ...], MigrationContext], Iterable[MigrationStep]]
"""Says what alembic runs, from these revisions on."""


def shortened(plan: Plan) -> Plan:
    """The same plan, but that tables are made under their newest names at once, and are dropped under these.

    So the names that older revisions had for them, which may be those of another application's tables, are needed only
    on the way from an older revision, or to one.
    """

    def planned(revisions: tuple[str, ...], migration: MigrationContext) -> list[MigrationStep]:
        steps = list(plan(revisions, migration))
        passed = {step.revision.revision: step for step in steps if isinstance(step, RevisionStep)}
        older = [step for revision, step in passed.items() if revision < FIRST_OF_OWN_NAMES]
        if FIRST_OF_OWN_NAMES in passed and len(older) == int(FIRST_OF_OWN_NAMES) - 1:
            first = passed[FIRST_OF_OWN_NAMES]
            module = first.revision.module
            _replace_work(first, module.create if first.is_upgrade else module.drop)
            for step in older:
                _replace_work(step, lambda: None)
        return steps

    return planned


def compared_on(dialect_name: str) -> Callable[..., bool]:
    """Says which of our indexes alembic should find in a database of this dialect, and which not."""

    def is_compared(item: SchemaItem, _: str | None, kind: str, __: bool, ___: SchemaItem | None) -> bool:
        return kind != "index" or item.info.get("only_on", dialect_name) == dialect_name

    return is_compared


def is_own_name(name: str | None, kind: str, _: object) -> bool:
    """Whether alembic looks at something of this name in the database: at our tables, not at another application's."""
    return kind != "table" or (name is not None and name.startswith(PREFIX))


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
    current = _current_revision(connection) or ""
    if target >= current:
        command.upgrade(config, to)
        return
    if not may_drop:
        undone = [script.module for script in scripts if target < script.revision <= current]
        # What a revision drops has the name that a newer one has given it, as long as that is not undone.
        renamed = {old: new for module in undone for old, new in getattr(module, "renames", {}).items()}
        dropped = [renamed.get(name, name) for module in undone for name in getattr(module, "drops", ())]
        _check_nothing_is_dropped(connection, dropped)
    command.downgrade(config, to)


def _current_revision(connection: Connection) -> str | None:
    return _revision_in(connection, version_table(connection))


def _revision_in(connection: Connection, name: str) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table": name}).get_current_revision()


def _replace_work(step: RevisionStep, work: Callable[[], None]) -> None:
    # By the name of the function alembic says what it runs.
    step.migration_fn = wraps(step.migration_fn)(partial(work))


def _is_own(name: str, connection: Connection) -> bool:
    return name.startswith(PREFIX) or version_table(connection) == OLD_VERSION_TABLE


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
