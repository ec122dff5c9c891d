"""Callers, and the tokens that identify them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tradingagents_core.domain.parameters import INTEGER_MAX
from tradingagents_core.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The user for whom a use case works.

    An application with its own log-in creates callers itself, and needs no credentials.

    Raises:
        InvalidInput: the user's id is not between 1 and `INTEGER_MAX`.
    """

    user_id: int
    expires_at: datetime | None = None
    """When the credential of this caller expires, aware and in UTC; None for a credential that never expires."""

    def __post_init__(self) -> None:
        if not 1 <= self.user_id <= INTEGER_MAX:
            raise InvalidInput(field="user_id", rule="range", message=f"should be 1 to {INTEGER_MAX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A new bearer token, and how long the token is valid."""

    access_token: str = field(repr=False)
    lifetime: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenClaims:
    """What a token says: its id, its user, when it was issued and when it expires."""

    token_id: str
    user_id: int
    issued_at: datetime
    expires_at: datetime
