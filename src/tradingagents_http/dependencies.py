"""What routes are given besides their input: the core, and who is calling."""

from typing import Annotated, cast

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import OAuth2PasswordBearer

from tradingagents_core.domain.user import User
from tradingagents_core.use_cases import UseCases
from tradingagents_http.client_address import client_address
from tradingagents_http.errors import NO_TOKEN
from tradingagents_http.paths import LOGIN

_bearer_token = OAuth2PasswordBearer(
    tokenUrl=LOGIN.removeprefix("/"), scheme_name="Bearer", description="A token from the login.", auto_error=False
)


async def _core(request: Request) -> UseCases:
    return cast(UseCases, request.app.state.core)


Core = Annotated[UseCases, Depends(_core)]
"""The use cases that the application was created with."""


async def _source(request: Request) -> str:
    return client_address(request, request.app.state.trusted_proxies)


Source = Annotated[str, Depends(_source)]
"""The address that the request comes from."""


async def _current_user(request: Request, core: Core, token: Annotated[str | None, Security(_bearer_token)]) -> User:
    if len(request.headers.getlist("authorization")) > 1:
        raise HTTPException(400, "The Authorization header should be sent once")
    if not token:
        raise HTTPException(401, "Not authenticated", NO_TOKEN)
    return await core.identify_user(token=token)


CurrentUser = Annotated[User, Depends(_current_user)]
"""The user whose bearer token came with the request (RFC 6750, 2.1); else the answer is 401."""
