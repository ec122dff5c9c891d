"""Callers, and the tokens that identify them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from tradingagents_core.domain.plain_types import instance_of, plain_id, plain_str, utc_time
from tradingagents_core.domain.scopes import ALL_SCOPES, plain_scopes
from tradingagents_core.errors import InsufficientScope, NotForApiKeys

JsonWebKey: TypeAlias = Mapping[str, str]
"""The members of a public JSON Web Key (RFC 7517)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The user for whom a use case works, and what the credential of this user allows.

    An application with its own log-in creates callers itself, and needs no credentials.

    Raises:
        InvalidInput: an id is not an integer between 1 and `INTEGER_MAX`; the scopes are not among `ALL_SCOPES`, or
            there are none; the time has no time zone, or cannot be converted to UTC.
    """

    user_id: int
    scopes: tuple[str, ...] = ALL_SCOPES
    session_id: int | None = None
    """The session of the credential, for a token of a login."""
    api_key_id: int | None = None
    """The API key that is the credential."""
    expires_at: datetime | None = None
    """When the credential of this caller expires, converted to UTC; None for a credential that never expires."""

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "user_id", plain_id("user_id", self.user_id))
        if self.scopes is not ALL_SCOPES:
            put(self, "scopes", plain_scopes("scopes", self.scopes))
        if self.session_id is not None:
            put(self, "session_id", plain_id("session_id", self.session_id))
        if self.api_key_id is not None:
            put(self, "api_key_id", plain_id("api_key_id", self.api_key_id))
        if self.expires_at is not None:
            put(self, "expires_at", utc_time("expires_at", self.expires_at))

    def check_scope(self, scope: str) -> None:
        """Return where the credential allows this scope.

        Raises:
            InsufficientScope: the credential does not allow the scope.
        """
        if scope not in self.scopes:
            raise InsufficientScope(scope)

    def check_is_no_api_key(self) -> None:
        """Return where the caller is a user, or an application for the user, and not a bot with an API key.

        Raises:
            NotForApiKeys: the credential is an API key.
        """
        if self.api_key_id is not None:
            raise NotForApiKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A new bearer token, how long the token is valid, and the refresh token if one was asked for.

    Raises:
        InvalidInput: a token is not text, or the lifetime is not a `timedelta`.
    """

    access_token: str = field(repr=False)
    lifetime: timedelta
    refresh_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "access_token", plain_str("access_token", self.access_token))
        instance_of(timedelta, "lifetime", self.lifetime)
        if self.refresh_token is not None:
            object.__setattr__(self, "refresh_token", plain_str("refresh_token", self.refresh_token))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenClaims:
    """What a token says: its id, user and session, when it was issued and when it expires, converted to UTC.

    Raises:
        InvalidInput: the token's id is not text; the user's or the session's id is not an integer between 1 and
            `INTEGER_MAX`; a time has no time zone, or cannot be converted to UTC.
    """

    token_id: str
    user_id: int
    session_id: int
    issued_at: datetime
    expires_at: datetime

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "token_id", plain_str("token_id", self.token_id))
        put(self, "user_id", plain_id("user_id", self.user_id))
        put(self, "session_id", plain_id("session_id", self.session_id))
        put(self, "issued_at", utc_time("issued_at", self.issued_at))
        put(self, "expires_at", utc_time("expires_at", self.expires_at))
