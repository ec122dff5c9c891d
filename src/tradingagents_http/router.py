"""The routes for any FastAPI application."""

from collections.abc import Sequence

from fastapi import APIRouter

from tradingagents_core.use_cases import UseCases
from tradingagents_http.errors import LastingErrors
from tradingagents_http.requests.client_address import ClientAddresses, Network
from tradingagents_http.requests.credentials import ApiKeyScheme, CurrentCaller, bearer_tokens, callers_of
from tradingagents_http.routes import accounts, api_keys, authentication, sessions, strategies


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

    By default callers send a bearer token or an API key, and the router has the login that issues tokens, and all
    routes for users of the login: refresh, logout, sessions, API keys and accounts. With `login=False` the router has
    the strategies only, and the tokens come from elsewhere. `current_caller` is a dependency of the application that
    returns the `Caller` of a request for a strategy, in place of the bearer token; then the router has the login and
    the routes for its users only with `login=True`.

    `X-Forwarded-For` is trusted only from `trusted_proxies`; only the login and the change of a password read this
    header.
    """
    has_login = current_caller is None if login is None else login
    authenticate = core.authentication.authenticate
    tokens_and_keys = bearer_tokens(authenticate, has_login=has_login, api_key=ApiKeyScheme() if has_login else None)
    lasting = LastingErrors()
    router = APIRouter()
    router.routes += strategies.routes(
        core, tokens_and_keys if current_caller is None else callers_of(current_caller), lasting
    ).routes
    if has_login:
        tokens = bearer_tokens(authenticate, has_login=True)
        addresses = ClientAddresses(trusted_proxies)
        router.routes += [
            *authentication.routes(core, addresses, lasting).routes,
            *sessions.routes(core, tokens, lasting).routes,
            *api_keys.routes(core, tokens, lasting).routes,
            *accounts.routes(core, tokens, tokens_and_keys, addresses, lasting).routes,
        ]
    return router
