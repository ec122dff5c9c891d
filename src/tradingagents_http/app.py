"""The application: the routes of `build_router`, a health check, error responses, pages and middleware."""

from collections.abc import Iterator, Sequence

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import Lifespan

from tradingagents_core import __version__
from tradingagents_core.use_cases import UseCases
from tradingagents_http.document import CONTACT, REDOC, TAGS, Introduction, Pages, PublishedDocument, redoc_script
from tradingagents_http.errors import answer_errors
from tradingagents_http.middleware import (
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
from tradingagents_http.requests.client_address import Network
from tradingagents_http.router import build_router
from tradingagents_http.routes import health, jwks


def create_app(
    core: UseCases,
    *,
    title: str = "TradingAgents REST API",
    version: str = __version__,
    description: str | None = None,
    openapi_url: str | None = "/openapi.json",
    docs_url: str | None = "/docs",
    redoc_url: str | None = "/redoc",
    cors_origins: Sequence[str] = (),
    cors_allow_headers: Sequence[str] = ("*",),
    cors_allow_credentials: bool = False,
    trusted_proxies: Sequence[Network] = (),
    root_path: str = "",
    lifespan: Lifespan[FastAPI] | None = None,
) -> FastAPI:
    """The REST API over these use cases, as an application to serve or to mount in another application.

    The OpenAPI document has this `title`, `version` and `description` (by default an introduction to the API). The
    document is at `openapi_url`, and the pages that show it at `docs_url` and `redoc_url`; None leaves a page out.
    Without `openapi_url` there are no pages.

    Pages of `cors_origins` may read responses and send the headers `cors_allow_headers`. They may use the browser's
    credentials only with `cors_allow_credentials`. By default pages of no other origin may read responses.
    `X-Forwarded-For` is trusted only from `trusted_proxies`. `root_path` is the prefix that a proxy strips from paths:
    paths in the documentation and in `Location` begin with this prefix.

    An application that mounts this one does not pass on lifespan events: what `lifespan` starts, the application has to
    start in its own lifespan.
    """
    pages = Pages(openapi=openapi_url, docs=docs_url, redoc=redoc_url)
    describe = Introduction(pages) if description is None else lambda _prefix: description
    document = PublishedDocument(describe)
    new_app = FastAPIOffline if pages.has_html else FastAPI
    app = new_app(
        title=title,
        version=version,
        description=describe(""),
        contact=CONTACT,
        openapi_tags=TAGS,
        openapi_url=openapi_url,
        docs_url=docs_url if pages.has_html else None,
        redoc_url=redoc_url if pages.has_html else None,
        redirect_slashes=False,
        # With `include_router`, FastAPI would search for the route of each request in several steps.
        routes=[
            *build_router(core, trusted_proxies=trusted_proxies).routes,
            *jwks.routes(core).routes,
            *health.routes().routes,
            # These two routes replace FastAPI's.
            *([Route(openapi_url, document.publish)] if openapi_url is not None else []),
            *([Route(REDOC, redoc_script)] if pages.has_html else []),
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
            *_cors(cors_origins, cors_allow_headers, allow_credentials=cors_allow_credentials),
            Middleware(LastResort),
        ],
    )
    answer_errors(app)
    document.complete(app)
    return app


def _cors(origins: Sequence[str], allow_headers: Sequence[str], *, allow_credentials: bool) -> Iterator[Middleware]:
    if origins:
        yield Middleware(JsonCors, origins=origins, allow_headers=allow_headers, allow_credentials=allow_credentials)
