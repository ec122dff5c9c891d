"""Runs the migrations, for the command `alembic` and for the application, which brings its own connection."""

import asyncio
import logging
import sys
from logging.config import fileConfig

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql import open_database
from tradingagents_adapters.sql.database import naming
from tradingagents_adapters.sql.engine import transaction
from tradingagents_adapters.sql.revision import has_newer_schema
from tradingagents_adapters.sql.schema import (
    check_database,
    check_references,
    compared_on,
    is_own_name,
    place_version_table,
    shortened,
    take_turns,
    version_table,
    write_needs,
)
from tradingagents_adapters.sql.tables import metadata
from tradingagents_core.errors import StoreUnavailable, explained
from tradingagents_service.settings import DatabaseSettings, load_settings

log = logging.getLogger("alembic.runtime.migration")


def run(connection: Connection) -> None:
    """Run what was asked for in the transaction of this connection."""
    take_turns(connection)
    check_database(connection)
    table = version_table(connection)
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=table,
        include_name=is_own_name,
        include_object=compared_on(connection.dialect.name),
        render_as_batch=True,
    )
    # Only alembic knows what the command wants, and it offers no other way to change that.
    migration = context.get_context()
    migration._migrations_fn = shortened(migration._migrations_fn)  # noqa: SLF001
    context.run_migrations()
    place_version_table(connection, table)
    write_needs(connection, context.script)
    check_references(connection)


async def run_on_own_connection() -> None:
    """Run what was asked for in the database of DATABASE_URL; of several processes one works and the rest wait."""
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
