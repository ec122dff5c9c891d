"""Sessions and refresh tokens in an SQL database: each method of a reader or a repository is one round trip."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Insert, bindparam, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tradingagents_adapters.sql.account_removals import ACCOUNT_REMOVALS
from tradingagents_adapters.sql.columns import column_parameters, known_id
from tradingagents_adapters.sql.database import Database
from tradingagents_adapters.sql.pages import counted_page, listed_rows
from tradingagents_adapters.sql.tables import refresh_tokens, sessions, users
from tradingagents_adapters.sql.transaction import Transaction
from tradingagents_adapters.sql.user_rows import USER_COLUMNS, user_of
from tradingagents_core.domain.accounts import User
from tradingagents_core.domain.page import Page
from tradingagents_core.domain.parameters import INTEGER_MAX
from tradingagents_core.domain.plain_types import utc_time
from tradingagents_core.domain.sessions import RefreshToken, Session
from tradingagents_core.errors import SessionNotFound
from tradingagents_core.ports import RefreshTokenRepository, SessionReader, SessionRepository

_TIMES: Final = ("created_at", "last_used_at", "expires_at")
_COLUMNS: Final = [sessions.c[name] for name in ("id", "user_id", *_TIMES)]
_THIS: Final = (sessions.c.id == bindparam("session_id")) & (sessions.c.user_id == bindparam("user_id"))

_FIND: Final = (
    select(*USER_COLUMNS, *_COLUMNS)
    .select_from(sessions.join(users, users.c.id == sessions.c.user_id))
    .where(sessions.c.id == bindparam("session_id"))
)
_FIND_BY_TOKEN: Final = (
    select(*_COLUMNS)
    .select_from(refresh_tokens.join(sessions, sessions.c.id == refresh_tokens.c.session_id))
    .where(refresh_tokens.c.token_hash == bindparam("token_hash"))
)
_PAGE: Final = counted_page(
    sessions, _COLUMNS, (sessions.c.user_id == bindparam("user_id")) & (sessions.c.expires_at > bindparam("now"))
)
_SESSION: Final = select(*_COLUMNS).where(_THIS)
_ADD: Final = insert(sessions).values(column_parameters(sessions, "user_id", *_TIMES)).returning(sessions.c.id)
_REPLACE: Final = update(sessions).values(column_parameters(sessions, *_TIMES)).where(_THIS).returning(sessions.c.id)

_TOKEN: Final = select(
    refresh_tokens.c.token_hash, refresh_tokens.c.session_id, refresh_tokens.c.expires_at, refresh_tokens.c.used_at
).where(
    refresh_tokens.c.token_hash == bindparam("token_hash"),
    refresh_tokens.c.user_id == bindparam("user_id"),
)


def _put(insert: Any) -> Insert:
    given = column_parameters(refresh_tokens, "token_hash", "expires_at", "used_at")
    # Only for a session of this user: the statement inserts nothing, and returns no row, where there is none.
    token = select(given["token_hash"], sessions.c.user_id, sessions.c.id, given["expires_at"], given["used_at"])
    columns = ("token_hash", "user_id", "session_id", "expires_at", "used_at")
    added = insert(refresh_tokens).from_select(columns, token.where(_THIS))
    put: Insert = added.on_conflict_do_update(
        index_elements=["token_hash"], set_={name: added.excluded[name] for name in columns[1:]}
    ).returning(refresh_tokens.c.session_id)
    return put


_PUT: Final = {"sqlite": _put(sqlite.insert), "postgresql": _put(postgresql.insert)}


class SqlSessionReader(SessionReader):
    """Reads sessions, each time on a connection of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, session_id: int) -> tuple[User, Session] | None:
        rows = await self._database.read(_FIND, session_id=known_id(session_id))
        if not rows:
            return None
        values = tuple(rows[0])
        of_user = len(USER_COLUMNS)
        read_time = self._database.read_time
        return user_of(values[:of_user], read_time), _session(values[of_user:], read_time)

    async def find_by_refresh_token(self, token_hash: str) -> Session | None:
        rows = await self._database.read(_FIND_BY_TOKEN, token_hash=token_hash)
        return _session(tuple(rows[0]), self._database.read_time) if rows else None

    async def list(self, *, user_id: int, now: datetime, skip: int, limit: int) -> Page[Session]:
        rows, total = listed_rows(
            await self._database.read(
                _PAGE, user_id=known_id(user_id), now=utc_time("now", now), skip=min(skip, INTEGER_MAX), limit=limit
            )
        )
        items = [_session(row, self._database.read_time) for row in rows]
        return Page(items=items, total=total, skip=skip, limit=limit)


class SqlSessionRepository(SessionRepository):
    """The sessions of the user whose row the transaction has locked."""

    def __init__(self, user_id: int, transaction: Transaction, database: Database) -> None:
        self._user_id = user_id
        self._fetch = transaction.fetch
        self._removals = ACCOUNT_REMOVALS[database.dialect_name]
        self._read_time = database.read_time

    async def get(self, session_id: int) -> Session:
        rows = await self._fetch(_SESSION, session_id=known_id(session_id), user_id=self._user_id)
        if not rows:
            raise SessionNotFound(session_id)
        return _session(tuple(rows[0]), self._read_time)

    async def add(self, *, at: datetime, expires_at: datetime) -> Session:
        # The database chooses the id. All else is checked before the session is stored.
        session = Session(id=1, user_id=self._user_id, created_at=at, last_used_at=at, expires_at=expires_at)
        rows = await self._fetch(_ADD, user_id=self._user_id, **_times(session))
        return replace(session, id=rows[0]["id"])

    async def replace(self, session: Session) -> None:
        if session.user_id != self._user_id or not await self._fetch(
            _REPLACE, session_id=session.id, user_id=self._user_id, **_times(session)
        ):
            raise SessionNotFound(session.id)

    async def remove(self, session_id: int) -> None:
        if not await self._fetch(*self._removals.session, user_id=self._user_id, session_id=known_id(session_id)):
            raise SessionNotFound(session_id)

    async def remove_all(self, *, but: int | None = None) -> int:
        removed = await self._fetch(
            *self._removals.all_sessions, user_id=self._user_id, but=0 if but is None else known_id(but)
        )
        return len(removed)

    async def remove_expired(self, *, now: datetime) -> None:
        await self._fetch(*self._removals.expired, user_id=self._user_id, now=utc_time("now", now))


class SqlRefreshTokenRepository(RefreshTokenRepository):
    """The refresh tokens of the user whose row the transaction has locked."""

    def __init__(self, user_id: int, transaction: Transaction, database: Database) -> None:
        self._user_id = user_id
        self._fetch = transaction.fetch
        self._put = _PUT[database.dialect_name]
        self._read_time = database.read_time

    async def find(self, token_hash: str) -> RefreshToken | None:
        rows = await self._fetch(_TOKEN, token_hash=token_hash, user_id=self._user_id)
        if not rows:
            return None
        found, session_id, expires_at, used_at = rows[0]
        return RefreshToken(
            token_hash=found,
            session_id=session_id,
            expires_at=self._read_time(expires_at),
            used_at=None if used_at is None else self._read_time(used_at),
        )

    async def put(self, token: RefreshToken) -> None:
        if not await self._fetch(
            self._put,
            token_hash=token.token_hash,
            session_id=token.session_id,
            user_id=self._user_id,
            expires_at=token.expires_at,
            used_at=token.used_at,
        ):
            raise SessionNotFound(token.session_id)


def _session(values: Sequence[Any], read_time: Callable[[Any], datetime]) -> Session:
    session_id, user_id, created_at, last_used_at, expires_at = values
    return Session(
        id=session_id,
        user_id=user_id,
        created_at=read_time(created_at),
        last_used_at=read_time(last_used_at),
        expires_at=read_time(expires_at),
    )


def _times(session: Session) -> dict[str, Any]:
    return {name: getattr(session, name) for name in _TIMES}
