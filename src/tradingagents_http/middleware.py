"""What happens to every request around its route, as plain ASGI."""

import logging
import secrets
import sys
from collections.abc import Mapping
from typing import Final, TypeAlias

from fastapi import HTTPException
from fastapi.middleware.cors import CORSMiddleware
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradingagents_core.errors import explained
from tradingagents_http.errors import error_response

_RawHeaders: TypeAlias = tuple[tuple[bytes, bytes], ...]

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

    The id in the log line goes out as `X-Request-ID`, for whoever reports the failure.
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
        except Exception:
            if started:
                raise
            request_id = secrets.token_hex(8)
            _log.exception("Unexpected error in request %s: %s %r", request_id, scope["method"], scope["path"])
            response = error_response(500, "Internal Server Error", {"X-Request-ID": request_id})
            await response(scope, receive, send)


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
