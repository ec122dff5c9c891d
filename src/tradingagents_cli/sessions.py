"""The commands for sessions."""

import typer

from tradingagents_cli.core import call, caller_of
from tradingagents_cli.listing import AsJson, all_pages, print_json, print_table
from tradingagents_cli.messages import Email, counted, shown_time
from tradingagents_core.domain.sessions import Session
from tradingagents_core.use_cases import UseCases

commands = typer.Typer(help="Manage the sessions of accounts. Each login opens a session.", no_args_is_help=True)


@commands.command("list")
def list_sessions(email: Email, as_json: AsJson = False) -> None:
    """List the open sessions of an account."""
    sessions = call(lambda core: _list(core, email))
    if as_json:
        print_json(
            [
                {
                    "id": session.id,
                    "created_at": session.created_at,
                    "last_used_at": session.last_used_at,
                    "expires_at": session.expires_at,
                }
                for session in sessions
            ]
        )
    else:
        rows = [
            (str(session.id), *map(shown_time, (session.created_at, session.last_used_at, session.expires_at)))
            for session in sessions
        ]
        print_table(
            ("Id", "Created (UTC)", "Last used (UTC)", "Expires (UTC)"),
            rows,
            if_empty=f"The account {email} has no open sessions.",
        )


@commands.command("end")
def end_sessions(email: Email) -> None:
    """End all sessions of an account: their tokens are refused from now on."""
    number = call(lambda core: core.sessions.end_all(email=email))
    typer.echo(f"Ended {counted(number, 'session', 'sessions')}.")


async def _list(core: UseCases, email: str) -> list[Session]:
    caller = await caller_of(core, email)
    return await all_pages(lambda skip, limit: core.sessions.list(caller=caller, skip=skip, limit=limit))
