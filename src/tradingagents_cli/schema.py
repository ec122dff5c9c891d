"""The command `migrate`."""

import asyncio
import sys
from typing import Annotated

import typer

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_cli.messages import say_database
from tradingagents_service.schema import DataWouldBeDropped, database_name
from tradingagents_service.schema import migrate as migrate_schema
from tradingagents_service.settings import DatabaseSettings, load_settings


def migrate(
    to: Annotated[
        str | None,
        typer.Option(metavar="REVISION", help="Upgrade or downgrade to this revision, such as 0003; base undoes all."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Drop tables that hold data without asking.")] = False,
) -> None:
    """Migrate the schema of the database to the newest or to another revision."""
    settings = load_settings(DatabaseSettings)
    name = database_name(settings)
    try:
        asyncio.run(migrate_schema(settings, to=to, may_drop=yes))
    except DataWouldBeDropped as dropped:
        if not sys.stdin.isatty():
            raise ConfigurationError(
                f"{name}: the downgrade to {to} drops {dropped}; add --yes to confirm, or leave --to out"
            ) from None
        typer.confirm(f"The downgrade to {to} drops {dropped} of {name}. Continue?", abort=True)
        asyncio.run(migrate_schema(settings, to=to, may_drop=True))
    typer.echo("The database is up to date." if to is None else f"The database's schema is at revision {to}.")
    say_database(name)
