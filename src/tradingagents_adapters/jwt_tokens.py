"""Bearer tokens as signed JSON Web Tokens (RFC 7519, RFC 8725)."""

import json
import logging
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt

from tradingagents_core.domain.authentication import TokenClaims
from tradingagents_core.domain.parameters import INTEGER_MAX
from tradingagents_core.errors import InvalidToken
from tradingagents_core.ports import Clock, TokenService

KEY_MIN_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The supported algorithms, each with the minimum length of its key (RFC 7518, 3.2)."""

LIFETIME_MAX: Final = timedelta(days=366)

_log: Final = logging.getLogger(__name__)

_ISSUER: Final = "tradingagents"
_AUDIENCE: Final = "tradingagents-api"
_TOKEN_MAX_LENGTH: Final = 4096
_CLOCK_SKEW: Final = timedelta(seconds=60)
_WARNING_INTERVAL: Final = timedelta(minutes=1)
"""The minimum time between two warnings about clocks that differ."""

_SHAPE: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_ID: Final = re.compile(r"[1-9][0-9]{0,18}")
_TOKEN_ID: Final = re.compile(r"[\w-]{1,64}", re.ASCII)


class JwtTokenService(TokenService):
    """Signs tokens with one secret key and one algorithm, and accepts only tokens of exactly the form that it issues.

    Raises:
        ValueError: the algorithm is not in `KEY_MIN_BYTES`, the key is too short for the algorithm, or the lifetime is
            not between one second and `LIFETIME_MAX`.
    """

    def __init__(self, *, secret_key: str, algorithm: str, lifetime: timedelta, clock: Clock) -> None:
        if algorithm not in KEY_MIN_BYTES:
            raise ValueError(f"the algorithm should be one of {', '.join(KEY_MIN_BYTES)}")
        if len(secret_key.encode()) < KEY_MIN_BYTES[algorithm]:
            raise ValueError(f"the key should have at least {KEY_MIN_BYTES[algorithm]} bytes for {algorithm}")
        if not timedelta(seconds=1) <= lifetime <= LIFETIME_MAX:
            raise ValueError(f"the lifetime should be one second to {LIFETIME_MAX.days} days")
        self._jws = jwt.PyJWS()
        self._key = secret_key.encode()
        self._algorithm = algorithm
        self._lifetime = timedelta(seconds=lifetime // timedelta(seconds=1))
        self._clock = clock
        self._warned_at: datetime | None = None
        # The first segment contains the algorithm and the type. It is the same in every token of this service.
        self._header = self._sign({}).partition(".")[0]

    @property
    def lifetime(self) -> timedelta:
        return self._lifetime

    def issue(self, *, user_id: int, session_id: int) -> str:
        issued_at = int(self._clock().timestamp())
        return self._sign(
            {
                "iss": _ISSUER,
                "aud": _AUDIENCE,
                "sub": str(user_id),
                "sid": str(session_id),
                "iat": issued_at,
                "exp": issued_at + int(self._lifetime.total_seconds()),
                "jti": secrets.token_urlsafe(16),
            }
        )

    def verify(self, token: str) -> TokenClaims:
        if len(token) > _TOKEN_MAX_LENGTH or not _SHAPE.fullmatch(token) or token.partition(".")[0] != self._header:
            raise InvalidToken
        try:
            payload = self._jws.decode(token, self._key, algorithms=[self._algorithm])
            claims = json.loads(payload.decode(), object_pairs_hook=_without_repetition)
        except Exception as error:
            # Invalid bytes cause all kinds of exceptions in the libraries; the result is the same.
            raise InvalidToken from error
        return self._checked(claims)

    def _warn_that_clocks_differ(self, seconds: float) -> None:
        now = self._clock()
        if self._warned_at is None or abs(now - self._warned_at) >= _WARNING_INTERVAL:
            self._warned_at = now
            _log.warning(
                "Refused a token that was issued %d seconds in the future: the clocks of two servers differ, or the"
                " clock of this server was set back",
                seconds,
            )

    def _sign(self, payload: dict[str, Any]) -> str:
        return jwt.encode(payload, self._key, algorithm=self._algorithm)

    def _checked(self, claims: object) -> TokenClaims:
        """The claims, if all are present, have the right types, and have values that this service issues."""
        match claims:
            case {
                "iss": str(issuer),
                "aud": str(audience),
                "sub": str(subject),
                "sid": str(session),
                "iat": int(issued),
                "exp": int(expires),
                "jti": str(token_id),
                **others,
            } if not others and not isinstance(issued, bool) and not isinstance(expires, bool):
                pass
            case _:
                raise InvalidToken
        valid = (
            issuer == _ISSUER
            and audience == _AUDIENCE
            and _ID.fullmatch(subject)
            and int(subject) <= INTEGER_MAX
            and _ID.fullmatch(session)
            and int(session) <= INTEGER_MAX
            and _TOKEN_ID.fullmatch(token_id)
            and 0 <= issued < expires <= issued + LIFETIME_MAX.total_seconds()
        )
        if not valid or expires <= self._clock().timestamp():
            raise InvalidToken
        if issued > (self._clock() + _CLOCK_SKEW).timestamp():
            self._warn_that_clocks_differ(issued - self._clock().timestamp())
            raise InvalidToken
        return TokenClaims(
            token_id=token_id,
            user_id=int(subject),
            session_id=int(session),
            issued_at=datetime.fromtimestamp(issued, UTC),
            expires_at=datetime.fromtimestamp(expires, UTC),
        )


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    claims = dict(pairs)
    if len(claims) < len(pairs):
        raise ValueError("a claim occurs twice")
    return claims
