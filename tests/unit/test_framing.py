"""Which requests the application sees of what comes over a connection."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import pytest
from connections import Connection, Recorder, Seen
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tradingagents_http.errors import error_response
from tradingagents_http.middleware import CloseAfterUpgrade
from tradingagents_http.middleware.head_limit import HEAD_MAX_BYTES
from tradingagents_http.server.framing import FramedRequests
from tradingagents_http.server.limits import LimitedRequests
from tradingagents_http.server.trailers import ignored_trailers

Limited: Final = partial(LimitedRequests, request_timeout=60)

NEXT: Final = b"GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n"
STOLEN: Final = b"GET /stolen HTTP/1.1\r\nHost: localhost\r\n\r\n"

OFFERS: Final = (
    b"Connection: Upgrade\r\nUpgrade: x\r\n",
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQ\r\n",
    b"connection: keep-alive, upgrade\r\nupgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    b"CONNECTION: UPGRADE\r\nUPGRADE: TLS/1.0, HTTP/2.0\r\n",
    b"Connection: Upgrade\r\nConnection: keep-alive\r\nUpgrade: h2c\r\nUpgrade: x\r\n",
)


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it goes over the wire."""

    head: bytes
    offer: bytes
    rest: bytes

    @property
    def offering(self) -> bytes:
        """The request with the offer of an upgrade."""
        return self.head + self.offer + self.rest

    @property
    def plain(self) -> bytes:
        """The request without."""
        return self.head + self.rest


bodies = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([STOLEN, NEXT * 3, b"0\r\n\r\n", b"\r\n" * 20, b"username=a&password=b", b"x" * 70_000]),
)


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    wire = b""
    while body:
        size = draw(st.integers(1, len(body)))
        extension = draw(st.sampled_from([b"", b";a=b", b";name", b';q="x;y"']))
        wire += b"%x%s\r\n%s\r\n" % (size, extension, body[:size])
        body = body[size:]
    trailers = draw(
        st.lists(st.sampled_from([b"X-Forwarded-For: 1.2.3.4\r\n", b"Authorization: Bearer a\r\n", b"Upgrade: x\r\n"]))
    )
    return wire + b"0\r\n" + b"".join(trailers) + b"\r\n"


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    method = draw(st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE"]))
    path = draw(st.sampled_from([b"/a", b"/b?c=d", b"/api/v1/auth/login", b"/%20"]))
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0"]))
    headers = draw(
        st.lists(st.sampled_from([b"X-One: 1\r\n", b"Expect: 100-continue\r\n", b"Accept:\r\n"]), max_size=2)
    )
    body = draw(bodies)
    match draw(st.sampled_from(["nothing", "length", "chunks"])):
        case "length":
            framing, wire = b"Content-Length: %d\r\n" % len(body), body
        case "chunks" if version == b"1.1":
            framing, wire = b"Transfer-Encoding: chunked\r\n", draw(chunked(body))
        case _:
            framing, wire = b"", b""
    offer = draw(st.one_of(st.just(b""), st.sampled_from(OFFERS)))
    close = draw(st.sampled_from([b"", b"", b"", b"Connection: close\r\n"])) if not offer else b""
    head = b"%s %s HTTP/%s\r\nHost: localhost\r\n%s" % (method, path, version, b"".join(headers))
    return Sent(head, offer, close + framing + b"\r\n" + wire)


@st.composite
def pieces_of(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    match draw(st.sampled_from(["whole", "bytes", "some"])):
        case "whole":
            return [stream]
        case "bytes" if len(stream) < 3000:
            return [stream[at : at + 1] for at in range(len(stream))]
        case _:
            cuts = sorted(draw(st.sets(st.integers(1, max(1, len(stream) - 1)), max_size=6)))
            return [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


async def seen_by(protocol: Callable[..., object], pieces: list[bytes], app: Recorder | None = None) -> list[Seen]:
    recorder = app or Recorder()
    connection = Connection(recorder, protocol)
    await connection.receive(pieces)
    connection.leave()
    await connection.settle()
    return recorder.seen


def without(names: tuple[bytes, ...], seen: list[Seen]) -> list[Seen]:
    return [
        Seen(each.method, each.path, tuple(header for header in each.headers if header[0] not in names), each.body)
        for each in seen
    ]


@pytest.mark.parametrize("protocol", [FramedRequests, Limited], ids=["framed", "limited"])
@given(data=st.data())
@settings(max_examples=150)
def test_the_requests_on_a_connection_are_those_that_h11_sees_without_the_offers(
    protocol: Callable[..., object], data: st.DataObject
) -> None:
    sent = data.draw(st.lists(requests(), min_size=1, max_size=4))
    pieces = data.draw(pieces_of(b"".join(each.offering for each in sent)))

    async def both() -> tuple[list[Seen], list[Seen]]:
        expected = await seen_by(H11Protocol, [b"".join(each.plain for each in sent)])
        return await seen_by(protocol, pieces), expected

    seen, expected = asyncio.run(both())
    # What an offer brings along is an ordinary header.
    assert without((b"http2-settings", b"sec-websocket-version"), seen) == expected


@pytest.fixture
def plain_uvicorn() -> Iterator[type[HttpToolsProtocol]]:
    """uvicorn's protocol, in a process that serves the documented application."""
    with ignored_trailers():
        yield HttpToolsProtocol


def test_on_plain_uvicorn_nothing_is_executed_after_an_offer_and_no_lost_body_is_taken_for_an_empty_one(
    plain_uvicorn: type[HttpToolsProtocol],
) -> None:
    @given(data=st.data())
    @settings(max_examples=150)
    def check(data: st.DataObject) -> None:
        sent = data.draw(st.lists(requests(), min_size=1, max_size=4))
        pieces = data.draw(pieces_of(b"".join(each.offering for each in sent)))

        async def both() -> tuple[list[Seen], list[Seen]]:
            expected = await seen_by(H11Protocol, [b"".join(each.plain for each in sent)])
            recorder = Recorder()
            connection = Connection(CloseAfterUpgrade(recorder), plain_uvicorn)
            await connection.receive(pieces)
            connection.leave()
            await connection.settle()
            return recorder.seen, expected

        seen, expected = asyncio.run(both())
        seen = without((b"http2-settings", b"sec-websocket-version"), seen)
        offered = next((number for number, each in enumerate(sent) if each.offer), len(sent))
        # The offering request itself may be refused, and is where its body was lost.
        assert seen in (expected[:offered], expected[: offered + 1])

    check()


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize(
    "body", [b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
)
@pytest.mark.anyio
async def test_a_body_that_plain_uvicorn_loses_is_refused_with_a_reason(
    plain_uvicorn: type[HttpToolsProtocol], offer: bytes, body: bytes
) -> None:
    recorder = Recorder()
    connection = Connection(CloseAfterUpgrade(recorder), plain_uvicorn)
    await connection.receive([b"POST /a HTTP/1.1\r\nHost: localhost\r\n" + offer + body + NEXT])

    assert connection.written.startswith(b"HTTP/1.1 400 ")
    assert b"upgrade" in connection.written
    assert connection.written.count(b"connection: close\r\n") == 1
    assert connection.is_closing()
    assert recorder.seen == []


@pytest.mark.anyio
async def test_an_offer_without_a_body_is_answered_and_the_connection_closed(
    plain_uvicorn: type[HttpToolsProtocol],
) -> None:
    recorder = Recorder()
    connection = Connection(CloseAfterUpgrade(recorder), plain_uvicorn)
    await connection.receive([b"POST /a HTTP/1.1\r\n" + OFFERS[0] + b"Content-Length: 0\r\n\r\n", STOLEN])

    assert [each.path for each in recorder.seen] == ["/a"]
    assert connection.written.startswith(b"HTTP/1.1 200 ")
    assert connection.is_closing()


@pytest.mark.parametrize("protocol", ["served", "plain"])
@pytest.mark.anyio
async def test_trailers_are_no_headers(plain_uvicorn: type[HttpToolsProtocol], protocol: str) -> None:
    trailers = b"X-Forwarded-For: 203.0.113.7\r\nAuthorization: Bearer a\r\nX-Other: b\r\n"
    sent = (
        b"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n%s\r\n" % trailers
    )
    seen = await seen_by(plain_uvicorn if protocol == "plain" else FramedRequests, [sent + NEXT])

    host = ((b"host", b"localhost"),)
    assert seen == [Seen("POST", "/a", host, b"hello"), Seen("GET", "/next", host, b"")]


@pytest.mark.parametrize(
    "before",
    [b"GET /a HTTP/1.1\r\nX: ", b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: ", b""],
    ids=["a header", "a trailer", "a request line"],
)
@pytest.mark.anyio
async def test_a_head_or_trailers_without_end_are_refused(before: bytes) -> None:
    recorder = Recorder()
    connection = Connection(recorder, FramedRequests)
    await connection.receive([before or b"GET /", *[b"x" * 1024] * 200])

    assert connection.written.startswith(b"HTTP/1.1 431 ")
    assert b"\r\nx-request-id: " in connection.written
    assert connection.written.endswith(b'{"detail":"The headers should have at most %d bytes"}' % HEAD_MAX_BYTES)
    assert connection.is_closing()
    assert recorder.seen == []


@pytest.mark.anyio
async def test_trailers_that_go_on_and_on_are_refused_though_each_is_short() -> None:
    connection = Connection(Recorder(), FramedRequests)
    begin = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
    await connection.receive([begin, *[b"X: y\r\n" * 100] * 200])

    assert connection.written.startswith(b"HTTP/1.1 431 ")
    assert connection.is_closing()


@pytest.mark.anyio
async def test_each_head_on_a_connection_may_be_as_long_as_the_first() -> None:
    head = b"GET /a HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40_000
    seen = await seen_by(FramedRequests, [head, b"\r\n\r\n", head, b"\r\n\r\n"])
    assert len(seen) == 2


@pytest.mark.anyio
async def test_an_offer_does_not_reach_the_application() -> None:
    names: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        names.extend(name for name, _ in scope["headers"])
        await error_response(200, "")(scope, receive, send)

    connection = Connection(app, FramedRequests)
    await connection.receive([b"GET /a HTTP/1.1\r\nHost: localhost\r\n" + OFFERS[3] + b"\r\n"])
    assert names == [b"host", b"connection"]


@pytest.mark.anyio
async def test_an_offer_of_a_websocket_is_ignored_also_where_uvicorn_could_take_it() -> None:
    recorder = Recorder()
    connection = Connection(recorder, FramedRequests, ws=asyncio.Protocol)
    await connection.receive([b"GET /a HTTP/1.1\r\nHost: localhost\r\n" + OFFERS[2] + b"\r\n" + NEXT])
    assert [each.path for each in recorder.seen] == ["/a", "/next"]


@pytest.mark.anyio
async def test_a_long_body_in_small_pieces_is_no_head() -> None:
    begin = b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 204800\r\n\r\n"
    (seen,) = await seen_by(FramedRequests, [begin, *[b"x" * 1024] * 200])
    assert seen.body == b"x" * 204_800


@pytest.mark.anyio
async def test_what_is_no_http_is_refused_in_json() -> None:
    connection = Connection(Recorder(), FramedRequests)
    await connection.receive([b"NONSENSE\r\n\r\n"])

    head, _, body = connection.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/json" in head
    assert b"cache-control: no-store" in head
    assert body.startswith(b'{"detail":"')
    assert connection.is_closing()


@pytest.mark.anyio
async def test_a_malformed_request_does_not_take_the_answer_of_the_one_before() -> None:
    working = asyncio.Event()
    recorder = Recorder(before_answering=lambda _: working.wait())
    connection = Connection(recorder, FramedRequests, timeout_keep_alive=1000)
    await connection.receive([NEXT + b"NONSENSE\r\n\r\n" + STOLEN])
    assert not connection.is_closing()
    working.set()
    await connection.wait_closed()

    assert connection.written.count(b"HTTP/1.1 ") == 1
    assert connection.written.startswith(b"HTTP/1.1 200 ")
    assert [each.path for each in recorder.seen] == ["/next"]


@pytest.mark.anyio
async def test_a_body_that_is_malformed_behind_others_leaves_them_their_answers() -> None:
    working = asyncio.Event()
    recorder = Recorder(before_answering=lambda _: working.wait())
    connection = Connection(recorder, FramedRequests, timeout_keep_alive=1000)
    malformed = b"POST /bad HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n"
    await connection.receive([NEXT + NEXT.replace(b"next", b"second") + malformed])
    working.set()
    await connection.wait_closed()

    assert connection.written.count(b"HTTP/1.1 200 ") == connection.written.count(b"HTTP/1.1 ") == 2
    assert [each.path for each in recorder.seen] == ["/next", "/second"]


@pytest.mark.anyio
async def test_a_body_that_turns_out_malformed_is_answered_with_400_and_never_seen_as_complete() -> None:
    recorder = Recorder()
    connection = Connection(recorder, FramedRequests)
    await connection.receive([b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"no size\r\n"])

    assert connection.written.startswith(b"HTTP/1.1 400 ")
    assert connection.written.count(b"HTTP/1.1 ") == 1
    assert connection.is_closing()
    assert recorder.seen == []
