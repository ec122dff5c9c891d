"""Bearer tokens as signed JSON Web Tokens (RFC 7519, RFC 8725)."""

import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt

from tradingagents_core.domain.parameters import INTEGER_MAX
from tradingagents_core.domain.token import TokenClaims
from tradingagents_core.errors import InvalidToken
from tradingagents_core.ports import Clock, TokenService

KEY_MIN_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The algorithms that can be chosen, each with the shortest key that it is safe with (RFC 7518, 3.2)."""

LIFETIME_MAX: Final = timedelta(days=366)

_ISSUER: Final = "tradingagents"
_AUDIENCE: Final = "tradingagents-api"
_TOKEN_MAX_LENGTH: Final = 4096
_CLOCK_SKEW: Final = timedelta(seconds=60)
_SHAPE: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_USER_ID: Final = re.compile(r"[1-9][0-9]{0,18}")


class JwtTokenService(TokenService):
    """Signs tokens with one secret key and one algorithm, and takes back only what it would write itself.

    Raises:
        ValueError: the algorithm is not in `KEY_MIN_BYTES`, the key too short for it, or the lifetime not within
            `LIFETIME_MAX`.
    """

    def __init__(self, *, secret_key: str, algorithm: str, lifetime: timedelta, clock: Clock) -> None:
        if algorithm not in KEY_MIN_BYTES:
            raise ValueError(f"the algorithm should be one of {', '.join(KEY_MIN_BYTES)}")
        if len(secret_key.encode()) < KEY_MIN_BYTES[algorithm]:
            raise ValueError(f"the key should have at least {KEY_MIN_BYTES[algorithm]} bytes for {algorithm}")
        if not timedelta(0) < lifetime <= LIFETIME_MAX:
            raise ValueError(f"the lifetime should be more than nothing and at most {LIFETIME_MAX.days} days")
        self._key = secret_key.encode()
        self._algorithm = algorithm
        self._lifetime = lifetime
        self._clock = clock
        # The first segment holds the algorithm and the type and is the same in every token of this service.
        self._header = self._sign({}).partition(".")[0]

    def issue(self, *, user_id: int) -> str:
        issued_at = int(self._clock().timestamp())
        return self._sign(
            {
                "iss": _ISSUER,
                "aud": _AUDIENCE,
                "sub": str(user_id),
                "iat": issued_at,
                "exp": issued_at + int(self._lifetime.total_seconds()),
                "jti": secrets.token_urlsafe(16),
            }
        )

    def verify(self, token: str) -> TokenClaims:
        if len(token) > _TOKEN_MAX_LENGTH or not _SHAPE.fullmatch(token) or token.partition(".")[0] != self._header:
            raise InvalidToken
        try:
            payload = jwt.decode(
                token,
                self._key,
                algorithms=[self._algorithm],
                issuer=_ISSUER,
                audience=_AUDIENCE,
                options={
                    "require": ["iss", "aud", "sub", "iat", "exp", "jti"],
                    "strict_aud": True,
                    "enforce_minimum_key_length": True,
                    # Against the clock of this service, below.
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
        except Exception as error:
            # Whatever a stranger's bytes set off in the libraries below, the answer is the same.
            raise InvalidToken from error
        return self._claims(payload)

    def _sign(self, payload: dict[str, Any]) -> str:
        return jwt.encode(payload, self._key, algorithm=self._algorithm, headers={"typ": "JWT"})

    def _claims(self, payload: dict[str, Any]) -> TokenClaims:
        subject, issued, expires = payload["sub"], payload["iat"], payload["exp"]
        now = self._clock()
        latest = int((now + _CLOCK_SKEW).timestamp())
        well_formed = (
            _USER_ID.fullmatch(subject)
            and int(subject) <= INTEGER_MAX
            and type(issued) is type(expires) is int
            and 0 <= issued <= latest
            and issued < expires <= issued + LIFETIME_MAX.total_seconds()
        )
        if not well_formed or now.timestamp() >= expires:
            raise InvalidToken
        return TokenClaims(
            token_id=payload["jti"],
            user_id=int(subject),
            issued_at=datetime.fromtimestamp(issued, UTC),
            expires_at=datetime.fromtimestamp(expires, UTC),
        )
