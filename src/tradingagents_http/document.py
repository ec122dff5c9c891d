"""The OpenAPI document: the texts that do not belong to a route, and the routes that publish the document."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from posixpath import dirname, relpath
from typing import Any, Final

import fastapi_offline
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from tradingagents_core.domain.page import PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX
from tradingagents_http.paths import API_KEYS, LOGIN, LOGOUT, REFRESH, STRATEGIES
from tradingagents_http.responses import unexpected_error

_PREFIX: Final = "{prefix}"

_INTRODUCTION: Final = f"""\
Log in and keep your strategies, named sets of parameters.

## Log in

Send your e-mail address and your password as a form to `POST {_PREFIX}{LOGIN}`. Send the `access_token` of the answer \
with every
other request, in the header `Authorization: Bearer <access_token>`. A token is valid for 30 minutes, where the operator
has not set another time; then the answer is 401, and you log in again. `POST {_PREFIX}{LOGOUT}` ends your session.

## Stay logged in

Add `scope=offline_access` to the form of the login: the answer then has a `refresh_token`, too. Send it to
`POST {_PREFIX}{REFRESH}` for a new token and the next refresh token. Keep only the newest one.

## Give a bot a key

`POST {_PREFIX}{API_KEYS}` makes a key that allows only what you say. A bot sends the key in the place of a token, needs
no password, and cannot change your account.

## Read page by page

`GET {_PREFIX}{STRATEGIES}` lists your strategies, oldest first: `limit` of them ({PAGE_LIMIT_DEFAULT}, at most \
{PAGE_LIMIT_MAX})
after the first `skip` (0). `total` in the answer counts all that match. Add `limit` to `skip` until `skip` has reached
`total`.

## Try again

Where the answer is 429 or 503, wait as many seconds as its header `Retry-After` says, then send the request again. A
change that was answered with 503 may have been stored or not: read before you repeat it. 500 is a fault of the service:
report the `X-Request-ID` of the answer. The other errors stay the same until the request is changed.

Every error is JSON with `detail`: a text, or, with 422, a list of what is wrong and where.
"""

REDOC: Final = "/static-offline-docs/redoc.standalone.js"

_LOGO: Final = "https://cdn.redoc.ly/redoc/logo-mini.svg"
_NO_IMAGE: Final = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E"

CONTACT: Final = {"name": "TradingAgents"}

TAGS: Final[list[dict[str, Any]]] = [
    {"name": "Authentication", "description": "From e-mail address and password to a token, and to the next one."},
    {"name": "Sessions", "description": "Your logins: see them, and end them."},
    {"name": "API keys", "description": "Keys for your bots, which then need no password."},
    {"name": "Account", "description": "Your account and its password."},
    {"name": "Strategies", "description": "Your strategies. Those of other users are to you as if they did not exist."},
    {"name": "Health", "description": "Whether the service runs. No token is needed."},
]

_LOGIN_SCHEME: Final = "OAuth2Password"
_BEARER: Final = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A token from the login."}


@dataclass(frozen=True, kw_only=True)
class Pages:
    """The paths of the OpenAPI document and of the pages that show it; None for a page that is left out."""

    openapi: str | None
    docs: str | None
    redoc: str | None

    @property
    def has_html(self) -> bool:
        """Whether any page shows the document."""
        return self.openapi is not None and (self.docs is not None or self.redoc is not None)


@dataclass(frozen=True)
class Introduction:
    """The text at the beginning of the document, with links to the pages of the application."""

    pages: Pages

    def __call__(self, prefix: str) -> str:
        """The text for clients that reach the application at this path prefix."""
        return _INTRODUCTION.replace(_PREFIX, prefix) + self._more(prefix)

    def _more(self, prefix: str) -> str:
        if self.pages.openapi is None:
            return ""
        named = {
            "requests to try": self.pages.docs,
            "a page to read": self.pages.redoc,
            "this document": self.pages.openapi,
        }
        links = ", ".join(f"[{name}]({self._link(prefix, path)})" for name, path in named.items() if path is not None)
        return f"\n## More\n\nPages of this server: {links}.\n"

    def _link(self, prefix: str, path: str) -> str:
        """A relative link, if the pages with this text are in one folder; otherwise a full path."""
        folders = {dirname(page) for page in (self.pages.docs, self.pages.redoc) if page is not None}
        if len(folders) > 1:
            return prefix + path
        return relpath(path, folders.pop() if folders else dirname(self.pages.openapi or "/"))


class PublishedDocument:
    """The OpenAPI document of an application, completed, and with the path prefix under which clients reach it.

    `describe` returns the text at the beginning of the document for a prefix.
    """

    def __init__(self, describe: Callable[[str], str]) -> None:
        self._describe = describe

    def complete(self, app: FastAPI) -> None:
        """Add to the application's document what FastAPI has no parameter for."""
        generate = app.openapi

        def openapi() -> dict[str, Any]:
            return _completed(self._reached_at("", generate()))

        # FastAPI documents this assignment as the way to change the document.
        app.openapi = openapi  # type: ignore[method-assign]

    async def publish(self, request: Request) -> JSONResponse:
        """The document of the application, with the path prefix under which the client reaches the application."""
        prefix = request.scope.get("root_path", "").rstrip("/")
        return JSONResponse(self._reached_at(prefix, request.app.openapi()))

    def _reached_at(self, prefix: str, document: dict[str, Any]) -> dict[str, Any]:
        document = deepcopy(document)
        document["info"]["description"] = self._describe(prefix)
        document["servers"] = [{"url": prefix or "/", "description": "The server that this document comes from."}]
        # A full path: a relative path would replace the last part of the prefix (RFC 3986, 5.2).
        flow = document["components"]["securitySchemes"][_LOGIN_SCHEME]["flows"]["password"]
        flow |= {"tokenUrl": prefix + LOGIN, "refreshUrl": prefix + REFRESH}
        return document


def redoc_script(_: Request) -> Response:
    """ReDoc without its logo: the logo comes from another host, which would see who reads the page."""
    return Response(_redoc_without_logo(), media_type="text/javascript")


@cache
def _redoc_without_logo() -> bytes:
    script = Path(fastapi_offline.__file__).with_name("static") / "redoc.standalone.js"
    return script.read_text().replace(_LOGO, _NO_IMAGE).encode()


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    components = document["components"]
    # FastAPI omits defaults that are null.
    for schema, field in (("StrategyCreate", "description"), ("ApiKeyCreate", "expires_at")):
        components["schemas"][schema]["properties"][field]["default"] = None
    # Many tools support bearer tokens but not OAuth 2.0. To the service both schemes are the same.
    components["securitySchemes"]["Bearer"] = _BEARER
    for path in document["paths"].values():
        for operation in path.values():
            if {_LOGIN_SCHEME: []} in operation.get("security", ()):
                operation["security"].insert(0, {"Bearer": []})
            responses = {"500": unexpected_error(), **operation["responses"]}
            operation["responses"] = dict(sorted(responses.items()))
    return document
