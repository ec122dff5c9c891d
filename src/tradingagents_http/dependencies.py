"""What routes are given besides their input: who is calling, and from where."""

from typing import Annotated, Final

from fastapi import Depends, HTTPException, Request, Security
from fastapi.openapi.models import OAuth2, OAuthFlowPassword, OAuthFlows
from fastapi.security.base import SecurityBase

from tradingagents_core.domain.user import User
from tradingagents_core.use_cases import UseCases
from tradingagents_http.errors import NO_TOKEN
from tradingagents_http.paths import LOGIN
from tradingagents_http.query import refuse_query

_SEND_IT: Final = "send the header Authorization: Bearer TOKEN"


async def _source(request: Request) -> str:
    refuse_query(request)
    address: str = request.app.state.client_addresses(request)
    return address


Source = Annotated[str, Depends(_source)]
"""The address that the request comes from, without query parameters."""


class _BearerToken(SecurityBase):
    """The check of the bearer token, and at once what the document says about it: one dependency instead of three."""

    def __init__(self) -> None:
        self.scheme_name = "OAuth2Password"
        flow = OAuthFlowPassword(tokenUrl=LOGIN)
        self.model = OAuth2(
            flows=OAuthFlows(password=flow), description="Your e-mail address and password, for a token."
        )

    async def __call__(self, request: Request) -> User:
        sent = [value for name, value in request.scope["headers"] if name == b"authorization"]
        if len(sent) > 1:
            raise HTTPException(400, "The Authorization header should be sent once")
        # More than one blank may follow the scheme (RFC 9110, 11.4).
        scheme, _, token = sent[0].decode("latin-1").strip().partition(" ") if sent else ("", "", "")
        token = token.lstrip(" ")
        if scheme.lower() != "bearer" or not token:
            raise HTTPException(401, f"Not authenticated: {_fault(request, scheme)}", NO_TOKEN)
        core: UseCases = request.app.state.core
        user = await core.identify_user(token=token)
        if not request.scope["route"].dependant.query_params:
            refuse_query(request)
        return user


def _fault(request: Request, scheme: str) -> str:
    """What is wrong with a request that brings no token, and what to do; nothing is repeated that it said."""
    if scheme.lower() == "basic":
        return f"HTTP Basic is not taken here; log in at {LOGIN} and {_SEND_IT}"
    if scheme.lower() == "bearer":
        return f"no token follows Bearer; {_SEND_IT}"
    if scheme:
        return f"the Authorization header does not begin with Bearer; {_SEND_IT}"
    if "token" in request.scope["query_string"].decode("latin-1").lower():
        return f"a token in the query is not taken (RFC 9700, 4.3.2); {_SEND_IT}"
    return f"{_SEND_IT}, with a token from {LOGIN}"


CurrentUser = Annotated[User, Security(_BearerToken())]
"""The user whose bearer token came with the request (RFC 6750, 2.1); else the answer is 401."""
