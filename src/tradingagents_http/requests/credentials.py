"""The bearer token of a request."""

from typing import Final

from fastapi import HTTPException, Request
from fastapi.openapi.models import OAuth2, OAuthFlowPassword, OAuthFlows
from fastapi.security.base import SecurityBase

from tradingagents_core.domain.authentication import Caller
from tradingagents_core.use_cases.authentication import AuthenticateCall
from tradingagents_http.errors import NO_TOKEN
from tradingagents_http.paths import LOGIN
from tradingagents_http.requests.query import refuse_query

_SEND_IT: Final = "send the header Authorization: Bearer TOKEN"


class BearerToken(SecurityBase):
    """Authenticates the caller by the bearer token of the request (RFC 6750, 2.1), or answers 401.

    This dependency also describes the token in the OpenAPI document, and refuses query parameters on routes that have
    none. It is one dependency instead of three, since each dependency costs time in every request.
    """

    def __init__(self, authenticate: AuthenticateCall) -> None:
        self._authenticate = authenticate
        self.scheme_name = "OAuth2Password"
        flow = OAuthFlowPassword(tokenUrl=LOGIN)
        self.model = OAuth2(
            flows=OAuthFlows(password=flow), description="Your e-mail address and password, for a token."
        )

    async def __call__(self, request: Request) -> Caller:
        sent = [value for name, value in request.scope["headers"] if name == b"authorization"]
        if len(sent) > 1:
            raise HTTPException(400, "The Authorization header should be sent once")
        # More than one space may follow the scheme (RFC 9110, 11.4).
        scheme, _, token = sent[0].decode("latin-1").strip().partition(" ") if sent else ("", "", "")
        token = token.lstrip(" ")
        if scheme.lower() != "bearer" or not token:
            raise HTTPException(401, f"Not authenticated: {_fault(request, scheme)}", NO_TOKEN)
        caller = await self._authenticate(credential=token)
        if not request.scope["route"].dependant.query_params:
            refuse_query(request)
        return caller


def _fault(request: Request, scheme: str) -> str:
    """Why a request has no token, and what the client should do. No text of the request is repeated."""
    if scheme.lower() == "basic":
        return f"HTTP Basic is not taken here; log in at {LOGIN} and {_SEND_IT}"
    if scheme.lower() == "bearer":
        return f"no token follows Bearer; {_SEND_IT}"
    if scheme:
        return f"the Authorization header does not begin with Bearer; {_SEND_IT}"
    if "token" in request.scope["query_string"].decode("latin-1").lower():
        return f"a token in the query is not taken (RFC 9700, 4.3.2); {_SEND_IT}"
    return f"{_SEND_IT}, with a token from {LOGIN}"
