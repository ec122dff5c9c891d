"""Steps of random histories on the sessions and refresh tokens of a user."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from hypothesis import strategies as st

from tradingagents_conformance.examples import CREATED, Row, exact
from tradingagents_conformance.histories.account_model import AccountBlock, AccountStep, arguments, note_id
from tradingagents_conformance.histories.blocks import possible
from tradingagents_conformance.histories.promises import keeping, promise
from tradingagents_core.domain.secrets import hash_of
from tradingagents_core.domain.sessions import RefreshToken, Session
from tradingagents_core.errors import SessionNotFound, TradingAgentsError
from tradingagents_core.ports import RefreshTokenRepository, SessionRepository


class SessionStep(AccountStep):
    """An operation on the sessions of the user."""

    port = SessionRepository


@dataclass(frozen=True)
class OneSession(SessionStep):
    """An operation on a session of the user, or on another one, which is refused."""

    session: int

    def chosen(self, block: AccountBlock) -> int:
        """The id of the session."""
        return block.model.session_id(block.row_id, self.session)

    def text(self, block: AccountBlock) -> str:
        return f"sessions.{self.method}({self.chosen(block)})"

    def reasons(self, block: AccountBlock) -> Sequence[TradingAgentsError]:
        return _reasons(block, self.chosen(block))


class ReadSession(OneSession):
    """Read a session."""

    method = "get"

    async def ask(self, block: AccountBlock) -> Session:
        return await block.work.sessions.get(self.chosen(block))

    def note(self, block: AccountBlock, answer: Session) -> None:
        assert exact(answer) == exact(block.model.sessions[self.chosen(block)])


class EndSession(OneSession):
    """Remove a session."""

    method = "remove"

    async def ask(self, block: AccountBlock) -> None:
        await block.work.sessions.remove(self.chosen(block))

    def note(self, block: AccountBlock, answer: None) -> None:
        block.model.end_sessions([self.chosen(block)])


@dataclass(frozen=True)
class OpenSession(SessionStep):
    """Store a new session."""

    at: datetime
    expires_at: datetime

    method = "add"

    def text(self, block: AccountBlock) -> str:
        return f"sessions.add(at={self.at.isoformat()}, expires_at={self.expires_at.isoformat()})"

    def reasons(self, block: AccountBlock) -> Sequence[TradingAgentsError]:
        return []

    async def ask(self, block: AccountBlock) -> Session:
        return await block.work.sessions.add(at=self.at, expires_at=self.expires_at)

    def note(self, block: AccountBlock, answer: Session) -> None:
        with keeping(promise(SessionRepository.add, "greater than the id of every earlier")):
            note_id(block.model.users_of_sessions, answer.id, block.row_id)
        row = {
            "id": answer.id,
            "user_id": block.row_id,
            "created_at": self.at,
            "last_used_at": self.at,
            "expires_at": self.expires_at,
        }
        assert exact(answer) == exact(row)
        block.model.sessions[answer.id] = row


@dataclass(frozen=True)
class UseSession(SessionStep):
    """Change the times of a session of the user, or of another one, which is refused."""

    session: int
    changes: Row
    is_of_another_user: bool
    """Whether the new state has another user, which is refused."""

    method = "replace"

    def text(self, block: AccountBlock) -> str:
        return f"sessions.replace({arguments(self._changed(block))})"

    def reasons(self, block: AccountBlock) -> Sequence[TradingAgentsError]:
        session_id = self._changed(block)["id"]
        return [SessionNotFound(session_id)] if self.is_of_another_user else _reasons(block, session_id)

    async def ask(self, block: AccountBlock) -> None:
        await block.work.sessions.replace(Session(**self._changed(block)))

    def note(self, block: AccountBlock, answer: None) -> None:
        changed = self._changed(block)
        block.model.sessions[changed["id"]] = changed

    def _changed(self, block: AccountBlock) -> Row:
        session_id = possible(block.model.session_id(block.row_id, self.session))
        first = {"created_at": CREATED, "last_used_at": CREATED, "expires_at": CREATED}
        user_id = block.row_id + 1 if self.is_of_another_user else block.row_id
        return first | block.model.sessions.get(session_id, {}) | {"id": session_id, "user_id": user_id} | self.changes


@dataclass(frozen=True)
class EndSessions(SessionStep):
    """Remove all sessions of the user, or all but one."""

    but: int | None

    method = "remove_all"

    def text(self, block: AccountBlock) -> str:
        return f"sessions.remove_all(but={self._kept(block)})"

    def reasons(self, block: AccountBlock) -> Sequence[TradingAgentsError]:
        return []

    async def ask(self, block: AccountBlock) -> int:
        return await block.work.sessions.remove_all(but=self._kept(block))

    def note(self, block: AccountBlock, answer: int) -> None:
        ended = [row["id"] for row in block.model.sessions_of(block.row_id) if row["id"] != self._kept(block)]
        assert answer == len(ended), "a wrong number of removed sessions"
        block.model.end_sessions(ended)

    def _kept(self, block: AccountBlock) -> int | None:
        return None if self.but is None else block.model.session_id(block.row_id, self.but)


@dataclass(frozen=True)
class ExpireSessions(SessionStep):
    """Remove the sessions and the refresh tokens that have expired."""

    now: datetime

    method = "remove_expired"

    def text(self, block: AccountBlock) -> str:
        return f"sessions.remove_expired(now={self.now.isoformat()})"

    def reasons(self, block: AccountBlock) -> Sequence[TradingAgentsError]:
        return []

    async def ask(self, block: AccountBlock) -> None:
        await block.work.sessions.remove_expired(now=self.now)

    def note(self, block: AccountBlock, answer: None) -> None:
        expired = [row["id"] for row in block.model.sessions_of(block.row_id) if row["expires_at"] <= self.now]
        block.model.end_sessions(expired)
        for row in block.model.tokens_of(block.row_id):
            if row["expires_at"] <= self.now:
                del block.model.tokens[row["token_hash"]]


class TokenStep(AccountStep):
    """An operation on the refresh tokens of the user."""

    port = RefreshTokenRepository


def token_hash(user_id: int, number: int) -> str:
    """The hash of a refresh token of a user. Two users never have one token."""
    return hash_of(f"{number} of {user_id}")


@dataclass(frozen=True)
class PutToken(TokenStep):
    """Store a refresh token of a session of the user, or of another session, which is refused."""

    number: int
    session: int
    expires_at: datetime
    used_at: datetime | None

    method = "put"

    def text(self, block: AccountBlock) -> str:
        return f"refresh_tokens.put({arguments(self._row(block))})"

    def reasons(self, block: AccountBlock) -> Sequence[TradingAgentsError]:
        return _reasons(block, self._row(block)["session_id"])

    async def ask(self, block: AccountBlock) -> None:
        await block.work.refresh_tokens.put(RefreshToken(**self._row(block)))

    def note(self, block: AccountBlock, answer: None) -> None:
        row = self._row(block)
        block.model.tokens[row["token_hash"]] = row

    def _row(self, block: AccountBlock) -> Row:
        return {
            "token_hash": token_hash(block.row_id, self.number),
            "session_id": possible(block.model.session_id(block.row_id, self.session)),
            "expires_at": self.expires_at,
            "used_at": self.used_at,
        }


@dataclass(frozen=True)
class FindToken(TokenStep):
    """Look for a refresh token of the user of the block, or of another user, which is not found."""

    number: int
    user: int

    method = "find"

    def text(self, block: AccountBlock) -> str:
        return f"refresh_tokens.find({self._hash(block)!r})"

    def reasons(self, block: AccountBlock) -> Sequence[TradingAgentsError]:
        return []

    async def ask(self, block: AccountBlock) -> RefreshToken | None:
        return await block.work.refresh_tokens.find(self._hash(block))

    def note(self, block: AccountBlock, answer: RefreshToken | None) -> None:
        wanted = [row for row in block.model.tokens_of(block.row_id) if row["token_hash"] == self._hash(block)]
        assert [exact(token) for token in [answer] if token is not None] == [exact(row) for row in wanted]

    def _hash(self, block: AccountBlock) -> str:
        return token_hash(block.model.user_id(self.user), self.number)


def _reasons(block: AccountBlock, session_id: int) -> Sequence[TradingAgentsError]:
    row = block.model.sessions.get(session_id)
    return [] if row is not None and row["user_id"] == block.row_id else [SessionNotFound(session_id)]


TOKENS: Final = 3
"""The number of different refresh tokens of a user."""

moments = st.builds(lambda number: CREATED + timedelta(seconds=number, microseconds=number), st.integers(0, 4))
"""Few moments, so that times are equal."""

_picks = st.sampled_from((0, 0, 0, 1, 1, 2, 3, 4, -1))
_numbers = st.integers(0, TOKENS - 1)
_later = st.builds(lambda number: CREATED + timedelta(seconds=number, microseconds=number), st.integers(2, 6))

SESSION_STEPS: Final[st.SearchStrategy[AccountStep]] = st.one_of(
    st.builds(OpenSession, at=moments, expires_at=_later),
    st.builds(OpenSession, at=moments, expires_at=_later),
    st.builds(PutToken, number=_numbers, session=_picks, expires_at=_later, used_at=st.none() | moments),
    st.builds(PutToken, number=_numbers, session=st.just(0), expires_at=_later, used_at=st.none() | moments),
    st.builds(FindToken, number=_numbers, user=st.integers(0, 1)),
    st.builds(ReadSession, session=_picks),
    st.builds(
        UseSession,
        session=_picks,
        changes=st.fixed_dictionaries({"last_used_at": moments}, optional={"expires_at": _later}),
        is_of_another_user=st.sampled_from((False, False, False, True)),
    ),
    st.builds(EndSession, session=_picks),
    st.builds(EndSessions, but=st.none() | _picks),
    st.builds(ExpireSessions, now=moments),
)
