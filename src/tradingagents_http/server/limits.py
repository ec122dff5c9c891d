"""Limits of a request's arrival time and of concurrent requests."""

import asyncio
from typing import Any, Final

from tradingagents_http.errors import error_response
from tradingagents_http.middleware import RequestIds, SafeHeaders
from tradingagents_http.server.framing import FramedRequests

_BUSY: Final = RequestIds(
    SafeHeaders(error_response(503, "Too many requests at once; try again shortly", {"Retry-After": "1"}))
)


class LimitedRequests(FramedRequests):
    """A connection whose requests must arrive completely within `request_timeout` seconds.

    A slower request is answered with 408. A new connection on which no request arrives within the same time is closed.
    Requests beyond uvicorn's `limit_concurrency` are answered with 503; idle connections do not count.
    """

    def __init__(self, *args: Any, request_timeout: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._request_timeout = request_timeout
        self._deadline: asyncio.TimerHandle | None = None
        self._application = self.app
        self._requests_max = self.limit_concurrency
        # uvicorn's own limit would count idle connections, and answer in plain text.
        self.limit_concurrency = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Set the deadline of the first request."""
        super().connection_made(transport)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadline."""
        self._cancel_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes from the client, and adjust the deadline."""
        super().data_received(data)
        if not self._receiving:
            self._cancel_deadline()
        elif self._deadline is None:
            self._set_deadline()

    def on_message_begin(self) -> None:
        """Start a request, which has its own deadline."""
        self._cancel_deadline()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Start the application, or answer 503 if the process is at its limit."""
        busy = self._requests_max is not None and len(self.tasks) >= self._requests_max
        self.app = _BUSY if busy else self._application
        super().on_headers_complete()

    def _set_deadline(self) -> None:
        self._deadline = self.loop.call_later(self._request_timeout, self._time_out)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _time_out(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if not self._receiving:
            self.transport.close()
        elif self.flow.read_paused:
            # The client is not slow: it waits until the application reads the body.
            self._set_deadline()
        else:
            self.refuse(408, f"The request should arrive within {self._request_timeout:g} seconds")
