"""Runs the migrations, for the command `alembic` and for the application, which brings its own connection."""

import asyncio
import sys
from logging.config import fileConfig

from alembic import context
from sqlalchemy import Connection

from tradingagents_adapters.settings import ConfigurationError, DatabaseSettings, load_settings
from tradingagents_adapters.sql.connections import transaction
from tradingagents_adapters.sql.engine import open_engine
from tradingagents_adapters.sql.schema import check_references, take_turns
from tradingagents_adapters.sql.tables import UtcDateTime, metadata
from tradingagents_core.errors import StoreUnavailable


def render_item(kind: str, item: object, _: object) -> str | bool:
    """Write a type of ours as the plain type of the database that it stands for."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


def run(connection: Connection) -> None:
    """Run what was asked for in the transaction of this connection."""
    take_turns(connection)
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=True,
        render_item=render_item,
    )
    context.run_migrations()
    check_references(connection)


async def run_on_own_engine() -> None:
    """Run what was asked for in the database of DATABASE_URL; of several processes one works and the rest wait."""
    engine = open_engine(load_settings(DatabaseSettings), for_migrations=True)
    try:
        async with transaction(engine) as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


if (connection := context.config.attributes.get("connection")) is not None:
    run(connection)
elif context.is_offline_mode():
    sys.exit("error: SQL scripts (--sql) are not supported; run the migration against the database")
else:
    if context.config.config_file_name:
        fileConfig(context.config.config_file_name, disable_existing_loggers=False)
    try:
        asyncio.run(run_on_own_engine())
    except (ConfigurationError, StoreUnavailable) as error:
        sys.exit(f"error: {error}")
