"""Logging in."""

from typing import Annotated

from fastapi import APIRouter, Form

from tradingagents_http.dependencies import Core, Source
from tradingagents_http.media_types import StrictRoute
from tradingagents_http.paths import LOGIN
from tradingagents_http.responses import errors
from tradingagents_http.schemas import LoginForm, Token

router = APIRouter(tags=["Authentication"], route_class=StrictRoute)


@router.post(LOGIN, summary="Login", responses=errors(400, 401, 413, 415, 422, 429, 503))
async def login(core: Core, source: Source, form: Annotated[LoginForm, Form()]) -> Token:
    """Get a token for your e-mail address and password."""
    return Token(access_token=await core.login(email=form.username, password=form.password, source=source))
