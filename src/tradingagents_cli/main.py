"""The commands: serving, migrating, and the accounts.

A refusal is one line on standard error and exit status 1. Passwords are never read from the command line, which other
users of the machine can see.
"""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from tradingagents_adapters.argon2_passwords import Argon2PasswordHasher
from tradingagents_adapters.clock import utc_now
from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.jwt_tokens import JwtTokenService
from tradingagents_adapters.login_queue import RoundRobinLoginQueue
from tradingagents_adapters.memory import MemoryLoginFailures, MemoryStore
from tradingagents_adapters.sql import DataWouldBeDropped, open_database
from tradingagents_adapters.sql import migrate as migrate_schema
from tradingagents_adapters.sql.database import naming
from tradingagents_core import __version__
from tradingagents_core.domain.user import User
from tradingagents_core.errors import TradingAgentsError, explained
from tradingagents_core.use_cases import UseCases
from tradingagents_core.use_cases.users import ActivateUser, CreateUser, DeactivateUser, ListUsers, SetPassword
from tradingagents_http.app import create_app
from tradingagents_http.server.run import ServerOptions
from tradingagents_http.server.run import serve as serve_http
from tradingagents_service import APPLICATION
from tradingagents_service.container import Container, running
from tradingagents_service.settings import AccountSettings, DatabaseSettings, Settings, load_settings

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
        typer.echo(f"error: {explained(error)}", err=True)
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
def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = ServerOptions.host,
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = ServerOptions.port,
    uds: Annotated[Path | None, typer.Option(help="Unix socket to listen on, in place of host and port.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that serve.", min=1)] = ServerOptions.workers,
    reload: Annotated[bool, typer.Option("--reload", help="Restart when a source file changes.")] = False,
    root_path: Annotated[
        str | None, typer.Option(help="Prefix that a proxy strips from the paths.", show_default="ROOT_PATH")
    ] = None,
    keep_alive: Annotated[
        int, typer.Option(help="Seconds that a connection without requests stays open.", min=0)
    ] = ServerOptions.keep_alive,
    request_timeout: Annotated[
        float, typer.Option(help="Seconds that a request may take to arrive.", min=0.1)
    ] = ServerOptions.request_timeout,
    graceful_timeout: Annotated[
        int, typer.Option(help="Seconds that requests may go on once the server is asked to end.", min=0)
    ] = ServerOptions.graceful_timeout,
    limit_concurrency: Annotated[
        int | None,
        typer.Option(help="Requests that a process answers at once; more are answered with 503.", min=1),
    ] = None,
    access_log: Annotated[bool, typer.Option("--access-log", help="Log every request.")] = False,
) -> None:
    """Serve the API over HTTP."""
    if root_path is not None:
        # The workers read it from there, like all that configures them.
        os.environ["ROOT_PATH"] = root_path
    load_settings(Settings)
    serve_http(
        APPLICATION,
        ServerOptions(
            host=host,
            port=port,
            uds=uds,
            workers=workers,
            reload=reload,
            keep_alive=keep_alive,
            request_timeout=request_timeout,
            graceful_timeout=graceful_timeout,
            limit_concurrency=limit_concurrency,
            access_log=access_log,
        ),
    )


@app.command()
def migrate(
    to: Annotated[
        str | None,
        typer.Option(metavar="REVISION", help="Revision to go to, up or down, such as 0003; base undoes everything."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Drop what holds data without asking.")] = False,
) -> None:
    """Bring the database's schema up to date, or to a revision."""
    database = load_settings(DatabaseSettings).database
    name = open_database(database).name

    def go(*, may_drop: bool) -> None:
        with naming(name):
            asyncio.run(migrate_schema(database, to=to, may_drop=may_drop))

    try:
        go(may_drop=yes)
    except DataWouldBeDropped as dropped:
        if not sys.stdin.isatty():
            raise ConfigurationError(
                f"{name}: going back to {to} drops {dropped}; add --yes to do so, or leave --to out"
            ) from None
        typer.confirm(f"Going back to {to} drops {dropped} of {name}. Go on?", abort=True)
        go(may_drop=True)
    typer.echo("The database is up to date." if to is None else f"The database's schema is {to}.")
    _say_which(name)


@app.command()
def openapi() -> None:
    """Print the OpenAPI document of the API."""
    tokens = JwtTokenService(secret_key=_new_key(), algorithm="HS256", lifetime=timedelta(minutes=30), clock=utc_now)
    core = UseCases.over(
        store=MemoryStore(),
        failures=MemoryLoginFailures(),
        login_queue=RoundRobinLoginQueue(turns=1),
        tokens=tokens,
        passwords=Argon2PasswordHasher(),
        clock=utc_now,
    )
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
    if if_none and _run(_read_users, says_which=False):
        typer.echo("There is an account already; none was created.")
        _say_which(open_database(load_settings(DatabaseSettings).database).name)
        return
    password = _password(from_stdin=password_stdin)

    async def create(container: Container) -> User:
        use_case = CreateUser(store=container.store(), passwords=container.passwords(), clock=container.clock())
        return await use_case(email=email, password=password)

    typer.echo(f"Created the account {_run(create).email}.")


@users.command("list")
def list_users() -> None:
    """List all accounts: id, status, when it was created, e-mail."""
    for user in _run(_read_users):
        status = "active" if user.is_active else "inactive"
        typer.echo(f"{user.id:>6}  {status:<8}  {user.created_at:%Y-%m-%d %H:%M}  {user.email}")


@users.command("set-password")
def set_password(email: Email, password_stdin: PasswordStdin = False) -> None:
    """Give an account another password, which is asked for twice."""
    password = _password(from_stdin=password_stdin)

    async def change(container: Container) -> User:
        use_case = SetPassword(store=container.store(), passwords=container.passwords(), clock=container.clock())
        return await use_case(email=email, password=password)

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


async def _read_users(container: Container) -> Sequence[User]:
    return await ListUsers(store=container.store())()


def _run(work: Callable[[Container], Awaitable[T]], *, says_which: bool = True) -> T:
    """Do the work over the database of the environment, whose schema is brought up to date first."""
    container = Container(settings=load_settings(AccountSettings))

    async def work_while_running() -> T:
        async with running(container):
            return await work(container)

    done = asyncio.run(work_while_running())
    if says_which:
        _say_which(container.database().name)
    return done


def _say_which(database: str) -> None:
    """Tell which database was used: on standard error, since scripts read what the commands print."""
    typer.echo(f"database: {database}", err=True)


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    if not sys.stdin.isatty():
        raise ConfigurationError("there is no terminal to ask for the password; send it with --password-stdin")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _new_key() -> str:
    return secrets.token_urlsafe(KEY_BYTES)
