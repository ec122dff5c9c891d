"""Sessions: each login opens one, and refresh tokens prolong it."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Self

from tradingagents_core.domain.plain_types import plain_id, utc_time
from tradingagents_core.domain.secrets import plain_hash

USE_INTERVAL: Final = timedelta(minutes=1)
"""How precisely the last use of a session or key is known."""

REFRESH_TOKEN_PREFIX: Final = "tr_"  # noqa: S105
"""The beginning of every refresh token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session of a user: from a login to its end or its expiry. The times are converted to UTC.

    Raises:
        InvalidInput: an id is not an integer between 1 and `INTEGER_MAX`; a time has no time zone, or cannot be
            converted to UTC.
    """

    id: int
    user_id: int
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "id", plain_id("id", self.id))
        put(self, "user_id", plain_id("user_id", self.user_id))
        for name in ("created_at", "last_used_at", "expires_at"):
            put(self, name, utc_time(name, getattr(self, name)))

    def is_live(self, *, now: datetime) -> bool:
        """Whether the session has not expired."""
        return now < self.expires_at

    def used(self, *, at: datetime) -> Self:
        """This session, last used `at`; the time never moves back, even if the clock was set back."""
        return replace(self, last_used_at=max(at, self.last_used_at))

    def prolonged(self, *, at: datetime, until: datetime) -> Self:
        """This session, used `at` and valid `until` then; it never becomes shorter."""
        return replace(self.used(at=at), expires_at=max(until, self.expires_at))


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """A refresh token of a session, by its hash. The times are converted to UTC.

    A token is live until its first use, and for a short time after it, for clients that lose the answer or ask twice.

    Raises:
        InvalidInput: the hash is not in the form of `hash_of`; the session's id is not an integer between 1 and
            `INTEGER_MAX`; a time has no time zone, or cannot be converted to UTC.
    """

    token_hash: str
    session_id: int
    expires_at: datetime
    used_at: datetime | None = None
    """When the token was first used."""

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "token_hash", plain_hash("token_hash", self.token_hash))
        put(self, "session_id", plain_id("session_id", self.session_id))
        put(self, "expires_at", utc_time("expires_at", self.expires_at))
        if self.used_at is not None:
            put(self, "used_at", utc_time("used_at", self.used_at))

    def is_reused(self, *, now: datetime, allowed_for: timedelta) -> bool:
        """Whether this use comes too late after the first one: then two parties have the token."""
        return self.used_at is not None and now - self.used_at > allowed_for

    def used(self, *, at: datetime) -> Self:
        """This token, used `at`, unless it was used before."""
        return replace(self, used_at=at) if self.used_at is None else self
