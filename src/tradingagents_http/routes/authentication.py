"""The routes that issue tokens: the login, and the refresh of its tokens."""

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Response

from tradingagents_core.domain.authentication import IssuedToken
from tradingagents_core.errors import InvalidCredentials, InvalidRefreshToken
from tradingagents_core.use_cases import UseCases
from tradingagents_http.answers import NO_STORE, Json
from tradingagents_http.errors import ErrorAnswers, LastingErrors
from tradingagents_http.oauth import error_fields
from tradingagents_http.paths import LOGIN, REFRESH
from tradingagents_http.requests.bodies import LOGIN_BODY_MAX_BYTES
from tradingagents_http.requests.client_address import ClientAddresses
from tradingagents_http.requests.query import NO_QUERY
from tradingagents_http.responses import problem, token_errors, too_large_detail
from tradingagents_http.route import strict_route
from tradingagents_http.routes import OPEN_TO_ALL, new_router
from tradingagents_http.schemas.authentication import LoginForm, RefreshedToken, RefreshForm, Token

_DETAILS: Final[Mapping[int, object]] = too_large_detail(LOGIN_BODY_MAX_BYTES) | {
    400: "The form should hold each field once",
    401: str(InvalidCredentials()),
    415: "The body should be plain application/x-www-form-urlencoded in UTF-8, and say so in Content-Type",
    422: problem("body", "password", msg="field required", type="missing"),
}
_REFRESH_DETAILS: Final[Mapping[int, object]] = {
    **_DETAILS,
    401: str(InvalidRefreshToken()),
    422: problem("body", "refresh_token", msg="field required", type="missing"),
}


def routes(core: UseCases, client_address: ClientAddresses, lasting: LastingErrors) -> APIRouter:
    """The routes that issue tokens. `client_address` finds the address of the client."""
    answers = ErrorAnswers(lasting, fields=error_fields)
    router = new_router(tag="Authentication", route_class=strict_route(answers, body_max_bytes=LOGIN_BODY_MAX_BYTES))

    @router.post(
        LOGIN,
        summary="Login",
        response_model=Token,
        openapi_extra=OPEN_TO_ALL,
        dependencies=[NO_QUERY],
        responses=token_errors(400, 401, 415, 422, 429, 503, details=_DETAILS),
    )
    async def login(source: Annotated[str, Depends(client_address)], form: Annotated[LoginForm, Form()]) -> Response:
        """Get a token for your e-mail address and password. With `scope=offline_access`, get a refresh token, too."""
        issued = await core.authentication.login(
            email=form.username, password=form.password, source=source, offline_access=form.asks_for_refresh_token
        )
        return _answer(issued)

    @router.post(
        REFRESH,
        summary="Refresh",
        response_model=RefreshedToken,
        openapi_extra=OPEN_TO_ALL,
        dependencies=[NO_QUERY],
        responses=token_errors(400, 401, 415, 422, 503, details=_REFRESH_DETAILS),
    )
    async def refresh(form: Annotated[RefreshForm, Form()]) -> Response:
        """Get new tokens for a refresh token, which is then retired."""
        return _answer(await core.authentication.refresh(refresh_token=form.refresh_token))

    return router


def _answer(issued: IssuedToken) -> Response:
    token = Token(
        access_token=issued.access_token,
        token_type="bearer",  # noqa: S106
        expires_in=int(issued.lifetime.total_seconds()),
        refresh_token=issued.refresh_token,
    )
    return Json(token.model_dump(exclude_none=True), headers=NO_STORE)
