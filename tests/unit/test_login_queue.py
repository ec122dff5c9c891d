"""The queue of logins: what the kit asks of every queue, and how this one treats crowds of sources."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tradingagents_adapters import login_queue
from tradingagents_adapters.login_queue import RoundRobinLoginQueue
from tradingagents_conformance import LoginQueueContract
from tradingagents_core.domain.login_throttle import LoginAttempt
from tradingagents_core.errors import PasswordHasherBusy
from tradingagents_core.ports import LoginQueue

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class TestRoundRobinLoginQueue(LoginQueueContract):
    @pytest.fixture
    def login_queue(self) -> LoginQueue:
        return RoundRobinLoginQueue(turns=1)


class Line:
    """Attempts that wait for a turn, and the sources of those that had theirs, in order."""

    def __init__(self, queue: RoundRobinLoginQueue) -> None:
        self.queue = queue
        self.served: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def join(self, source: str, *, account: int = 1, failures: int = 0) -> asyncio.Task[None]:
        task = asyncio.create_task(self._take_turn(source, account, failures))
        self.tasks.append(task)
        await asyncio.sleep(0)
        return task

    async def _take_turn(self, source: str, account: int, failures: int) -> None:
        attempt = LoginAttempt.of(email=f"{account}@example.com", source=source)
        async with self.queue.turn(attempt, failures=failures):
            self.served.append(source)

    @property
    def turned_away(self) -> int:
        return sum(task.done() and isinstance(task.exception(), PasswordHasherBusy) for task in self.tasks)


@asynccontextmanager
async def full(*, turns: int = 1) -> AsyncIterator[Line]:
    """A line at a queue whose turns are all taken; when the block ends, everybody gets theirs."""
    line = Line(RoundRobinLoginQueue(turns=turns))
    leave = asyncio.Event()

    async def keep(number: int) -> None:
        attempt = LoginAttempt.of(email="first@example.com", source=f"192.0.2.{number}")
        async with line.queue.turn(attempt, failures=0):
            await leave.wait()

    keeping = [asyncio.create_task(keep(number)) for number in range(turns)]
    await asyncio.sleep(0)
    try:
        yield line
    finally:
        leave.set()
        await asyncio.wait({*keeping, *line.tasks})


async def test_as_many_have_a_turn_at_once_as_were_asked_for():
    async with full(turns=3) as line:
        await line.join("198.51.100.1")
        assert line.served == []
    assert line.served == ["198.51.100.1"]


async def test_the_sources_of_one_network_share_its_turns():
    async with full() as line:
        for number in range(6):
            await line.join(f"2001:db8:0:{number:x}::/64")
        await line.join("2001:db8:1::/64")
        await line.join("198.51.100.1")
    assert {"2001:db8:1::/64", "198.51.100.1"} < set(line.served[:3])


async def test_a_newcomer_does_not_wait_for_a_round_of_a_crowd():
    async with full() as line:
        for number in range(50):
            await line.join(f"198.51.100.{number}")
        await line.join("198.51.100.200")
    assert line.served[0] == "198.51.100.200"


async def test_a_newcomer_does_not_wait_for_a_round_of_a_crowd_from_many_networks():
    async with full() as line:
        for number in range(50):
            await line.join(f"198.51.{number}.1")
        await line.join("203.0.113.1")
    assert line.served[0] == "203.0.113.1"


async def test_who_had_a_turn_lately_comes_after_those_who_had_none():
    async with full() as line:
        await line.join("203.0.113.1")
        await line.join("198.51.100.1")
    assert len(line.served) == 2
    blocked = asyncio.Event()
    attempt = LoginAttempt.of(email="x", source="192.0.2.1")

    async def block() -> None:
        async with line.queue.turn(attempt, failures=0):
            await blocked.wait()

    blocking = asyncio.create_task(block())
    await asyncio.sleep(0)
    line.served.clear()
    await line.join("198.51.100.2")
    await line.join("203.0.113.1")
    await line.join("198.51.100.1")
    blocked.set()
    await asyncio.wait({blocking, *line.tasks})
    assert line.served.index("198.51.100.2") < line.served.index("198.51.100.1")


async def test_the_fewer_failures_a_source_has_the_sooner_its_turn_comes():
    async with full() as line:
        for failures in (50, 4, 1, 0, 9, 10**9):
            await line.join(f"198.51.{failures % 250}.1", failures=failures)
    assert line.served == [f"198.51.{failures % 250}.1" for failures in (0, 1, 4, 9, 50, 10**9)]


async def test_a_newcomer_takes_the_place_of_a_guesser_when_the_queue_is_full(monkeypatch):
    monkeypatch.setattr(login_queue, "WAITING_FOR_EACH_TURN", 10)
    async with full() as line:
        for number in range(10):
            await line.join(f"198.51.{number}.1", failures=3)
        owner = await line.join("203.0.113.7")
        assert not owner.done()
        await asyncio.sleep(0)
        assert line.turned_away == 1
        guesser = await line.join("198.51.99.1", failures=3)
        await asyncio.sleep(0)
        assert isinstance(guesser.exception(), PasswordHasherBusy)
    assert line.served[0] == "203.0.113.7"


async def test_a_newcomer_takes_the_place_of_one_of_a_crowded_network_when_the_queue_is_full(monkeypatch):
    monkeypatch.setattr(login_queue, "WAITING_FOR_EACH_TURN", 10)
    async with full() as line:
        for number in range(10):
            await line.join(f"2001:db8:0:{number:x}::/64")
        assert not (await line.join("203.0.113.7")).done()
        assert (await line.join("198.51.100.1")).done() is False
        await asyncio.sleep(0)
        assert line.turned_away == 2
    assert set(line.served[:3]) >= {"203.0.113.7", "198.51.100.1"}


async def test_a_wait_that_is_cancelled_in_the_moment_of_its_eviction_leaves_nothing_behind(monkeypatch):
    monkeypatch.setattr(login_queue, "WAITING_FOR_EACH_TURN", 1)
    async with full() as line:
        guesser = await line.join("198.51.100.1", failures=1)
        guesser.cancel()
        owner = await line.join("203.0.113.7")
        assert not owner.done()
    assert line.served == ["203.0.113.7"]
    assert (await line.join("203.0.113.8")).done()


async def test_nothing_is_left_of_those_who_waited():
    async with full() as line:
        for number in range(300):
            await line.join(f"10.0.{number}.1", failures=number)
        for task in line.tasks[::2]:
            task.cancel()
    queue = line.queue
    assert (queue._waiting, queue._free, dict(queue._waiting_under)) == (0, 1, {})
    assert not any(queue._levels)


async def test_only_so_many_sources_and_successes_are_remembered(monkeypatch):
    monkeypatch.setattr(login_queue, "REMEMBERED_MAX", 20)
    line = Line(RoundRobinLoginQueue(turns=1))
    for number in range(100):
        await line.join(f"10.0.{number}.1")
    await asyncio.wait(line.tasks)
    for number in range(100):
        line.queue.note_success(LoginAttempt.of(email=f"{number}@example.com", source="10.0.0.1"))
    gc.collect()
    assert [len(each._keys) for each in (line.queue._served, line.queue._succeeded)] == [20, 20]


async def test_networks_and_sources_that_have_had_turns_take_them_in_rounds():
    async with full() as line:
        for source in ("203.0.113.1", "203.0.113.2", "198.51.100.1"):
            await line.join(source)
    line.served.clear()
    async with line.queue.turn(attempt_of("192.0.2.1"), failures=0):
        for number in range(2):
            for source in ("203.0.113.1", "203.0.113.2", "198.51.100.1"):
                await line.join(source, account=number)
                await line.join(source, account=number + 10)
    await asyncio.wait(line.tasks)
    network = [source.rpartition(".")[0] for source in line.served]
    assert network[:8] == ["203.0.113", "198.51.100"] * 4
    of_the_first = [source for source in line.served if source.startswith("203")]
    assert of_the_first == ["203.0.113.1", "203.0.113.2"] * 4


async def test_who_has_failed_takes_nobodys_place_who_has_not(monkeypatch):
    monkeypatch.setattr(login_queue, "WAITING_FOR_EACH_TURN", 3)
    async with full() as line:
        for number in range(3):
            await line.join("198.51.100.1", account=number)
        guesser = await line.join("203.0.113.1", failures=1)
        assert isinstance(guesser.exception(), PasswordHasherBusy)
        assert line.turned_away == 1
    assert line.served == ["198.51.100.1"] * 3


async def test_a_turn_is_not_given_to_one_who_was_cancelled_in_the_same_moment():
    line = Line(RoundRobinLoginQueue(turns=1))
    turn = line.queue.turn(attempt_of("192.0.2.1"), failures=0)
    await turn.__aenter__()
    gone = await line.join("198.51.100.1")
    await line.join("198.51.100.2", failures=1)
    gone.cancel()
    # Nothing else runs in between.
    await turn.__aexit__(None, None, None)
    await asyncio.wait(line.tasks)
    assert line.served == ["198.51.100.2"]


async def test_one_who_was_cancelled_in_the_same_moment_is_not_sent_away(monkeypatch):
    monkeypatch.setattr(login_queue, "WAITING_FOR_EACH_TURN", 1)
    line = Line(RoundRobinLoginQueue(turns=1))
    first = line.queue.turn(attempt_of("192.0.2.1"), failures=0)
    await first.__aenter__()
    guesser = await line.join("198.51.100.1", failures=1)
    asyncio.get_running_loop().call_later(0.01, lambda: line.tasks.append(asyncio.create_task(leave(first))))
    guesser.cancel()
    async with line.queue.turn(attempt_of("203.0.113.7"), failures=0):
        assert guesser.cancelled()


async def leave(turn):
    await turn.__aexit__(None, None, None)


def attempt_of(source: str) -> LoginAttempt:
    return LoginAttempt.of(email="somebody@example.com", source=source)
