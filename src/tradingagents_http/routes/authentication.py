"""The login."""

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Response

from tradingagents_core.errors import InvalidCredentials
from tradingagents_core.use_cases import UseCases
from tradingagents_http.answers import Json
from tradingagents_http.errors import ErrorAnswers, LastingErrors
from tradingagents_http.oauth import error_fields
from tradingagents_http.paths import LOGIN
from tradingagents_http.requests.bodies import LOGIN_BODY_MAX_BYTES
from tradingagents_http.requests.client_address import ClientAddresses
from tradingagents_http.requests.query import NO_QUERY
from tradingagents_http.responses import problem, token_errors
from tradingagents_http.route import strict_route
from tradingagents_http.routes import OPEN_TO_ALL, new_router
from tradingagents_http.schemas.authentication import LoginForm, Token

_DETAILS: Final[Mapping[int, object]] = {
    400: "The form should hold each field once",
    401: str(InvalidCredentials()),
    413: f"The body should have at most {LOGIN_BODY_MAX_BYTES} bytes",
    415: "The body should be plain application/x-www-form-urlencoded in UTF-8, and say so in Content-Type",
    422: problem("body", "password", msg="field required", type="missing"),
}


_NO_STORE: Final = {"Cache-Control": "no-store"}
"""Responses with tokens must not be cached (RFC 6749, 5.1)."""


def routes(core: UseCases, client_address: ClientAddresses, lasting: LastingErrors) -> APIRouter:
    """The route that issues tokens. `client_address` finds the address of the client."""
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
        """Get a token for your e-mail address and password."""
        token = await core.authentication.login(email=form.username, password=form.password, source=source)
        answer = Token(access_token=token.access_token, expires_in=int(token.lifetime.total_seconds()))
        return Json(answer.model_dump(), headers=_NO_STORE)

    return router
