"""The public keys of tokens."""

from typing import Final

from fastapi import APIRouter, Request, Response

from tradingagents_core.use_cases import UseCases
from tradingagents_http.answers import Json
from tradingagents_http.errors import ErrorAnswers, LastingErrors
from tradingagents_http.paths import PUBLIC_KEYS
from tradingagents_http.requests.bodies import JSON_MAX_BYTES
from tradingagents_http.requests.query import NOT_PERMITTED, refuse_query
from tradingagents_http.responses import errors, problem
from tradingagents_http.route import strict_route
from tradingagents_http.routes import OPEN_TO_ALL, new_router
from tradingagents_http.schemas.jwks import PublicKeySet

CACHED_SECONDS: Final = 300
"""How long clients may cache the keys. A new key has to be published for this time before it signs tokens."""

_HEADERS: Final = {"Cache-Control": f"public, max-age={CACHED_SECONDS}"}


def routes(core: UseCases) -> APIRouter:
    """The route that publishes the public keys."""
    route_class = strict_route(ErrorAnswers(LastingErrors()), body_max_bytes=JSON_MAX_BYTES)
    router = new_router(tag="Authentication", route_class=route_class)

    @router.get(
        PUBLIC_KEYS,
        summary="List Public Keys",
        response_model=PublicKeySet,
        openapi_extra=OPEN_TO_ALL,
        responses=errors(422, details={422: problem("query", "kid", msg=NOT_PERMITTED, type="extra_forbidden")}),
    )
    async def list_public_keys(request: Request) -> Response:
        """List the keys with which other programs verify tokens (RFC 7517). May be cached for five minutes."""
        refuse_query(request)
        keys = await core.authentication.public_keys()
        return Json(PublicKeySet.model_validate({"keys": [dict(key) for key in keys]}).model_dump(), headers=_HEADERS)

    return router
