"""Who asks, and the tokens by which a caller is known."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tradingagents_core.domain.parameters import INTEGER_MAX
from tradingagents_core.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who asks for something: the user for whom a use case works.

    An embedder with a log-in of their own says who the caller is, and needs no credential.

    Raises:
        InvalidInput: the user's id is not 1 to `INTEGER_MAX`.
    """

    user_id: int
    expires_at: datetime | None = None
    """When the credential of this caller expires, aware and in UTC; None where it does not expire."""

    def __post_init__(self) -> None:
        if not 1 <= self.user_id <= INTEGER_MAX:
            raise InvalidInput(field="user_id", rule="range", message=f"should be 1 to {INTEGER_MAX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A bearer token, and for how long it is valid from now on."""

    access_token: str = field(repr=False)
    lifetime: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenClaims:
    """What the service vouched for when it issued a token: for whom, when, and until when."""

    token_id: str
    user_id: int
    issued_at: datetime
    expires_at: datetime
