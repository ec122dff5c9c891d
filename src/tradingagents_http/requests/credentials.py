"""The caller of a request: a bearer token, an API key, or what the application that includes the routes knows."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self, TypeAlias

from fastapi import Depends, HTTPException, Request, Security, params
from fastapi.openapi.models import HTTPBearer, OAuth2, OAuthFlowPassword, OAuthFlows
from fastapi.security.base import SecurityBase

from tradingagents_core.domain.api_keys import API_KEY_PATTERN
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.use_cases.authentication import AuthenticateCall
from tradingagents_http.errors import NO_TOKEN
from tradingagents_http.paths import LOGIN, REFRESH, path_for_clients, prefix_of
from tradingagents_http.requests.query import refuse_query

CurrentCaller: TypeAlias = Callable[..., Caller | Awaitable[Caller] | Iterator[Caller] | AsyncIterator[Caller]]
"""A FastAPI dependency of an application that returns the caller of a request."""

_SEND_IT: Final = "send the header Authorization: Bearer TOKEN"


@dataclass(frozen=True)
class Credentials:
    """How a route gets its caller: a FastAPI dependency, and whether the dependency reads a bearer token."""

    dependency: params.Depends
    are_tokens: bool


class ApiKeyScheme(SecurityBase):
    """The description of API keys in the OpenAPI document. `BearerToken` reads the keys."""

    def __init__(self, name: str = "ApiKey") -> None:
        self.scheme_name = name
        self.model = HTTPBearer(
            description=f"An API key, in the form `{API_KEY_PATTERN}`, with the scope of the route."
        )


class BearerToken(SecurityBase):
    """Authenticates the caller by the bearer token of the request (RFC 6750, 2.1), or answers 401.

    This dependency also describes the token in the OpenAPI document, and refuses query parameters on routes that have
    none. It is one dependency instead of three, since each dependency costs time in every request.

    With `login`, the token comes from the login beside the routes. `included_at` is the path prefix at which an
    application has included the routes, as its OpenAPI document writes the prefix. With `api_key`, this scheme says in
    the document that an API key can be sent in place of the token. The core decides what keys allow.
    """

    def __init__(
        self,
        authenticate: AuthenticateCall,
        *,
        has_login: bool,
        api_key: ApiKeyScheme | None = None,
        included_at: str = "",
        name: str | None = None,
    ) -> None:
        self._authenticate = authenticate
        self._has_login = has_login
        self.api_key = api_key
        if has_login:
            self.scheme_name = name or "OAuth2Password"
            flow = OAuthFlowPassword(tokenUrl=included_at + LOGIN, refreshUrl=included_at + REFRESH)
            self.model = OAuth2(
                flows=OAuthFlows(password=flow), description="Your e-mail address and password, for a token."
            )
        else:
            self.scheme_name = name or "Bearer"
            self.model = HTTPBearer(description="The token that identifies you.")

    def included(self, *, root_path: str, prefix: str) -> Self:
        """The same, as the OpenAPI document of an application describes it that includes the routes at a prefix.

        The names of the schemes contain the prefix, so that they are the names of no other schemes of the application.
        """
        name = "TradingAgents" + name_of(prefix)
        return type(self)(
            self._authenticate,
            has_login=self._has_login,
            api_key=None if self.api_key is None else ApiKeyScheme(f"{name}_api_key"),
            included_at=root_path + prefix,
            name=name,
        )

    async def __call__(self, request: Request) -> Caller:
        sent = [value for name, value in request.scope["headers"] if name == b"authorization"]
        if len(sent) > 1:
            raise HTTPException(400, "The Authorization header should be sent once")
        # More than one space may follow the scheme (RFC 9110, 11.4).
        scheme, _, token = sent[0].decode("latin-1").strip().partition(" ") if sent else ("", "", "")
        token = token.lstrip(" ")
        if scheme.lower() != "bearer" or not token:
            raise HTTPException(401, f"Not authenticated: {self._fault(request, scheme)}", NO_TOKEN)
        caller = await self._authenticate(credential=token)
        if not request.scope["route"].dependant.query_params:
            refuse_query(request)
        return caller

    def _fault(self, request: Request, scheme: str) -> str:
        """Why a request has no token, and what the client should do. No text of the request is repeated."""
        login = prefix_of(path_for_clients(request.scope)) + LOGIN if self._has_login else None
        if scheme.lower() == "basic":
            return f"HTTP Basic is not taken here; {f'log in at {login} and ' if login else ''}{_SEND_IT}"
        if scheme.lower() == "bearer":
            return f"no token follows Bearer; {_SEND_IT}"
        if scheme:
            return f"the Authorization header does not begin with Bearer; {_SEND_IT}"
        if "token" in request.scope["query_string"].decode("latin-1").lower():
            return f"a token in the query is not taken (RFC 9700, 4.3.2); {_SEND_IT}"
        return f"{_SEND_IT}, with a token from {login}" if login else _SEND_IT


def bearer_tokens(
    authenticate: AuthenticateCall, *, has_login: bool, api_key: ApiKeyScheme | None = None
) -> Credentials:
    """Callers who send a bearer token, or an API key with this scheme."""
    return Credentials(Security(BearerToken(authenticate, has_login=has_login, api_key=api_key)), are_tokens=True)


def callers_of(current_caller: CurrentCaller) -> Credentials:
    """Callers whom the application that includes the routes identifies by this dependency."""

    async def caller(request: Request, caller: Annotated[Any, Depends(current_caller)]) -> Caller:
        if not isinstance(caller, Caller):
            raise TypeError(f"current_caller should return a Caller, but returned a value of type {type(caller)!r}")
        if not request.scope["route"].dependant.query_params:
            refuse_query(request)
        return caller

    return Credentials(Depends(caller), are_tokens=False)


def name_of(prefix: str) -> str:
    """A prefix as a part of a name: only letters, digits and underscores."""
    return re.sub(r"[^A-Za-z0-9]", "_", prefix)
