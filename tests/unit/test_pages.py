"""Pages of strategies: what room they take, and how they are written."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import HTTPException
from starlette.types import Message

from tradingagents_core.domain.page import Page
from tradingagents_core.domain.parameters import Parameters
from tradingagents_core.domain.strategies import Strategy
from tradingagents_http import pages
from tradingagents_http.answers import page_answer
from tradingagents_http.pages import PIECE_BYTES, STRATEGY_MAX_BYTES, PageAnswer, PageRoom

TIME = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
SCOPE: dict[str, Any] = {"type": "http", "method": "GET"}


def page_of(count: int, *, letters: int) -> Page[Strategy]:
    items = [
        Strategy(
            id=number,
            owner_id=1,
            name=f"strategy {number}",
            description='"é\n',
            parameters=Parameters({"text": "x" * letters}),
            created_at=TIME,
            updated_at=TIME,
        )
        for number in range(1, count + 1)
    ]
    return Page(items=items, total=count + 1, skip=1, limit=1000)


class Client:
    """Takes an answer; `reads` is set while it reads on."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.reads = asyncio.Event()
        self.reads.set()

    async def send(self, message: Message) -> None:
        await self.reads.wait()
        self.messages.append(message)

    async def receive(self) -> Message:
        return {"type": "http.disconnect"}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)


async def answer(page: Page[Strategy], client: Client, room: PageRoom, *, limit: int = 1000) -> None:
    async def read() -> Page[Strategy]:
        return page

    await PageAnswer(read, limit=limit, room=room)(SCOPE, client.receive, client.send)


@pytest.mark.anyio
@pytest.mark.parametrize(("count", "letters"), [(0, 0), (3, 10), (50, 60_000)])
async def test_a_page_says_the_same_whether_it_is_written_whole_or_in_pieces(count: int, letters: int) -> None:
    page, client = page_of(count, letters=letters), Client()
    await answer(page, client, PageRoom())
    assert json.loads(client.body) == json.loads(bytes(page_answer(page).body))
    assert client.messages[0]["status"] == 200
    assert (b"content-type", b"application/json") in client.messages[0]["headers"]
    assert not client.messages[-1].get("more_body", False)


@pytest.mark.anyio
async def test_a_large_page_comes_in_pieces_between_which_others_have_their_turn() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    client = Client()
    task = asyncio.create_task(others())
    await answer(page_of(100, letters=60_000), client, PageRoom())
    task.cancel()

    sizes = [len(message["body"]) for message in client.messages[1:]]
    assert max(sizes) < PIECE_BYTES + 2 * 60_000
    assert turns >= len(sizes) > 20


@pytest.mark.anyio
async def test_a_small_page_comes_in_one_piece_and_says_its_length() -> None:
    client = Client()
    await answer(page_of(100, letters=100), client, PageRoom())
    assert len(client.messages) == 2
    assert (b"content-length", str(len(client.body)).encode()) in client.messages[0]["headers"]


@pytest.mark.anyio
async def test_a_page_takes_what_it_may_be_until_it_is_read_and_then_what_it_is() -> None:
    room = PageRoom(2 * 1000 * STRATEGY_MAX_BYTES)
    reading, client = asyncio.Event(), Client()
    client.reads.clear()

    async def read() -> Page[Strategy]:
        await reading.wait()
        return page_of(20, letters=60_000)

    first = asyncio.create_task(PageAnswer(read, limit=1000, room=room)(SCOPE, client.receive, client.send))
    await asyncio.sleep(0)
    assert room._free == 1000 * STRATEGY_MAX_BYTES
    reading.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert 2 * 1000 * STRATEGY_MAX_BYTES - 21 * 60_100 < room._free < 2 * 1000 * STRATEGY_MAX_BYTES - 20 * 60_000
    client.reads.set()
    await first
    assert room._free == 2 * 1000 * STRATEGY_MAX_BYTES


@pytest.mark.anyio
async def test_a_text_with_one_wide_character_takes_four_bytes_for_each_of_its_characters() -> None:
    page = page_of(1, letters=0)
    wide = Strategy.created(page.items[0].changed(at=TIME, description="x" * 9_999 + "𝄞"), id=2, owner_id=1, at=TIME)
    items = [wide] * 100
    room, client = PageRoom(10_000_000), Client()
    client.reads.clear()
    sending = asyncio.create_task(answer(Page(items=items, total=100, skip=0, limit=100), client, room, limit=100))
    await asyncio.sleep(0)
    assert 10_000_000 - room._free >= 100 * 40_000
    client.reads.set()
    await sending
    assert room._free == 10_000_000


@pytest.mark.anyio
async def test_a_short_page_is_read_without_waiting_for_room_and_takes_it_only_where_it_is_large() -> None:
    room = PageRoom(10_000_000, seconds=0.02)
    await room.acquire(10_000_000)
    small, large = Client(), Client()
    await answer(page_of(100, letters=10), small, room, limit=100)
    assert small.messages[0]["status"] == 200
    with pytest.raises(HTTPException):
        await answer(page_of(20, letters=60_000), large, room, limit=100)
    room.release(10_000_000)
    await answer(page_of(20, letters=60_000), large, room, limit=100)
    assert large.messages[0]["status"] == 200
    assert room._free == 10_000_000


@pytest.mark.anyio
async def test_a_page_that_fails_or_whose_client_leaves_gives_its_room_back() -> None:
    room = PageRoom(1000)

    async def fail() -> Page[Strategy]:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await PageAnswer(fail, limit=1000, room=room)(SCOPE, Client().receive, Client().send)
    client = Client()
    client.reads.clear()
    sending = asyncio.create_task(answer(page_of(20, letters=60_000), client, room))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert room._free == 1000


@pytest.mark.anyio
async def test_pages_without_room_wait_in_order_and_are_refused_when_it_does_not_come() -> None:
    room = PageRoom(10, seconds=0.05)
    await room.acquire(8)
    served: list[int] = []

    async def take(amount: int) -> None:
        await room.acquire(amount)
        served.append(amount)

    waiting = [asyncio.create_task(take(5)), asyncio.create_task(take(2))]
    await asyncio.sleep(0)
    assert served == []
    room.release(8)
    await asyncio.gather(*waiting)
    assert served == [5, 2]
    with pytest.raises(HTTPException) as refused:
        await room.acquire(4)
    assert (refused.value.status_code, refused.value.headers) == (503, {"Retry-After": "1"})
    await room.acquire(3)
    room.release(10)
    assert room._free == 10


@pytest.mark.anyio
async def test_a_page_that_is_given_up_while_it_waits_leaves_its_place() -> None:
    room = PageRoom(10)
    await room.acquire(10)
    large, small = asyncio.create_task(room.acquire(9)), asyncio.create_task(room.acquire(1))
    await asyncio.sleep(0)
    room.release(1)
    large.cancel()
    await small
    room.release(10)
    assert room._free == 10


@pytest.mark.anyio
@pytest.mark.parametrize("cancelled_first", [False, True], ids=["just after", "just before"])
async def test_room_that_comes_just_when_the_caller_is_cancelled_is_not_lost(cancelled_first: bool) -> None:
    room = PageRoom(10)
    await room.acquire(10)
    waiting = asyncio.create_task(room.acquire(10))
    await asyncio.sleep(0)
    if cancelled_first:
        waiting.cancel()
    room.release(10)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert room._free == 10


@pytest.mark.anyio
async def test_a_client_that_does_not_read_on_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pages, "SEND_SECONDS", 0.02)
    client, room = Client(), PageRoom()
    free = room._free
    client.reads.clear()
    await answer(page_of(20, letters=60_000), client, room)
    assert client.messages == []
    assert room._free == free
    assert "did not read" in caplog.text


@pytest.mark.anyio
@pytest.mark.parametrize(("seconds_for_a_piece", "gets_all"), [(7, True), (12, False)])
async def test_a_client_that_reads_too_slowly_all_in_all_is_given_up(
    monkeypatch: pytest.MonkeyPatch, seconds_for_a_piece: int, gets_all: bool
) -> None:
    loop, ahead = asyncio.get_running_loop(), 0
    real_time = loop.time
    monkeypatch.setattr(loop, "time", lambda: real_time() + ahead)

    class SlowClient(Client):
        async def send(self, message: Message) -> None:
            nonlocal ahead
            ahead += seconds_for_a_piece
            # The moment in which the time of this piece may be up.
            await asyncio.sleep(0.001)
            await super().send(message)

    client, room = SlowClient(), PageRoom()
    free = room._free
    await answer(page_of(100, letters=60_000), client, room)
    assert (client.messages[-1].get("more_body") is None) is gets_all
    assert len(client.messages) > 2
    assert room._free == free
