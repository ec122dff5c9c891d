"""The routes for any FastAPI application."""

from collections.abc import Sequence

from fastapi import APIRouter

from tradingagents_core.use_cases import UseCases
from tradingagents_http.errors import LastingErrors
from tradingagents_http.requests.client_address import ClientAddresses, Network
from tradingagents_http.requests.credentials import CurrentCaller, bearer_tokens, callers_of
from tradingagents_http.routes import authentication, strategies


def build_router(
    core: UseCases,
    *,
    login: bool | None = None,
    current_caller: CurrentCaller | None = None,
    trusted_proxies: Sequence[Network] = (),
) -> APIRouter:
    """The routes of the API over these use cases, for `include_router` of any FastAPI application or router.

    The routes may be included at any prefix, and several times. They answer their own errors as the API documents, and
    limit their bodies. The application's other routes, handlers and middleware stay as they are. Unexpected exceptions
    go on to the application.

    By default callers send a bearer token, and the router has the login that issues tokens. With `login=False` the
    tokens come from elsewhere. `current_caller` is a dependency of the application that returns the `Caller` of a
    request, in place of the bearer token; then the router has a login only with `login=True`.

    `X-Forwarded-For` is trusted only from `trusted_proxies`; only the login reads this header.
    """
    has_login = current_caller is None if login is None else login
    credentials = (
        bearer_tokens(core.authentication.authenticate, has_login=has_login)
        if current_caller is None
        else callers_of(current_caller)
    )
    lasting = LastingErrors()
    router = APIRouter()
    router.routes += strategies.routes(core, credentials, lasting).routes
    if has_login:
        router.routes += authentication.routes(core, ClientAddresses(trusted_proxies), lasting).routes
    return router
