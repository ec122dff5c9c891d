"""Migrating the schema with alembic."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, func, select, table
from sqlalchemy.ext.asyncio import AsyncConnection

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.alembic_env import lock_migrations
from tradingagents_adapters.sql.errors import DataWouldBeDropped
from tradingagents_adapters.sql.migration_connection import transaction
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.revision import REVISION
from tradingagents_adapters.sql.version_table import current_revision

_ALEMBIC: Final = threading.Lock()
"""Alembic keeps the running migration in variables of its modules."""

PAUSE_SECONDS: Final = 0.05
"""The pauses while another migration runs in this process."""


async def migrate(options: DatabaseOptions, *, to: str | None = None, may_drop: bool = False) -> None:
    """Migrate the schema to a revision, or to the newest. Concurrent migrations run one after another.

    Raises:
        ConfigurationError: this version does not know the revision, or does not know that of the schema.
        DataWouldBeDropped: a downgrade would drop tables that hold data, and `may_drop` is False.
        StoreUnavailable: the database is unavailable or busy.
    """
    await migrate_in(transaction(options), to=to, may_drop=may_drop)


async def migrate_in(
    transaction: AbstractAsyncContextManager[AsyncConnection], *, to: str | None = None, may_drop: bool = False
) -> None:
    """Migrate the schema, as `migrate` does, in a transaction of `migration_connection`.

    Raises:
        ConfigurationError: this version does not know the revision, or does not know that of the schema.
        DataWouldBeDropped: a downgrade would drop tables that hold data, and `may_drop` is False.
        StoreUnavailable: the database is unavailable or busy.
    """
    try:
        async with _alone_in_this_process(), transaction as connection:
            await connection.run_sync(partial(_migrate, to=to, may_drop=may_drop))
    except CommandError as error:
        raise ConfigurationError(f"the database's schema cannot be migrated: {error}") from error


@asynccontextmanager
async def _alone_in_this_process() -> AsyncIterator[None]:
    """A block that one task of this process enters at a time, in all its event loops."""
    while not _ALEMBIC.acquire(blocking=False):  # noqa: ASYNC110 - an event belongs to one event loop
        await asyncio.sleep(PAUSE_SECONDS)
    try:
        yield
    finally:
        _ALEMBIC.release()


def _migrate(connection: Connection, *, to: str | None, may_drop: bool) -> None:
    config = _config()
    config.attributes["connection"] = connection
    if to is None:
        command.upgrade(config, "head")
        return
    lock_migrations(connection)
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())
    known = {"base": "", "head": REVISION, **{script.revision: script.revision for script in scripts}}
    if to not in known:
        raise ConfigurationError(
            f"--to should be one of base, {', '.join(sorted(known.keys() - {'base', 'head'}))}, head"
        )
    target = known[to]
    current = current_revision(connection) or ""
    if target >= current:
        command.upgrade(config, to)
        return
    if not may_drop:
        undone = [script.module for script in scripts if target < script.revision <= current]
        # Before the downgrade a table still has the name that a newer revision gave it.
        renamed = {old: new for module in undone for old, new in getattr(module, "renames", {}).items()}
        dropped = [renamed.get(name, name) for module in undone for name in getattr(module, "drops", ())]
        _check_nothing_is_dropped(connection, dropped)
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
    """The folder of the migrations: beside this file in an installed wheel, at the root of a checkout."""
    installed = Path(__file__).with_name("migrations")
    return installed if installed.is_dir() else Path(__file__).parents[3] / "migrations"
