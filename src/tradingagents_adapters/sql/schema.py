"""Bringing the database's schema up to date, and telling whether it is."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from tradingagents_adapters.sql.engine import begun


async def migrate(engine: AsyncEngine) -> None:
    """Bring the schema up to the newest revision; of several processes that do so at once one works and the rest wait.

    Raises:
        StoreUnavailable: the database is away or busy.
    """
    async with begun(engine) as connection:
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_migrations()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _migrations() -> Path:
    """The folder of the revisions: beside this file where the wheel is installed, at the root of a checkout."""
    installed = Path(__file__).with_name("migrations")
    return installed if installed.is_dir() else Path(__file__).parents[3] / "migrations"
