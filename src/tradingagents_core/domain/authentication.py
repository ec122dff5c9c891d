"""Callers, and the tokens that identify them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tradingagents_core.domain.plain_types import instance_of, plain_id, plain_str, utc_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The user for whom a use case works.

    An application with its own log-in creates callers itself, and needs no credentials.

    Raises:
        InvalidInput: the user's id is not an integer between 1 and `INTEGER_MAX`; the time has no time zone, or cannot
            be converted to UTC.
    """

    user_id: int
    expires_at: datetime | None = None
    """When the credential of this caller expires, converted to UTC; None for a credential that never expires."""

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "user_id", plain_id("user_id", self.user_id))
        if self.expires_at is not None:
            put(self, "expires_at", utc_time("expires_at", self.expires_at))


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A new bearer token, and how long the token is valid.

    Raises:
        InvalidInput: the token is not text, or the lifetime is not a `timedelta`.
    """

    access_token: str = field(repr=False)
    lifetime: timedelta

    def __post_init__(self) -> None:
        object.__setattr__(self, "access_token", plain_str("access_token", self.access_token))
        instance_of(timedelta, "lifetime", self.lifetime)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenClaims:
    """What a token says: its id, its user, when it was issued and when it expires. The times are converted to UTC.

    Raises:
        InvalidInput: the token's id is not text; the user's id is not an integer between 1 and `INTEGER_MAX`; a time
            has no time zone, or cannot be converted to UTC.
    """

    token_id: str
    user_id: int
    issued_at: datetime
    expires_at: datetime

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "token_id", plain_str("token_id", self.token_id))
        put(self, "user_id", plain_id("user_id", self.user_id))
        put(self, "issued_at", utc_time("issued_at", self.issued_at))
        put(self, "expires_at", utc_time("expires_at", self.expires_at))
