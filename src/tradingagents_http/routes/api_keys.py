"""The API keys of the caller."""

from typing import Annotated, Final

from fastapi import APIRouter, Request, Response

from tradingagents_core.domain.api_keys import API_KEYS_MAX
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.errors import ApiKeyNotFound, TooManyApiKeys
from tradingagents_core.use_cases import UseCases
from tradingagents_http.answers import NO_STORE, Json
from tradingagents_http.errors import ErrorAnswers, LastingErrors
from tradingagents_http.paths import API_KEYS, path_for_clients
from tradingagents_http.requests.bodies import ACCOUNT_BODY_MAX_BYTES
from tradingagents_http.requests.credentials import Credentials
from tradingagents_http.responses import (
    LIMIT_TOO_SMALL,
    NO_INTEGER,
    NO_NAME,
    created,
    token_caller_errors,
    too_large_detail,
)
from tradingagents_http.route import strict_route
from tradingagents_http.routes import new_router
from tradingagents_http.schemas.api_keys import ApiKeyCreateBody, ApiKeyId, ApiKeyPage, ApiKeyPagination, NewApiKey

_TOO_LARGE: Final = too_large_detail(ACCOUNT_BODY_MAX_BYTES)


def routes(core: UseCases, credentials: Credentials, lasting: LastingErrors) -> APIRouter:
    """The routes for the API keys of the caller."""
    route_class = strict_route(ErrorAnswers(lasting), body_max_bytes=ACCOUNT_BODY_MAX_BYTES)
    router = new_router(tag="API keys", prefix=API_KEYS, route_class=route_class)

    @router.post(
        "",
        summary="Create API Key",
        status_code=201,
        response_model=NewApiKey,
        response_description="Created",
        responses=token_caller_errors(
            *(403, 409, 415, 422, 503),
            details=_TOO_LARGE | {409: str(TooManyApiKeys(API_KEYS_MAX)), 422: NO_NAME},
        )
        | created("Where the key is revoked with DELETE."),
    )
    async def create_api_key(
        request: Request, caller: Annotated[Caller, credentials.dependency], body: ApiKeyCreateBody
    ) -> Response:
        """Make a key for a bot. Only this answer has the key itself: keep it in a safe place."""
        new = await core.api_keys.create(caller=caller, content=body.content())
        location = f"{path_for_clients(request.scope)}/{new.api_key.id}"
        return Json(NewApiKey.of(new).model_dump(), 201, {"Location": location, **NO_STORE})

    @router.get(
        "",
        summary="List API Keys",
        response_model=ApiKeyPage,
        responses=token_caller_errors(403, 422, 503, details=_TOO_LARGE | {422: LIMIT_TOO_SMALL}),
    )
    async def list_api_keys(caller: Annotated[Caller, credentials.dependency], page: ApiKeyPagination) -> Response:
        """List your API keys, oldest first."""
        keys = await core.api_keys.list(caller=caller, skip=page.skip, limit=page.limit)
        return Json(ApiKeyPage.model_validate(keys).model_dump())

    @router.delete(
        "/{id}",
        summary="Revoke API Key",
        status_code=204,
        responses=token_caller_errors(
            403, 404, 422, 503, details=_TOO_LARGE | {404: str(ApiKeyNotFound(999)), 422: NO_INTEGER}
        ),
    )
    async def revoke_api_key(caller: Annotated[Caller, credentials.dependency], api_key_id: ApiKeyId) -> Response:
        """Revoke one of your API keys: the key is refused from now on."""
        await core.api_keys.revoke(caller=caller, api_key_id=api_key_id)
        return Response(status_code=204)

    return router
