"""The commands for accounts.

Passwords are never command line arguments, since other users of the machine can see those.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_cli.messages import say_database
from tradingagents_core.use_cases import AccountUseCases
from tradingagents_service.container import Container, running
from tradingagents_service.schema import database_name
from tradingagents_service.settings import AccountSettings, DatabaseSettings, load_settings

T = TypeVar("T")

commands = typer.Typer(help="Manage the accounts that may log in.", no_args_is_help=True)

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The account's e-mail address.", show_default=False)]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from one line of standard input.")
]


@commands.command("create")
def create_user(
    email: Email,
    password_stdin: PasswordStdin = False,
    if_none: Annotated[bool, typer.Option("--if-none", help="Create the account only if no account exists.")] = False,
) -> None:
    """Create an account. Prompts twice for the password."""
    if if_none and _run(lambda accounts: accounts.list(), says_database=False):
        typer.echo("There is an account already; no account was created.")
        say_database(database_name(load_settings(DatabaseSettings)))
        return
    password = _password(from_stdin=password_stdin)
    user = _run(lambda accounts: accounts.create(email=email, password=password))
    typer.echo(f"Created the account {user.email}.")


@commands.command("list")
def list_users() -> None:
    """List all accounts: id, status, time of creation, e-mail."""
    for user in _run(lambda accounts: accounts.list()):
        status = "active" if user.is_active else "inactive"
        typer.echo(f"{user.id:>6}  {status:<8}  {user.created_at:%Y-%m-%d %H:%M}  {user.email}")


@commands.command("set-password")
def set_password(email: Email, password_stdin: PasswordStdin = False) -> None:
    """Change the password of an account. Prompts twice for the new password."""
    password = _password(from_stdin=password_stdin)
    user = _run(lambda accounts: accounts.set_password(email=email, password=password))
    typer.echo(f"Changed the password of {user.email}.")


@commands.command("deactivate")
def deactivate_user(email: Email) -> None:
    """Deactivate an account: its logins and tokens are refused from now on."""
    typer.echo(f"Deactivated {_run(lambda accounts: accounts.deactivate(email=email)).email}.")


@commands.command("activate")
def activate_user(email: Email) -> None:
    """Activate an account: its logins and tokens are accepted again."""
    typer.echo(f"Activated {_run(lambda accounts: accounts.activate(email=email)).email}.")


def _run(work: Callable[[AccountUseCases], Awaitable[T]], *, says_database: bool = True) -> T:
    """Run use cases on the configured database. Its schema is migrated or checked first."""
    settings = load_settings(AccountSettings)

    async def work_while_running() -> T:
        async with running(Container(options=settings.core)) as core:
            return await work(core.accounts)

    done = asyncio.run(work_while_running())
    if says_database:
        say_database(database_name(settings))
    return done


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    if not sys.stdin.isatty():
        raise ConfigurationError("there is no terminal to ask for the password; send it with --password-stdin")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
