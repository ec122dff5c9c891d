"""Compression of responses."""

import re
from typing import Final

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

GZIP_FROM_BYTES: Final = 1024

GZIP_LEVEL: Final = 1
"""The fastest level. Higher levels take several times as long and save few bytes."""

_NO_GZIP: Final = re.compile(rb"gzip\s*;\s*q=0(\.0*)?\s*(,|$)")


class Gzip(GZipMiddleware):
    """Compresses responses of `GZIP_FROM_BYTES` or more for clients that accept gzip (RFC 9110, 12.5.3)."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app, minimum_size=GZIP_FROM_BYTES, compresslevel=GZIP_LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http" and _accepts_gzip(scope):
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _accepts_gzip(scope: Scope) -> bool:
    accepted = b",".join(value for name, value in scope["headers"] if name == b"accept-encoding")
    return b"gzip" in accepted and _NO_GZIP.search(accepted) is None
