"""Cross-origin requests."""

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
"""Response headers that pages of other origins may read."""


class JsonCors(CORSMiddleware):
    """Answers cross-origin requests (Fetch Standard, 3.2). A refused preflight is answered in JSON like other errors.

    Pages of `origins` may read responses and send the headers `allow_headers`. They may use the browser's credentials
    only with `allow_credentials`.
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
        """The response to a preflight: 200 with the allowed methods and headers, or 400."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        return error_response(response.status_code, bytes(response.body).decode(), headers)
