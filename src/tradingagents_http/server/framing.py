"""Framing: which bytes of a connection belong to which request."""

import json
from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from tradingagents_http.middleware.head_limit import HEAD_MAX_BYTES, HEAD_TOO_LONG
from tradingagents_http.middleware.request_ids import new_request_id
from tradingagents_http.server.trailers import is_in_body

_FRAMING: Final = (b"content-length", b"transfer-encoding")


class FramedRequests(HttpToolsProtocol):
    """uvicorn's connection on httptools, with the end of each request as RFC 9112 defines it.

    * An offered upgrade is ignored (RFC 9110, 7.8): the body is read, and the next request follows. httptools alone
      would stop at the body as another protocol, and uvicorn would parse the rest of the body as the next request.
    * Trailer fields are ignored (RFC 9110, 6.5.1). They have the same size limit as headers.
    * Invalid HTTP is answered with 400 and too long headers with 431, both in JSON, and the connection is closed. If an
      earlier request is still being answered, that response is the last one instead. No later request is executed.
    """

    _receiving = False
    _resuming = False
    _bytes_without_progress = 0
    _running: RequestResponseCycle | None = None

    def data_received(self, data: bytes) -> None:
        """Parse bytes from the client."""
        self._unset_keepalive_if_required()
        self._bytes_without_progress += len(data)
        try:
            self._parse(memoryview(data))
        except httptools.HttpParserError:
            self.refuse(400, "The request is not valid HTTP (RFC 9112)")
            return
        if self._bytes_without_progress > HEAD_MAX_BYTES:
            self.refuse(431, HEAD_TOO_LONG)

    def refuse(self, status: int, detail: str) -> None:
        """Answer the request that is being read with an error, and close the connection.

        If an earlier request is still being answered, close the connection after that response instead.
        """
        own = self.cycle if self._receiving and is_in_body(self) else None
        if own is not None and self.pipeline and self.pipeline[0][0] is own:
            self.pipeline.popleft()
        earlier = self.pipeline[0][0] if self.pipeline else self._running
        if earlier is not None and earlier is not own and not earlier.response_complete:
            earlier.keep_alive = False
            return
        if own is None or not own.response_started:
            self.transport.write(_answer(self.server_state, status, detail))
        if own is not None:
            own.disconnected = True
            own.message_event.set()
        self.transport.close()

    def on_message_begin(self) -> None:
        """Start a request."""
        if not self._resuming:
            self._receiving = True
            self._bytes_without_progress = 0
            super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header to the request. Trailer fields and `Upgrade` are ignored."""
        if not is_in_body(self) and name.lower() != b"upgrade":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the application."""
        if not self._resuming:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body to the application."""
        self._bytes_without_progress = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request, unless httptools has stopped before its body because of an offered upgrade."""
        if not self.parser.should_upgrade():
            self._receiving = False
            super().on_message_complete()

    def _parse(self, data: memoryview) -> None:
        while True:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offered:
                data = data[offered.args[0] :]
                self._resume_after_offered_upgrade()

    def _resume_after_offered_upgrade(self) -> None:
        """Continue with a parser that has seen the same request without the offered upgrade."""
        self.parser = httptools.HttpRequestParser(self)
        framing = [b"%s: %s\r\n" % (name, value) for name, value in self.headers if name in _FRAMING]
        self._resuming = True
        try:
            self.parser.feed_data(b"POST / HTTP/1.1\r\n%s\r\n" % b"".join(framing))
        finally:
            self._resuming = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: object) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)  # type: ignore[arg-type]


def _answer(state: ServerState, status: int, detail: str) -> bytes:
    body = json.dumps({"detail": detail}, separators=(",", ":")).encode()
    headers = [
        *state.default_headers,
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-request-id", new_request_id()),
        (b"connection", b"close"),
    ]
    return b"".join([STATUS_LINE[status], *(b"%s: %s\r\n" % header for header in headers), b"\r\n", body])
