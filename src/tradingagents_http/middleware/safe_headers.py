"""Security headers for browsers and caches."""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from tradingagents_http.middleware.headers import RawHeaders, add_headers

_EVERYWHERE: Final[RawHeaders] = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
_FOR_DATA: Final[RawHeaders] = (
    *_EVERYWHERE,
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_FOR_DATA_WITH_CACHE_CONTROL: Final[RawHeaders] = tuple(
    (name, value) for name, value in _FOR_DATA if name != b"cache-control"
)
_FOR_PAGES: Final[RawHeaders] = (
    *_EVERYWHERE,
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        b"img-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; "
        b"frame-ancestors 'none'",
    ),
)


class SafeHeaders:
    """Adds headers that forbid browsers and caches unwanted uses of a response.

    Responses of the API are not stored (RFC 9111, 5.2.2.5). The pages of the documentation may run scripts only from
    this server or in the page itself (Content Security Policy Level 3).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, add_headers(send, _safe_headers) if scope["type"] == "http" else send)


def _safe_headers(headers: RawHeaders) -> RawHeaders:
    sent = dict(headers)
    media_type = sent.get(b"content-type", b"")
    if media_type.startswith(b"text/html"):
        return _FOR_PAGES
    if media_type.startswith((b"text/", b"image/")):
        return _EVERYWHERE
    return _FOR_DATA_WITH_CACHE_CONTROL if b"cache-control" in sent else _FOR_DATA
