"""Logging in."""

from typing import Annotated

from fastapi import APIRouter, Form

from tradingagents_core.use_cases import UseCases
from tradingagents_http.dependencies import Source
from tradingagents_http.oauth import TokenRoute
from tradingagents_http.paths import LOGIN
from tradingagents_http.responses import errors
from tradingagents_http.routes import new_router
from tradingagents_http.schemas import LoginForm, Token


def routes(core: UseCases) -> APIRouter:
    """The route to a token."""
    router = new_router(tag="Authentication", route_class=TokenRoute)

    @router.post(LOGIN, summary="Login", responses=errors(400, 401, 413, 415, 422, 429, 503))
    async def login(source: Source, form: Annotated[LoginForm, Form()]) -> Token:
        """Get a token for your e-mail address and password."""
        token = await core.login(email=form.username, password=form.password, source=source)
        return Token(access_token=token.access_token, expires_in=int(token.lifetime.total_seconds()))

    return router
