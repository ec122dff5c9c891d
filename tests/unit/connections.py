"""A connection to one of uvicorn's protocols without a network, and an application that notes what it sees."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from fastapi import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from tradingagents_http.errors import error_response

MakeProtocol: TypeAlias = Callable[..., Any]

_BOUND_SECONDS: Final = 20
_FRAMING: Final = (b"content-length", b"transfer-encoding", b"connection", b"upgrade")


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as an application sees it, without the headers that are about the connection."""

    method: str
    path: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass(slots=True)
class Recorder:
    """An application that reads each request to its end, notes it, and answers."""

    seen: list[Seen] = field(default_factory=list)
    before_answering: Callable[[Scope], Any] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body, more = b"", True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                body += message["body"]
                more = message["more_body"]
        except HTTPException as error:
            await error_response(error.status_code, error.detail)(scope, receive, send)
            return
        headers = tuple((name, value) for name, value in scope["headers"] if name not in _FRAMING)
        self.seen.append(Seen(scope["method"], scope["path"], headers, body))
        if self.before_answering is not None:
            await self.before_answering(scope)
        await error_response(200, scope["path"])(scope, receive, send)


class Connection(asyncio.Transport):
    """The server's end of a connection, to which a protocol writes.

    It is closed once the client has read what was written.
    """

    def __init__(self, app: ASGIApp, make_protocol: MakeProtocol, *, client_reads: bool = True, **options: Any) -> None:
        super().__init__()
        config = Config(app, http=make_protocol, lifespan="off", log_config=None, **({"ws": "none"} | options))
        config.load()
        self.state = ServerState()
        self.written = b""
        self.closed = asyncio.Event()
        self.protocol = make_protocol(config=config, server_state=self.state, app_state={})
        self.was_written_after_the_end = False
        self._client_reads = client_reads
        self._reading = asyncio.Event()
        self._reading.set()
        self.protocol.connection_made(self)

    async def receive(self, pieces: Iterable[bytes]) -> None:
        """Give the protocol what a client sends, piece by piece, as fast as it reads; after each piece everything that
        can go on does."""
        for piece in pieces:
            await self._until_reading()
            if self.is_closing():
                return
            self.protocol.data_received(piece)
            await self.settle()

    async def settle(self) -> None:
        """Let everything go on that waits for nothing else."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def wait_closed(self) -> None:
        """Wait until the protocol has closed the connection."""
        async with asyncio.timeout(_BOUND_SECONDS):
            await self.closed.wait()

    def leave(self) -> None:
        """Close the connection as a client does."""
        if not self.is_closing():
            self.close()

    async def _until_reading(self) -> None:
        async with asyncio.timeout(_BOUND_SECONDS):
            await self._reading.wait()

    # What a protocol asks of its transport.

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.was_written_after_the_end |= self.closed.is_set()
        self.written += data

    def close(self) -> None:
        if not self.closed.is_set():
            self.closed.set()
            self._reading.set()
            if self._client_reads:
                asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def is_closing(self) -> bool:
        return self.closed.is_set()

    def pause_reading(self) -> None:
        self._reading.clear()

    def resume_reading(self) -> None:
        self._reading.set()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        raise AssertionError("no other protocol is spoken")
