"""The application: routes, error responses and middleware over a given core."""

from collections.abc import Sequence

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import Lifespan

from tradingagents_core import __version__
from tradingagents_core.use_cases import UseCases
from tradingagents_http.document import (
    CONTACT,
    DOCUMENT,
    INTRODUCTION,
    REDOC,
    TAGS,
    complete_document,
    published,
    redoc_script,
)
from tradingagents_http.errors import handle_errors
from tradingagents_http.middleware import (
    BodyLimit,
    CloseAfterUpgrade,
    Gzip,
    HeadAsGet,
    HeadLimit,
    JsonCors,
    LastResort,
    RequestIds,
    SafeHeaders,
    StrippedPrefix,
)
from tradingagents_http.paths import LOGIN
from tradingagents_http.requests.bodies import JSON_MAX_BYTES, LOGIN_BODY_MAX_BYTES
from tradingagents_http.requests.client_address import ClientAddresses, Network
from tradingagents_http.routes import authentication, health, strategies


def create_app(
    core: UseCases,
    *,
    cors_origins: Sequence[str] = ("*",),
    cors_allow_headers: Sequence[str] = ("*",),
    cors_allow_credentials: bool = False,
    trusted_proxies: Sequence[Network] = (),
    root_path: str = "",
    lifespan: Lifespan[FastAPI] | None = None,
) -> FastAPI:
    """The REST API over these use cases.

    Pages of `cors_origins` may read responses and send the headers `cors_allow_headers`. They may use the browser's
    credentials only with `cors_allow_credentials`. `X-Forwarded-For` is trusted only from `trusted_proxies`.
    `root_path` is the prefix that a proxy strips from paths: paths in the documentation and in `Location` begin with
    this prefix.
    """
    routers = (
        strategies.routes(core),
        authentication.routes(core, ClientAddresses(trusted_proxies)),
        health.routes(),
    )
    app = FastAPIOffline(
        title="TradingAgents REST API",
        version=__version__,
        description=INTRODUCTION,
        contact=CONTACT,
        openapi_tags=TAGS,
        openapi_url=DOCUMENT,
        redirect_slashes=False,
        # With `include_router`, FastAPI would search for the route of each request in several steps.
        routes=[
            *(route for router in routers for route in router.routes),
            # These two routes replace FastAPI's.
            Route(DOCUMENT, published),
            Route(REDOC, redoc_script),
        ],
        lifespan=lifespan,
        middleware=[
            Middleware(RequestIds),
            Middleware(StrippedPrefix, prefix=root_path),
            Middleware(CloseAfterUpgrade),
            Middleware(SafeHeaders),
            Middleware(HeadLimit),
            Middleware(HeadAsGet),
            Middleware(Gzip),
            Middleware(
                JsonCors,
                origins=cors_origins,
                allow_headers=cors_allow_headers,
                allow_credentials=cors_allow_credentials,
            ),
            Middleware(LastResort),
            Middleware(BodyLimit, limit=JSON_MAX_BYTES, limits={LOGIN: LOGIN_BODY_MAX_BYTES}),
        ],
    )
    handle_errors(app)
    complete_document(app)
    return app
