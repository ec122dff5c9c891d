"""Statements that remove sessions with their refresh tokens, and a user with all that belongs to the user.

On PostgreSQL a removal is one statement. On SQLite a removal is several statements in one round trip.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import BindParameter, Delete, Executable, Table, bindparam, delete, select
from sqlalchemy.sql.dml import ReturningDelete

from tradingagents_adapters.sql.tables import api_keys, refresh_tokens, sessions, users

Statements: TypeAlias = Sequence[Executable]
"""Statements that share their parameters and run one after another. The last statement returns the rows."""


@dataclass(frozen=True, slots=True)
class AccountRemovals:
    """The statements of each removal, for one dialect. Each returns the ids of the removed sessions or of the user.

    All have the parameter `user_id`.
    """

    session: Statements
    """Removes the session `session_id`, if the session is the user's."""
    all_sessions: Statements
    """Removes all sessions but the one with the id `but`."""
    expired: Statements
    """Removes the sessions and the refresh tokens that have expired `now`."""
    user: Statements


_USER: Final[BindParameter[int]] = bindparam("user_id", type_=users.c.id.type)
_SESSION: Final[BindParameter[int]] = bindparam("session_id", type_=sessions.c.id.type)
_BUT: Final[BindParameter[int]] = bindparam("but", type_=sessions.c.id.type)
_NOW: Final[BindParameter[Any]] = bindparam("now", type_=sessions.c.expires_at.type)

_HAS_EXPIRED: Final = sessions.c.expires_at <= _NOW


def _of_user(table: Table) -> Delete:
    return delete(table).where(table.c.user_id == _USER)


_SESSIONS: Final = _of_user(sessions)
_TOKENS: Final = _of_user(refresh_tokens)
_EXPIRED_SESSIONS: Final = select(sessions.c.id).where(sessions.c.user_id == _USER, _HAS_EXPIRED)


def _in_one_statement(*removals: Delete, last: ReturningDelete[Any]) -> Statements:
    removed = last.cte("removed")
    return (select(removed.c.id).add_cte(*[each.cte(f"removed_{number}") for number, each in enumerate(removals, 1)]),)


def _one_after_another(*removals: Delete, last: ReturningDelete[Any]) -> Statements:
    return (*removals, last)


def _removals(joined: Any) -> AccountRemovals:
    return AccountRemovals(
        session=joined(
            _TOKENS.where(refresh_tokens.c.session_id == _SESSION),
            last=_SESSIONS.where(sessions.c.id == _SESSION).returning(sessions.c.id),
        ),
        all_sessions=joined(
            _TOKENS.where(refresh_tokens.c.session_id != _BUT),
            last=_SESSIONS.where(sessions.c.id != _BUT).returning(sessions.c.id),
        ),
        expired=joined(
            _TOKENS.where(refresh_tokens.c.expires_at <= _NOW),
            # Not `_TOKENS`: the index of the session finds the tokens without reading the user's other tokens.
            delete(refresh_tokens).where(refresh_tokens.c.session_id.in_(_EXPIRED_SESSIONS)),
            last=_SESSIONS.where(_HAS_EXPIRED).returning(sessions.c.id),
        ),
        user=joined(
            _TOKENS,
            _SESSIONS,
            _of_user(api_keys),
            last=delete(users).where(users.c.id == _USER).returning(users.c.id),
        ),
    )


ACCOUNT_REMOVALS: Final[Mapping[str, AccountRemovals]] = {
    "postgresql": _removals(_in_one_statement),
    "sqlite": _removals(_one_after_another),
}
"""The statements, by the name of the dialect."""
