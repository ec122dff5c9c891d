"""Messages and parameters of several commands."""

from datetime import datetime
from typing import Annotated

import typer

from tradingagents_core.errors import ApiKeyNotFound, TooManyApiKeys, UserNotFound, explained

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The account's e-mail address.", show_default=False)]


def say_database(name: str) -> None:
    """Print which database was used. The message goes to standard error, since scripts read standard output."""
    typer.echo(f"database: {name}", err=True)


def shown_time(time: datetime | None) -> str:
    """A time in UTC to the minute, for people; None is "never"."""
    return "never" if time is None else f"{time:%Y-%m-%d %H:%M}"


def counted(number: int, thing: str, things: str) -> str:
    """A number with its noun, such as "1 session"."""
    return f"{number} {thing if number == 1 else things}"


def explained_to_operator(error: Exception) -> str:
    """The text of an error, with the command that helps."""
    match error:
        case UserNotFound():
            return f"there is no account {error.user!r}; `tradingagents users list` lists all accounts"
        case ApiKeyNotFound():
            return (
                f"there is no API key with the id {error.api_key_id};"
                " `tradingagents keys list EMAIL` lists the keys of an account"
            )
        case TooManyApiKeys():
            return (
                f"the account has {error.maximum} API keys, the maximum;"
                " revoke one of them first: `tradingagents keys revoke ID`"
            )
        case _:
            return explained(error)
