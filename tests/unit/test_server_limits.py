"""How long a request may take to arrive, and how many are answered at once."""

import asyncio
import json
from functools import partial

import pytest
from connections import Connection, Recorder

from tradingagents_http.server.limits import LimitedRequests

SOON = partial(LimitedRequests, request_timeout=0.02)
NEVER = partial(LimitedRequests, request_timeout=1000)

REQUEST = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEAD = b"POST /b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"
UNFINISHED = {
    "a request line": b"GET /b",
    "a head": b"GET /b HTTP/1.1\r\nHost: loc",
    "a body": HEAD + b"hello",
    "a chunked body": b"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "trailers": b"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y",
    "a body whose request offers an upgrade": HEAD.replace(
        b"\r\n\r\n", b"\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
    ),
}


@pytest.mark.parametrize("unfinished", UNFINISHED.values(), ids=UNFINISHED.keys())
@pytest.mark.parametrize("before", [b"", REQUEST], ids=["first", "second"])
@pytest.mark.anyio
async def test_a_request_that_does_not_arrive_in_time_is_answered_with_408_and_the_connection_closed(
    before: bytes, unfinished: bytes
) -> None:
    recorder = Recorder()
    connection = Connection(recorder, SOON)
    await connection.receive([before, unfinished] if before else [unfinished])
    await connection.wait_closed()
    await connection.settle()

    answers = connection.written.split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == ([b"200", b"408"] if before else [b"408"])
    assert json.loads(answers[-1].partition(b"\r\n\r\n")[2]) == {
        "detail": "The request should arrive within 0.02 seconds"
    }
    assert [each.path for each in recorder.seen] == (["/a"] if before else [])


@pytest.mark.anyio
async def test_a_connection_on_which_nothing_arrives_is_closed_without_an_answer() -> None:
    connection = Connection(Recorder(), SOON)
    await connection.wait_closed()
    assert connection.written == b""


@pytest.mark.anyio
async def test_a_connection_between_requests_is_open_as_long_as_keep_alive_says() -> None:
    connection = Connection(Recorder(), SOON, timeout_keep_alive=1000)
    await connection.receive([REQUEST])
    await asyncio.sleep(0.1)
    assert not connection.is_closing()

    closing = Connection(Recorder(), NEVER, timeout_keep_alive=0.02)
    await closing.receive([REQUEST])
    await closing.wait_closed()


@pytest.mark.anyio
async def test_an_answer_may_take_longer_than_its_request() -> None:
    working = asyncio.Event()
    connection = Connection(Recorder(before_answering=lambda _: working.wait()), SOON)
    await connection.receive([REQUEST])
    await asyncio.sleep(0.1)
    working.set()
    await connection.settle()
    assert connection.written.startswith(b"HTTP/1.1 200 ")
    assert not connection.is_closing()


@pytest.mark.anyio
async def test_a_request_that_the_server_does_not_read_on_is_not_late() -> None:
    """Whoever sends fast waits for the application, which does not read a large body before it knows the caller."""
    reading = asyncio.Event()

    class Slow(Recorder):
        async def __call__(self, scope, receive, send) -> None:
            await reading.wait()
            await super().__call__(scope, receive, send)

    recorder = Slow()
    connection = Connection(recorder, SOON)
    await connection.receive([b"POST /b HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100_000])
    await asyncio.sleep(0.1)
    assert not connection.is_closing()
    reading.set()
    await connection.settle()
    await connection.receive([b"x" * 100_000])

    assert connection.written.startswith(b"HTTP/1.1 200 ")
    assert len(recorder.seen[0].body) == 200_000


@pytest.mark.anyio
async def test_a_late_body_of_a_request_that_was_answered_already_closes_the_connection_only() -> None:
    async def refuse(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    connection = Connection(refuse, SOON)
    await connection.receive([HEAD + b"hello"])
    await connection.wait_closed()
    assert connection.written.count(b"HTTP/1.1 ") == 1


@pytest.mark.anyio
async def test_more_requests_at_once_than_allowed_are_answered_with_503_and_waiting_connections_do_not_count() -> None:
    working = asyncio.Event()
    app = Recorder(before_answering=lambda _: working.wait())
    first = Connection(app, NEVER, limit_concurrency=1)
    await first.receive([REQUEST])
    others = [Connection(app, NEVER, limit_concurrency=1) for _ in range(2)]
    for other in others:
        other.protocol.tasks = first.protocol.tasks
    await others[0].receive([REQUEST])
    head, _, body = others[0].written.partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nx-request-id: " in head
    assert b"retry-after: 1" in head
    assert b"x-content-type-options: nosniff" in head
    assert list(json.loads(body)) == ["detail"]
    working.set()
    await first.settle()
    await others[1].receive([REQUEST])
    assert others[1].written.startswith(b"HTTP/1.1 200 ")
    assert not others[0].is_closing()


@pytest.mark.anyio
async def test_a_request_that_begins_where_another_ends_has_its_own_time() -> None:
    connection = Connection(Recorder(), NEVER)
    await connection.receive([HEAD])
    first = connection.protocol._deadline
    await connection.receive([b"0123456789" + HEAD])
    assert first is not None
    assert connection.protocol._deadline not in (None, first)
    assert first.cancelled()


@pytest.mark.anyio
async def test_a_request_that_arrives_slowly_is_not_cut_by_the_end_of_keep_alive() -> None:
    connection = Connection(Recorder(), NEVER, timeout_keep_alive=0.02)
    await connection.receive([REQUEST, HEAD])
    await asyncio.sleep(0.1)
    assert not connection.is_closing()


@pytest.mark.anyio
async def test_a_late_request_ends_for_the_application_though_the_client_does_not_read_the_answer() -> None:
    ended = asyncio.Event()

    async def app(scope, receive, send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        # As FastAPI answers a client that has left.
        await send({"type": "http.response.start", "status": 400, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})
        ended.set()

    connection = Connection(app, SOON, client_reads=False)
    await connection.receive([HEAD + b"hello"])
    async with asyncio.timeout(20):
        await ended.wait()
    assert connection.written.startswith(b"HTTP/1.1 408 ")
    assert connection.written.count(b"HTTP/1.1 ") == 1


@pytest.mark.anyio
async def test_nothing_is_written_any_more_to_a_connection_that_is_being_closed() -> None:
    connection = Connection(Recorder(), SOON, client_reads=False)
    await connection.receive([b"GET /a HTTP/1.1\r\nHost: localhost\r\nX: ", b"y\x00\r\n\r\n"])
    written = connection.written
    await asyncio.sleep(0.1)
    assert written.startswith(b"HTTP/1.1 400 ")
    assert connection.written == written
    assert not connection.was_written_after_the_end


@pytest.mark.anyio
async def test_a_closed_connection_is_not_kept_in_memory_by_its_deadline() -> None:
    connection = Connection(Recorder(), NEVER)
    await connection.receive([HEAD])
    connection.leave()
    await connection.settle()
    assert connection.protocol._deadline is None
