"""The commands for API keys."""

from datetime import UTC, date, datetime
from typing import Annotated, Final

import typer

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_cli.core import call, caller_of
from tradingagents_cli.listing import AsJson, all_pages, print_json, print_table
from tradingagents_cli.messages import Email, shown_time
from tradingagents_core.domain.api_keys import ApiKey, ApiKeyContent, NewApiKey
from tradingagents_core.domain.scopes import ALL_SCOPES
from tradingagents_core.errors import InvalidInput
from tradingagents_core.use_cases import UseCases

HEADINGS: Final = ("Id", "Name", "Key", "Scopes", "Created (UTC)", "Expires (UTC)", "Last used (UTC)")

commands = typer.Typer(help="Manage the API keys of accounts.", no_args_is_help=True)


@commands.command("create")
def create_key(
    *,
    email: Email,
    name: Annotated[str, typer.Option(help="Name of the key, to tell keys apart.", show_default=False)],
    scopes: Annotated[
        list[str],
        typer.Option(
            "--scope",
            metavar="SCOPE",
            help=f"What the key allows: {' or '.join(ALL_SCOPES)}. Can be given several times.",
            show_default=False,
        ),
    ],
    expires_at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Time at which the key expires, with its zone, such as 2027-01-31T18:00:00+01:00."
            " A date such as 2027-01-31 means its first moment in UTC. Without this option the key never expires.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Create an API key for an account, and print the key. The key cannot be shown again."""
    content = _content(name, scopes, expires_at)
    new = call(lambda core: _create(core, email, content))
    end = "never expires" if content.expires_at is None else f"expires at {shown_time(content.expires_at)} UTC"
    typer.echo(f"Created the API key with the id {new.api_key.id}. The key {end}, and cannot be shown again.", err=True)
    typer.echo(new.text)


@commands.command("list")
def list_keys(email: Email, as_json: AsJson = False) -> None:
    """List the API keys of an account, expired keys included."""
    keys = call(lambda core: _list(core, email))
    if as_json:
        print_json(
            [
                {
                    "id": key.id,
                    "name": key.name,
                    "prefix": key.prefix,
                    "scopes": key.scopes,
                    "created_at": key.created_at,
                    "expires_at": key.expires_at,
                    "last_used_at": key.last_used_at,
                }
                for key in keys
            ]
        )
    else:
        rows = [
            (
                str(key.id),
                key.name,
                key.prefix,
                " ".join(key.scopes),
                *map(shown_time, (key.created_at, key.expires_at, key.last_used_at)),
            )
            for key in keys
        ]
        print_table(HEADINGS, rows, long="Name", if_empty=f"The account {email} has no API keys.")


@commands.command("revoke")
def revoke_key(
    key_id: Annotated[
        int, typer.Argument(metavar="ID", help="The key's id, as `keys list` shows it.", show_default=False)
    ],
) -> None:
    """Revoke an API key: the key is refused from now on."""
    call(lambda core: core.api_keys.revoke_any(api_key_id=key_id))
    typer.echo(f"Revoked the API key with the id {key_id}.")


async def _create(core: UseCases, email: str, content: ApiKeyContent) -> NewApiKey:
    return await core.api_keys.create(caller=await caller_of(core, email), content=content)


async def _list(core: UseCases, email: str) -> list[ApiKey]:
    caller = await caller_of(core, email)
    return await all_pages(lambda skip, limit: core.api_keys.list(caller=caller, skip=skip, limit=limit))


def _content(name: str, scopes: list[str], expires_at: str | None) -> ApiKeyContent:
    try:
        return ApiKeyContent(
            name=name, scopes=tuple(scopes), expires_at=None if expires_at is None else _time(expires_at)
        )
    except InvalidInput as error:
        if error.field != "scopes":
            raise
        raise ConfigurationError(
            f"--scope should be {' or '.join(ALL_SCOPES)}; for several scopes, give --scope several times"
        ) from None


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            # Raises ValueError for a time of day without a zone.
            time = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
    except ValueError:
        raise ConfigurationError(
            "--expires-at should be a time with its zone, such as 2027-01-31T18:00:00+01:00, or a date in UTC,"
            " such as 2027-01-31"
        ) from None
    return time
