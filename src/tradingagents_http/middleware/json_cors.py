"""Pages of other origins."""

from collections.abc import Sequence
from typing import Final

from fastapi.middleware.cors import CORSMiddleware
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp

from tradingagents_http.errors import error_response

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE")
"""Methods that pages of other origins may use."""

EXPOSED_HEADERS: Final = ("Location", "Retry-After", "WWW-Authenticate", "X-Request-ID")
"""Headers of an answer that pages of other origins may read."""


class JsonCors(CORSMiddleware):
    """Cross-origin requests (Fetch Standard, 3.2); a refused preflight is answered in JSON like every other error.

    Pages of `origins` may read the answers and send the headers `allow_headers`, with the browser's credentials only
    where that is allowed.
    """

    def __init__(
        self, app: ASGIApp, *, origins: Sequence[str], allow_headers: Sequence[str], allow_credentials: bool
    ) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=allow_headers,
            allow_credentials=allow_credentials,
            expose_headers=EXPOSED_HEADERS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a preflight: 200 with what is allowed, or 400."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        return error_response(response.status_code, bytes(response.body).decode(), headers)
