"""Bearer tokens as signed JSON Web Tokens (RFC 7519, RFC 8725)."""

import base64
import json
import logging
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tradingagents_adapters.jwt_keys import (
    ALGORITHMS,
    KEY_MIN_BYTES,
    InvalidKey,
    JwtKey,
    base64url,
    read_previous_keys,
    read_signing_key,
)
from tradingagents_core.domain.authentication import JsonWebKey, TokenClaims
from tradingagents_core.domain.parameters import INTEGER_MAX
from tradingagents_core.errors import InvalidToken
from tradingagents_core.ports import Clock, TokenService

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
    """Signs tokens with one key and one algorithm, and accepts only tokens of exactly the form that it issues.

    `secret_key` is a secret text or a private key in PEM, as the algorithm needs (`read_signing_key`). `previous_keys`
    is a text with keys that only verify tokens (`read_previous_keys`). The header of a token names its key, and the
    header has to be exactly that of a known key. Tokens of earlier versions do not name their key.

    Raises:
        ValueError: the algorithm is unknown, a key cannot be used with its algorithm, or the lifetime is not between
            one second and `LIFETIME_MAX`.
    """

    def __init__(
        self, *, secret_key: str, algorithm: str, lifetime: timedelta, clock: Clock, previous_keys: str = ""
    ) -> None:
        if algorithm not in ALGORITHMS:
            raise ValueError(f"the algorithm should be one of {', '.join(ALGORITHMS)}")
        if not timedelta(seconds=1) <= lifetime <= LIFETIME_MAX:
            raise ValueError(f"the lifetime should be one second to {LIFETIME_MAX.days} days")
        try:
            self._key = read_signing_key(secret_key, algorithm=algorithm)
        except InvalidKey as fault:
            raise ValueError(f"the key {fault}") from None
        keys = (self._key, *read_previous_keys(previous_keys, current=self._key))
        self._public_keys = tuple(key.public for key in keys if key.public is not None)
        self._header = _header(algorithm, self._key.key_id)
        self._keys_by_header = _by_header(keys)
        self._lifetime = timedelta(seconds=lifetime // timedelta(seconds=1))
        self._clock = clock
        self._warned_at: datetime | None = None

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
        if len(token) > _TOKEN_MAX_LENGTH or not _SHAPE.fullmatch(token):
            raise InvalidToken
        header, payload, signature = token.split(".")
        keys = self._keys_by_header.get(header, ())
        try:
            message, signed = f"{header}.{payload}".encode(), _bytes_of(signature)
            is_signed = any(key.verifies(message, signed) for key in keys)
            claims = (
                json.loads(_bytes_of(payload).decode(), object_pairs_hook=_without_repetition) if is_signed else None
            )
        except Exception as error:
            # Invalid bytes cause all kinds of exceptions in the libraries; the result is the same.
            raise InvalidToken from error
        return self._checked(claims)

    def public_keys(self) -> Sequence[JsonWebKey]:
        """The public keys: first the key of new tokens, then the previous keys. Secret keys are not among them."""
        return self._public_keys

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
        message = f"{self._header}.{_json_segment(payload)}"
        return f"{message}.{base64url(self._key.sign(message.encode()))}"

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


def _by_header(keys: Sequence[JwtKey]) -> Mapping[str, Sequence[JwtKey]]:
    """The keys by the first segments of their tokens."""
    found: dict[str, list[JwtKey]] = {}
    for key in keys:
        found[_header(key.algorithm, key.key_id)] = [key]
        # Earlier versions had only secret keys. Their tokens do not name a key.
        if key.algorithm in KEY_MIN_BYTES:
            found.setdefault(_header(key.algorithm), []).append(key)
    return found


def _header(algorithm: str, key_id: str | None = None) -> str:
    """The first segment of all tokens with this key, byte for byte."""
    return _json_segment({"alg": algorithm, **({"kid": key_id} if key_id else {}), "typ": "JWT"})


def _json_segment(content: Mapping[str, Any]) -> str:
    return base64url(json.dumps(content, separators=(",", ":")).encode())


def _bytes_of(segment: str) -> bytes:
    """The content of a segment.

    Raises:
        ValueError: the segment is not in base64url, or is another spelling of its content (RFC 7515, 2; RFC 4648, 3.5).
    """
    content = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    if base64url(content) != segment:
        raise ValueError("the segment should be in base64url")
    return content


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    claims = dict(pairs)
    if len(claims) < len(pairs):
        raise ValueError("a claim occurs twice")
    return claims
