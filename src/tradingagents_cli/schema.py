"""The command that migrates."""

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
        typer.Option(metavar="REVISION", help="Revision to go to, up or down, such as 0003; base undoes everything."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Drop what holds data without asking.")] = False,
) -> None:
    """Bring the database's schema up to date, or to a revision."""
    settings = load_settings(DatabaseSettings)
    name = database_name(settings)
    try:
        asyncio.run(migrate_schema(settings, to=to, may_drop=yes))
    except DataWouldBeDropped as dropped:
        if not sys.stdin.isatty():
            raise ConfigurationError(
                f"{name}: going back to {to} drops {dropped}; add --yes to do so, or leave --to out"
            ) from None
        typer.confirm(f"Going back to {to} drops {dropped} of {name}. Go on?", abort=True)
        asyncio.run(migrate_schema(settings, to=to, may_drop=True))
    typer.echo("The database is up to date." if to is None else f"The database's schema is {to}.")
    say_database(name)
