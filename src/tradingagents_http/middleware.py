"""What happens to every request around its route, as plain ASGI."""

import asyncio
import logging
import re
import secrets
import sys
from collections.abc import Mapping
from typing import Final, TypeAlias

from fastapi import HTTPException
from fastapi.middleware.cors import CORSMiddleware
from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradingagents_core.errors import explained
from tradingagents_http.errors import error_response

_RawHeaders: TypeAlias = tuple[tuple[bytes, bytes], ...]

HEAD_MAX_BYTES: Final = 64 * 1024
"""Bytes that the headers of a request have at most."""

HEAD_TOO_LONG: Final = f"The headers should have at most {HEAD_MAX_BYTES} bytes"

TARGET_MAX_LENGTH: Final = 8 * 1024
"""Characters that path and query of a request have at most: more than all parameters together can say."""

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_NO_GZIP: Final = re.compile(rb"gzip\s*;\s*q=0(\.0*)?\s*(,|$)")

_log: Final = logging.getLogger(__name__)


class BriefStartFailure:
    """Lets the server say in one line why the application does not start, where the reason is one of `expected`."""

    def __init__(self, app: ASGIApp, *, expected: tuple[type[Exception], ...]) -> None:
        self._app = app
        self._expected = expected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_briefly(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed" and isinstance(error := sys.exc_info()[1], self._expected):
                message = {**message, "message": explained(error)}
            await send(message)

        await self._app(scope, receive, send_briefly if scope["type"] == "lifespan" else send)


class StrippedPrefix:
    """Puts back the prefix that a proxy has stripped from the path, where the server has not done so itself.

    Links that begin with the path of a request, or with the `root_path` of ASGI, lead back through the proxy then.
    """

    def __init__(self, app: ASGIApp, *, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._prefix and scope["type"] != "lifespan" and not scope.get("root_path"):
            path = scope["path"]
            is_there = path.startswith(f"{self._prefix}/")
            scope = {**scope, "root_path": self._prefix, "path": path if is_there else self._prefix + path}
        await self._app(scope, receive, send)


class CloseAfterUpgrade:
    """Lets no other request follow on a connection on which an upgrade to another protocol was offered.

    No upgrade is taken (RFC 9110, 7.8). But uvicorn on httptools stops to parse where one is offered: the body is lost,
    and what arrives of it later is taken for the next request. So the answer closes the connection, and where a body
    was announced and none has come, it is 400 and says why. `tradingagents serve` reads such requests as they are, and
    offers of upgrades do not reach the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _offers_upgrade(scope):
            await self._app(scope, receive, send)
            return
        waits_for_body = _announces_body(scope)

        async def receive_unless_lost() -> Message:
            nonlocal waits_for_body
            message = await receive()
            if waits_for_body and not message.get("body"):
                if not message.get("more_body", False):
                    raise HTTPException(
                        400, "The body was lost, since the request offers an upgrade: leave Upgrade out"
                    )
            else:
                waits_for_body = False
            return message

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive_unless_lost, send_and_close)


def _offers_upgrade(scope: Scope) -> bool:
    return any(name == b"upgrade" for name, _ in scope["headers"])


def _announces_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0").lstrip("0") != ""


class RequestIds:
    """Gives every request an id, and every answer the id of its request, as `X-Request-ID`.

    An id that the client or a proxy has sent is kept, where it is 1 to 128 letters, digits, dots, hyphens and
    underscores.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = sent if _REQUEST_ID.fullmatch(sent) else secrets.token_hex(8).encode()
        scope.setdefault("state", {})["request_id"] = request_id.decode()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", request_id)]}
            await send(message)

        await self._app(scope, receive, send_with_id)


class Gzip(GZipMiddleware):
    """Compresses answers of more than `minimum_size` bytes for clients that ask for it (RFC 9110, 12.5.3)."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http" and _accepts_gzip(scope):
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _accepts_gzip(scope: Scope) -> bool:
    said = b",".join(value for name, value in scope["headers"] if name == b"accept-encoding")
    return b"gzip" in said and _NO_GZIP.search(said) is None


class SafeHeaders:
    """Tells browsers and caches to do nothing with an answer but show it to whom it was sent.

    Answers of the API are not stored (RFC 9111, 5.2.2.5). The pages of the documentation may run the scripts that come
    from here (Content Security Policy Level 3).
    """

    _EVERYWHERE: Final[_RawHeaders] = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
    _DATA: Final[_RawHeaders] = (
        (b"cache-control", b"no-store"),
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    )
    _PAGES: Final[_RawHeaders] = (
        (
            b"content-security-policy",
            b"default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
            b"img-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; "
            b"frame-ancestors 'none'",
        ),
    )

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"] = [*message.get("headers", ()), *self._EVERYWHERE]
                media_type = next((value for name, value in headers if name == b"content-type"), b"")
                if media_type.startswith(b"text/html"):
                    headers += self._PAGES
                elif not media_type.startswith((b"text/", b"image/")):
                    headers += self._DATA
            await send(message)

        await self._app(scope, receive, send_safely if scope["type"] == "http" else send)


class LastResort:
    """Answers 500 for an exception that nothing else answered, and logs it once with its trace.

    The log line has the id that goes out as `X-Request-ID`, for whoever reports the failure. A request that the server
    cancels when it ends is answered with 503.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except asyncio.CancelledError:
            if started:
                raise
            response = error_response(503, "The server is stopping; try again shortly", {"Retry-After": "1"})
            await response(scope, receive, send)
        except Exception:
            if started:
                raise
            request_id = scope["state"]["request_id"]
            _log.exception("Unexpected error in request %s: %s %r", request_id, scope["method"], scope["path"])
            await error_response(500, "Internal Server Error")(scope, receive, send)


class JsonCors(CORSMiddleware):
    """Cross-origin requests (Fetch Standard, 3.2); a refused preflight is answered in JSON like every other error."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a preflight: 200 with what is allowed, or 400."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        return error_response(response.status_code, bytes(response.body).decode(), headers)


class HeadAsGet:
    """Answers HEAD wherever GET is answered: the same head without the body (RFC 9110, 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, send_head)


class HeadLimit:
    """Refuses headers of more than `HEAD_MAX_BYTES` with 431, and path and query of more than
    `TARGET_MAX_LENGTH` with 414.

    Plain uvicorn on httptools reads heads of any length, and the time that the application needs for some headers grows
    with them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http":
            if len(scope["path"]) + len(scope["query_string"]) > TARGET_MAX_LENGTH:
                app = error_response(414, f"Path and query should have at most {TARGET_MAX_LENGTH} characters")
            elif sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD_MAX_BYTES:
                app = error_response(431, HEAD_TOO_LONG)
        await app(scope, receive, send)


class BodyLimit:
    """Refuses bodies of more than `limit` bytes with 413: before anything is read where the length is announced, and
    while it is read where not. `limits` sets other limits for single paths."""

    def __init__(self, app: ASGIApp, *, limit: int, limits: Mapping[str, int]) -> None:
        self._app = app
        self._limit = limit
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limits.get(scope["path"].removeprefix(scope.get("root_path", "")), self._limit)
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > limit:
            await error_response(413, _too_large(limit))(scope, receive, send)
            return
        read = 0

        async def receive_up_to_limit() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise HTTPException(413, _too_large(limit))
            return message

        await self._app(scope, receive_up_to_limit, send)


def _too_large(limit: int) -> str:
    return f"The body should have at most {limit} bytes"
