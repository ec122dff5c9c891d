"""What a bearer token says."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenClaims:
    """What the service vouched for when it issued a token: for whom, when, and until when."""

    token_id: str
    user_id: int
    issued_at: datetime
    expires_at: datetime
