"""The commands for accounts.

Passwords are never command line arguments, since other users of the machine can see those.
"""

import sys
from typing import Annotated

import typer

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_cli.core import call
from tradingagents_cli.listing import AsJson, print_json, print_table
from tradingagents_cli.messages import Email, counted, say_database, shown_time
from tradingagents_core.domain.accounts import User
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.use_cases import UseCases
from tradingagents_service.schema import database_name
from tradingagents_service.settings import DatabaseSettings, load_settings

commands = typer.Typer(help="Manage the accounts that may log in.", no_args_is_help=True)

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
    if if_none and call(lambda core: core.accounts.list(), says_database=False):
        typer.echo("There is an account already; no account was created.")
        say_database(database_name(load_settings(DatabaseSettings)))
        return
    password = _password(from_stdin=password_stdin)
    user = call(lambda core: core.accounts.create(email=email, password=password))
    typer.echo(f"Created the account {user.email}.")


@commands.command("list")
def list_users(as_json: AsJson = False) -> None:
    """List all accounts."""
    users = call(lambda core: core.accounts.list())
    if as_json:
        print_json(
            [
                {"id": user.id, "email": user.email, "is_active": user.is_active, "created_at": user.created_at}
                for user in users
            ]
        )
    else:
        rows = [
            (str(user.id), "active" if user.is_active else "inactive", shown_time(user.created_at), user.email)
            for user in users
        ]
        print_table(("Id", "Status", "Created (UTC)", "E-mail"), rows, long="E-mail", if_empty="There are no accounts.")


@commands.command("set-password")
def set_password(email: Email, password_stdin: PasswordStdin = False) -> None:
    """Change the password of an account. Prompts twice for the new password."""
    password = _password(from_stdin=password_stdin)
    user = call(lambda core: core.accounts.set_password(email=email, password=password))
    typer.echo(f"Changed the password of {user.email}.")


@commands.command("deactivate")
def deactivate_user(email: Email) -> None:
    """Deactivate an account: its logins, tokens and API keys are refused from now on."""
    typer.echo(f"Deactivated {call(lambda core: core.accounts.deactivate(email=email)).email}.")


@commands.command("activate")
def activate_user(email: Email) -> None:
    """Activate an account: its logins and API keys are accepted again."""
    typer.echo(f"Activated {call(lambda core: core.accounts.activate(email=email)).email}.")


@commands.command("delete")
def delete_user(
    email: Email, yes: Annotated[bool, typer.Option("--yes", help="Delete the account without asking.")] = False
) -> None:
    """Delete an account with its strategies, sessions and API keys. Asks first."""
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigurationError("there is no terminal to ask for a confirmation; add --yes to delete the account")
        user, strategies = call(lambda core: _with_number_of_strategies(core, email))
        owned = f"its {counted(strategies, 'strategy', 'strategies')}, all its sessions and API keys"
        typer.confirm(f"Delete the account {user.email}, {owned}? This cannot be undone.", abort=True)
    deleted = call(lambda core: core.accounts.delete(email=email), says_database=yes)
    typer.echo(f"Deleted the account {deleted.email}.")


async def _with_number_of_strategies(core: UseCases, email: str) -> tuple[User, int]:
    user = await core.accounts.find(email=email)
    page = await core.strategies.list(caller=Caller(user_id=user.id), limit=1)
    return user, page.total


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    if not sys.stdin.isatty():
        raise ConfigurationError("there is no terminal to ask for the password; send it with --password-stdin")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
