"""The account of the caller, and new accounts."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response

from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.scopes import ALL_SCOPES
from tradingagents_core.errors import EmailTaken, RegistrationDisabled
from tradingagents_core.use_cases import UseCases
from tradingagents_http.answers import Json
from tradingagents_http.errors import ErrorAnswers, LastingErrors
from tradingagents_http.paths import ME, PASSWORD, REGISTER, path_for_clients, prefix_of
from tradingagents_http.requests.bodies import ACCOUNT_BODY_MAX_BYTES
from tradingagents_http.requests.client_address import ClientAddresses
from tradingagents_http.requests.credentials import Credentials
from tradingagents_http.requests.query import NO_QUERY, NOT_PERMITTED
from tradingagents_http.responses import created, errors, problem, token_caller_errors, too_large_detail
from tradingagents_http.route import strict_route
from tradingagents_http.routes import OPEN_TO_ALL, new_router
from tradingagents_http.schemas.accounts import Account, PasswordChangeBody, RegistrationBody

_TOO_LARGE: Final = too_large_detail(ACCOUNT_BODY_MAX_BYTES)
_NO_QUERY_PARAMETERS: Final = problem("query", "verbose", msg=NOT_PERMITTED, type="extra_forbidden")
_WRONG_PASSWORD: Final = problem(
    "body", "current_password", msg="current_password should be your present password", type="wrong_password"
)
_NO_PASSWORD: Final = problem("body", "password", msg="field required", type="missing")
_NOT_TEXT: Final = "The body should be UTF-8 text"


def routes(
    core: UseCases,
    credentials: Credentials,
    with_keys: Credentials,
    client_address: ClientAddresses,
    lasting: LastingErrors,
) -> APIRouter:
    """The routes for accounts. `with_keys` also takes API keys. `client_address` finds the address of the client."""
    route_class = strict_route(ErrorAnswers(lasting), body_max_bytes=ACCOUNT_BODY_MAX_BYTES)
    router = new_router(tag="Account", route_class=route_class)

    @router.get(
        ME,
        summary="Get Account",
        response_model=Account,
        responses=token_caller_errors(422, 503, details=_TOO_LARGE | {422: _NO_QUERY_PARAMETERS}),
    )
    async def get_account(caller: Annotated[Caller, with_keys.dependency]) -> Response:
        """Read your account, and what your token or API key allows."""
        user = await core.accounts.get(caller=caller)
        return Json(Account.of(user, scopes=caller.scopes).model_dump())

    @router.post(
        PASSWORD,
        summary="Change Password",
        status_code=204,
        responses=token_caller_errors(403, 415, 422, 429, 503, details=_TOO_LARGE | {422: _WRONG_PASSWORD}),
    )
    async def change_password(
        caller: Annotated[Caller, credentials.dependency],
        source: Annotated[str, Depends(client_address)],
        body: PasswordChangeBody,
    ) -> Response:
        """Change your password, and end your other sessions. API keys stay valid."""
        await core.accounts.change_password(
            caller=caller, current_password=body.current_password, new_password=body.new_password, source=source
        )
        return Response(status_code=204)

    @router.post(
        REGISTER,
        summary="Register",
        status_code=201,
        response_model=Account,
        response_description="Created",
        openapi_extra=OPEN_TO_ALL,
        dependencies=[NO_QUERY],
        responses=errors(
            *(400, 403, 409, 415, 422, 503),
            details=_TOO_LARGE
            | {
                400: _NOT_TEXT,
                403: str(RegistrationDisabled()),
                409: str(EmailTaken("user@example.com")),
                422: _NO_PASSWORD,
            },
        )
        | created("Where the account is for its user."),
    )
    async def register(request: Request, body: RegistrationBody) -> Response:
        """Create an account for yourself, where the operator of the service allows that."""
        user = await core.accounts.register(email=body.email, password=body.password)
        location = prefix_of(path_for_clients(request.scope)) + ME
        return Json(Account.of(user, scopes=ALL_SCOPES).model_dump(), 201, {"Location": location})

    return router
