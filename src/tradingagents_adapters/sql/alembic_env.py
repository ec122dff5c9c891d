"""The steps of `migrations/env.py`: what happens before, during and after every migration."""

from collections.abc import Callable, Iterable
from functools import partial, wraps
from typing import Final, TypeAlias

from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, delete, insert, select, text
from sqlalchemy.schema import SchemaItem

from tradingagents_adapters.sql.access import check_encoding
from tradingagents_adapters.sql.old_tables import FIRST_PREFIXED_REVISION, OLD_VERSION_TABLE
from tradingagents_adapters.sql.tables import PREFIX, schema_needs
from tradingagents_adapters.sql.version_table import current_revision, version_table

_MIGRATION_LOCK: Final = 7_310_579_285_141
"""The key of an advisory lock: any number that no other program uses."""


def lock_migrations(connection: Connection) -> None:
    """Wait until no other process migrates, and lock out others until the transaction ends.

    On SQLite the transaction itself is the lock (`BEGIN IMMEDIATE`).
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})


def check_database_encoding(connection: Connection) -> None:
    """Refuse a database whose encoding does not hold every text.

    Raises:
        ConfigurationError: the encoding is not UTF8.
    """
    if connection.dialect.name == "postgresql":
        encoding = text("SELECT current_database(), current_setting('server_encoding')")
        check_encoding(*connection.execute(encoding).one())


Plan: TypeAlias = Callable[[tuple[str, ...], MigrationContext], Iterable[MigrationStep]]
"""Lists the steps that alembic runs, starting from these revisions."""


def without_old_names(plan: Plan) -> Plan:
    """The same plan, except that all tables are created or dropped under their newest names in one step.

    Another application's tables may have the names of older revisions. Those names are needed only on the way from an
    older revision, or to one.
    """

    def planned(revisions: tuple[str, ...], migration: MigrationContext) -> list[MigrationStep]:
        steps = list(plan(revisions, migration))
        passed = {step.revision.revision: step for step in steps if isinstance(step, RevisionStep)}
        older = [step for revision, step in passed.items() if revision < FIRST_PREFIXED_REVISION]
        if FIRST_PREFIXED_REVISION in passed and len(older) == int(FIRST_PREFIXED_REVISION) - 1:
            first = passed[FIRST_PREFIXED_REVISION]
            module = first.revision.module
            _replace_work(first, module.create if first.is_upgrade else module.drop)
            for step in older:
                _replace_work(step, lambda: None)
        return steps

    return planned


def compared_on(dialect_name: str) -> Callable[..., bool]:
    """A filter for alembic's comparison: which of our indexes a database of this dialect should have."""

    def is_compared(item: SchemaItem, _: str | None, kind: str, __: bool, ___: SchemaItem | None) -> bool:
        return kind != "index" or item.info.get("only_on", dialect_name) == dialect_name

    return is_compared


def is_compared_name(name: str | None, kind: str, _: object) -> bool:
    """A filter for alembic's comparison: our tables are compared, another application's tables are ignored."""
    return kind != "table" or (name is not None and name.startswith(PREFIX))


def write_schema_needs(connection: Connection, script: ScriptDirectory) -> None:
    """Store the oldest code that may run on the schema, as the newest migration in the schema names it.

    Migrations before 0004 name no oldest code, and have no table for it.
    """
    revision = current_revision(connection)
    module = None if revision is None else script.get_revision(revision).module
    needs = {name: getattr(module, name, None) for name in schema_needs.c.keys()}  # noqa: SIM118
    if None in needs.values() or [dict(row) for row in connection.execute(select(schema_needs)).mappings()] == [needs]:
        return
    connection.execute(delete(schema_needs))
    connection.execute(insert(schema_needs).values(needs))


def check_references(connection: Connection) -> None:
    """Refuse a migration on SQLite that leaves rows whose foreign keys refer to no row. PostgreSQL checks this itself.

    Raises:
        ValueError: there are such rows.
    """
    if connection.dialect.name != "sqlite":
        return
    broken = [row for row in connection.execute(text("PRAGMA foreign_key_check")) if _is_ours(row.table, connection)]
    if broken:
        raise ValueError(f"the migration leaves {len(broken)} rows whose foreign keys refer to no row")


def _replace_work(step: RevisionStep, work: Callable[[], None]) -> None:
    # Alembic logs the name of the function.
    step.migration_fn = wraps(step.migration_fn)(partial(work))


def _is_ours(table: str, connection: Connection) -> bool:
    return table.startswith(PREFIX) or version_table(connection) == OLD_VERSION_TABLE
