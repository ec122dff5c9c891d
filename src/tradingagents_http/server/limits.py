"""How long a request may take to arrive, and how many are answered at once."""

import asyncio
from typing import Any, Final

from tradingagents_http.errors import error_response
from tradingagents_http.middleware import RequestIds, SafeHeaders
from tradingagents_http.server.framing import FramedRequests

_BUSY: Final = RequestIds(
    SafeHeaders(error_response(503, "Too many requests at once; try again shortly", {"Retry-After": "1"}))
)


class LimitedRequests(FramedRequests):
    """A connection whose requests have to arrive whole within `request_timeout` seconds.

    A request that does not is answered with 408; a new connection on which nothing arrives for as long is closed. While
    the process answers as many requests as uvicorn's `limit_concurrency` says, others are answered with 503; waiting
    connections do not count.
    """

    def __init__(self, *args: Any, request_timeout: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._request_timeout = request_timeout
        self._deadline: asyncio.TimerHandle | None = None
        self._application = self.app
        self._requests_max = self.limit_concurrency
        # uvicorn's own limit would count connections on which nothing happens, and answer in plain text.
        self.limit_concurrency = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._cancel_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come from the client."""
        super().data_received(data)
        if not self._receiving:
            self._cancel_deadline()
        elif self._deadline is None:
            self._set_deadline()

    def on_message_begin(self) -> None:
        """Begin a request, which has its own time."""
        self._cancel_deadline()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Have the application begin its work, or refuse to."""
        busy = self._requests_max is not None and len(self.tasks) >= self._requests_max
        self.app = _BUSY if busy else self._application
        super().on_headers_complete()

    def _set_deadline(self) -> None:
        self._deadline = self.loop.call_later(self._request_timeout, self._end_waiting)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end_waiting(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if not self._receiving:
            self.transport.close()
        elif self.flow.read_paused:
            # The client waits for the application, not the other way round.
            self._set_deadline()
        else:
            self.refuse(408, f"The request should arrive within {self._request_timeout:g} seconds")
