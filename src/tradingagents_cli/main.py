"""The commands: serving, migrating, and the accounts.

A refusal is one line on standard error and exit status 1. Passwords are never read from the command line, which other
users of the machine can see.
"""

import asyncio
import json
import secrets
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Final, TypeVar

import typer
import uvicorn
from pydantic import SecretStr

from tradingagents_adapters.container import Container, running
from tradingagents_adapters.settings import ConfigurationError, DatabaseSettings, Settings, load_settings
from tradingagents_core.domain.user import User
from tradingagents_core.errors import StoreUnavailable, TradingAgentsError
from tradingagents_core.use_cases.users import ActivateUser, CreateUser, DeactivateUser, ListUsers, SetPassword
from tradingagents_http.app import create_app

KEY_BYTES: Final = 64
"""Enough for every algorithm that can be chosen."""

T = TypeVar("T")

app = typer.Typer(
    help="The TradingAgents REST API.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
users = typer.Typer(help="The accounts that may log in.", no_args_is_help=True)
app.add_typer(users, name="users")

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The account's e-mail address.", show_default=False)]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from one line of standard input.")
]


def main() -> None:
    """Run the command line."""
    try:
        app()
    except (ConfigurationError, TradingAgentsError) as error:
        typer.echo(f"error: {error}{_cause(error)}", err=True)
        sys.exit(1)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(help="Processes that serve.", min=1)] = 1,
    reload: Annotated[bool, typer.Option("--reload", help="Restart when a source file changes.")] = False,
) -> None:
    """Serve the API over HTTP."""
    uvicorn.run(
        "tradingagents_http.main:app", host=host, port=port, workers=workers, reload=reload, server_header=False
    )


@app.command()
def migrate() -> None:
    """Bring the database's schema up to date."""
    _run(_nothing)
    typer.echo("The database is up to date.")


@app.command()
def openapi() -> None:
    """Print the OpenAPI document of the API."""
    settings = Settings(jwt_secret_key=SecretStr(_new_key()))
    core = Container(settings=settings).use_cases()
    typer.echo(json.dumps(create_app(core).openapi(), indent=2))


@app.command()
def secret() -> None:
    """Print a fresh key for JWT_SECRET_KEY."""
    typer.echo(_new_key())


@users.command("create")
def create_user(
    email: Email,
    password_stdin: PasswordStdin = False,
    if_none: Annotated[bool, typer.Option("--if-none", help="Only if there is no account at all.")] = False,
) -> None:
    """Create an account. The password is asked for twice."""

    async def create(container: Container) -> str:
        if if_none and await ListUsers(store=container.store())():
            return "There is an account already; none was created."
        use_case = CreateUser(store=container.store(), passwords=container.passwords(), clock=container.clock())
        user = await use_case(email=email, password=_password(from_stdin=password_stdin))
        return f"Created the account {user.email}."

    typer.echo(_run(create))


@users.command("list")
def list_users() -> None:
    """List all accounts: id, status, when it was created, e-mail."""

    async def read(container: Container) -> Sequence[User]:
        return await ListUsers(store=container.store())()

    for user in _run(read):
        status = "active" if user.is_active else "inactive"
        typer.echo(f"{user.id:>6}  {status:<8}  {user.created_at:%Y-%m-%d %H:%M}  {user.email}")


@users.command("set-password")
def set_password(email: Email, password_stdin: PasswordStdin = False) -> None:
    """Give an account another password, which is asked for twice."""

    async def change(container: Container) -> User:
        use_case = SetPassword(store=container.store(), passwords=container.passwords(), clock=container.clock())
        return await use_case(email=email, password=_password(from_stdin=password_stdin))

    typer.echo(f"Changed the password of {_run(change).email}.")


@users.command("deactivate")
def deactivate_user(email: Email) -> None:
    """Refuse an account's logins and tokens from now on."""

    async def change(container: Container) -> User:
        return await DeactivateUser(store=container.store(), clock=container.clock())(email=email)

    typer.echo(f"Deactivated {_run(change).email}.")


@users.command("activate")
def activate_user(email: Email) -> None:
    """Accept an account's logins and tokens again."""

    async def change(container: Container) -> User:
        return await ActivateUser(store=container.store(), clock=container.clock())(email=email)

    typer.echo(f"Activated {_run(change).email}.")


def _run(work: Callable[[Container], Awaitable[T]]) -> T:
    """Do the work over the database of the environment, whose schema is brought up to date first."""

    async def work_while_running() -> T:
        container = Container(settings=load_settings(DatabaseSettings))
        async with running(container):
            return await work(container)

    return asyncio.run(work_while_running())


async def _nothing(_: Container) -> None:
    pass


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    if not sys.stdin.isatty():
        raise ConfigurationError("there is no terminal to ask for the password; send it with --password-stdin")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _new_key() -> str:
    return secrets.token_urlsafe(KEY_BYTES)


def _cause(error: Exception) -> str:
    """What the database said, for the person at its machine."""
    if not isinstance(error, StoreUnavailable) or error.__cause__ is None:
        return ""
    cause = getattr(error.__cause__, "orig", None) or error.__cause__
    return f" ({str(cause).splitlines()[0]})"
