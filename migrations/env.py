"""Runs the migrations, for the command `alembic` and for the application, which passes its own connection."""

import asyncio
import logging
import sys
from logging.config import fileConfig

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql import open_database
from tradingagents_adapters.sql.alembic_env import (
    check_database_encoding,
    check_references,
    compared_on,
    is_compared_name,
    lock_migrations,
    without_old_names,
    write_schema_needs,
)
from tradingagents_adapters.sql.database import naming
from tradingagents_adapters.sql.migration_connection import transaction
from tradingagents_adapters.sql.revision import has_newer_schema
from tradingagents_adapters.sql.tables import metadata
from tradingagents_adapters.sql.version_table import rename_version_table, version_table
from tradingagents_core.errors import StoreUnavailable, explained
from tradingagents_service.settings import DatabaseSettings, load_settings

log = logging.getLogger("alembic.runtime.migration")


def run(connection: Connection) -> None:
    """Run the command's migrations in the transaction of this connection."""
    lock_migrations(connection)
    check_database_encoding(connection)
    table = version_table(connection)
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=table,
        include_name=is_compared_name,
        include_object=compared_on(connection.dialect.name),
        render_as_batch=True,
    )
    # Alembic has no public way to change which migrations its command runs.
    migration = context.get_context()
    migration._migrations_fn = without_old_names(migration._migrations_fn)  # noqa: SLF001
    context.run_migrations()
    rename_version_table(connection, table)
    write_schema_needs(connection, context.script)
    check_references(connection)


async def run_on_own_connection() -> None:
    """Run the command's migrations in the database of DATABASE_URL, one process after another."""
    options = load_settings(DatabaseSettings).database
    database = open_database(options)
    with naming(database.name):
        try:
            async with transaction(options) as connection:
                await connection.run_sync(run)
        except CommandError as error:
            async with database:
                await has_newer_schema(database)
            raise ConfigurationError(str(error)) from error
    log.info("The database is %s.", database.name)


if (connection := context.config.attributes.get("connection")) is not None:
    run(connection)
elif context.is_offline_mode():
    sys.exit("error: SQL scripts (--sql) are not supported; run the migration against the database")
else:
    if context.config.config_file_name:
        fileConfig(context.config.config_file_name, disable_existing_loggers=False)
    try:
        asyncio.run(run_on_own_connection())
    except (ConfigurationError, StoreUnavailable) as error:
        sys.exit(f"error: {explained(error)}")
