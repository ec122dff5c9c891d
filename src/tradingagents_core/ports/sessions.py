"""Storage of sessions and of their refresh tokens."""

from abc import ABC, abstractmethod
from datetime import datetime

from tradingagents_core.domain.accounts import User
from tradingagents_core.domain.page import Page
from tradingagents_core.domain.sessions import RefreshToken, Session


class SessionReader(ABC):
    """Reads committed sessions, exactly as they were stored, microseconds included."""

    @abstractmethod
    async def find(self, session_id: int) -> tuple[User, Session] | None:
        """The session with this id and its user, both of one moment, also where the session has expired.

        None for any integer that is no session's id.
        """

    @abstractmethod
    async def find_by_refresh_token(self, token_hash: str) -> Session | None:
        """The session of the refresh token with this hash, also where either has expired; None for other hashes."""

    @abstractmethod
    async def list(self, *, user_id: int, now: datetime, skip: int, limit: int) -> Page[Session]:
        """A page of the sessions of this user that are live `now`, oldest first (by id).

        `total` counts the whole list without paging. The list is empty for any integer that is no user's id.
        """


class SessionRepository(ABC):
    """The sessions of the user whose row a writing block has locked; reads see the block's own changes."""

    @abstractmethod
    async def get(self, session_id: int) -> Session:
        """One session of this user, also where the session has expired.

        Raises:
            SessionNotFound: this user has no session with this id.
        """

    @abstractmethod
    async def add(self, *, at: datetime, expires_at: datetime) -> Session:
        """Store a new session, created and used `at`.

        The id is greater than the id of every earlier session of this user, removed sessions included, and no other
        session ever had this id. There may be gaps between ids.
        """

    @abstractmethod
    async def replace(self, session: Session) -> None:
        """Store this state of a session in place of the one with the same id.

        Raises:
            SessionNotFound: the user of the block has no session with this id, or `session` has another user.
        """

    @abstractmethod
    async def remove(self, session_id: int) -> None:
        """Remove a session and its refresh tokens. Its id is never used again.

        Raises:
            SessionNotFound: this user has no session with this id.
        """

    @abstractmethod
    async def remove_all(self, *, but: int | None = None) -> int:
        """Remove all sessions of this user but the one with this id, and their refresh tokens. Returns their number."""

    @abstractmethod
    async def remove_expired(self, *, now: datetime) -> None:
        """Remove the sessions and the refresh tokens of this user that have expired `now`."""


class RefreshTokenRepository(ABC):
    """The refresh tokens of the user whose row a writing block has locked, by their hashes."""

    @abstractmethod
    async def find(self, token_hash: str) -> RefreshToken | None:
        """The token of this user with this hash, also where it was used or has expired; None for other hashes."""

    @abstractmethod
    async def put(self, token: RefreshToken) -> None:
        """Store this token, in place of the earlier state of a token with the same hash.

        Raises:
            SessionNotFound: this user has no session with the id of the token's session.
        """
