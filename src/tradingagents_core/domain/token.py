"""What a bearer token says."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta


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
