"""Runs the migrations, for the command `alembic` and for the application, which brings its own connection."""

import asyncio
import sys
from logging.config import fileConfig

from alembic import context
from sqlalchemy import Connection

from tradingagents_adapters.settings import ConfigurationError, DatabaseSettings, load_settings
from tradingagents_adapters.sql.engine import transaction
from tradingagents_adapters.sql.schema import check_references, take_turns, write_needs
from tradingagents_adapters.sql.tables import metadata
from tradingagents_core.errors import StoreUnavailable


def run(connection: Connection) -> None:
    """Run what was asked for in the transaction of this connection."""
    take_turns(connection)
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=True,
    )
    context.run_migrations()
    write_needs(connection, context.script)
    check_references(connection)


async def run_on_own_connection() -> None:
    """Run what was asked for in the database of DATABASE_URL; of several processes one works and the rest wait."""
    async with transaction(load_settings(DatabaseSettings)) as connection:
        await connection.run_sync(run)


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
        sys.exit(f"error: {error}")
