"""The command `tradingagents`. An expected error is one line on standard error, with exit status 1."""

import json
import sys
from typing import Annotated

import typer

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.jwt_keys import AlgorithmName, new_key
from tradingagents_cli.accounts import commands as users
from tradingagents_cli.keys import commands as keys
from tradingagents_cli.messages import explained_to_operator
from tradingagents_cli.schema import migrate
from tradingagents_cli.serving import serve
from tradingagents_cli.sessions import commands as sessions
from tradingagents_core import __version__
from tradingagents_core.errors import TradingAgentsError
from tradingagents_service.document import openapi_document

app = typer.Typer(
    help="The TradingAgents REST API.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
app.command()(serve)
app.command()(migrate)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except (ConfigurationError, TradingAgentsError) as error:
        typer.echo(f"error: {explained_to_operator(error)}", err=True)
        sys.exit(1)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"tradingagents {__version__}")
        raise typer.Exit


@app.callback()
def tradingagents(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """The TradingAgents REST API."""


@app.command()
def openapi() -> None:
    """Print the OpenAPI document of the API."""
    typer.echo(json.dumps(openapi_document(), indent=2))


@app.command()
def secret(
    *,
    algorithm: Annotated[AlgorithmName, typer.Option(help="The JWT_ALGORITHM for which the key is.")] = "HS256",
) -> None:
    """Print a new random key for JWT_SECRET_KEY: a text for HS*, a private key in PEM for the other algorithms."""
    typer.echo(new_key(algorithm))


app.add_typer(users, name="users")
app.add_typer(keys, name="keys")
app.add_typer(sessions, name="sessions")
