"""What routes are given besides their input: who is calling, and from where."""

from typing import Annotated

from fastapi import Depends, HTTPException, Request, Security
from fastapi.openapi.models import OAuth2, OAuthFlowPassword, OAuthFlows
from fastapi.security.base import SecurityBase

from tradingagents_core.domain.user import User
from tradingagents_core.use_cases import UseCases
from tradingagents_http.client_address import client_address
from tradingagents_http.errors import NO_TOKEN
from tradingagents_http.paths import LOGIN


async def _source(request: Request) -> str:
    return client_address(request, request.app.state.trusted_proxies)


Source = Annotated[str, Depends(_source)]
"""The address that the request comes from."""


class _BearerToken(SecurityBase):
    """The check of the bearer token, and at once what the document says about it: one dependency instead of three."""

    def __init__(self) -> None:
        self.scheme_name = "Bearer"
        flow = OAuthFlowPassword(tokenUrl=LOGIN.removeprefix("/"))
        self.model = OAuth2(flows=OAuthFlows(password=flow), description="A token from the login.")

    async def __call__(self, request: Request) -> User:
        sent = [value for name, value in request.scope["headers"] if name == b"authorization"]
        if len(sent) > 1:
            raise HTTPException(400, "The Authorization header should be sent once")
        scheme, _, token = sent[0].decode("latin-1").partition(" ") if sent else ("", "", "")
        if scheme.lower() != "bearer" or not token:
            raise HTTPException(401, "Not authenticated", NO_TOKEN)
        core: UseCases = request.app.state.core
        return await core.identify_user(token=token)


CurrentUser = Annotated[User, Security(_BearerToken())]
"""The user whose bearer token came with the request (RFC 6750, 2.1); else the answer is 401."""
