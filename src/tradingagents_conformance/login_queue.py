"""The contract of `LoginQueue`, as tests.

The tests do not wait: they move the clock of the event loop forward.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import ClassVar, Final

import pytest

from tradingagents_core.domain.login_throttle import (
    QUEUED_OF_A_SOURCE,
    QUEUED_ON_AN_ACCOUNT_FROM_ONE_SOURCE,
    TURN_SECONDS,
    LoginAttempt,
)
from tradingagents_core.errors import PasswordHasherBusy, TooManyAttempts
from tradingagents_core.ports import LoginQueue

_STEPS: Final = 10
"""More steps of the event loop than it takes to pass a turn on."""

_A_WHILE: Final = 60
"""Seconds after which an operation counts as hanging."""


class _Line:
    """Attempts that wait for their turns in a queue, and the order in which they get them."""

    def __init__(self, queue: LoginQueue) -> None:
        self._queue = queue
        self.served: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def join(self, name: str, attempt: LoginAttempt, *, failures: int = 0) -> "asyncio.Task[None]":
        """Start an attempt; on return it has its turn, waits, or has been refused."""
        task = asyncio.create_task(self._take_turn(name, attempt, failures))
        self.tasks.append(task)
        await _settle()
        return task

    async def _take_turn(self, name: str, attempt: LoginAttempt, failures: int) -> None:
        async with self._queue.turn(attempt, failures=failures):
            self.served.append(name)


class LoginQueueContract:
    """Every sentence of `LoginQueue`.

    A subclass defines the fixture `login_queue`, and may set the attribute below.
    """

    very_many: ClassVar[int] = 2000
    """A number of attempts that is greater than the queue accepts."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def login_queue(self) -> LoginQueue:
        """Defined by the author of the queue: an empty queue that grants one turn at a time."""
        raise NotImplementedError("a subclass of LoginQueueContract has to define the fixture login_queue")

    # Attempts that are under way

    async def test_an_attempt_is_under_way_under_each_of_its_keys(self, login_queue: LoginQueue) -> None:
        one, other = _attempt(1, account=1), _attempt(1, account=2)
        with login_queue.entered(one), login_queue.entered(one), login_queue.entered(other):
            assert login_queue.under_way(one.keys) == {one.account_from_source: 2, one.account: 2, one.source: 3}
            assert login_queue.under_way([other.account]) == {other.account: 1}
            assert login_queue.under_way(_attempt(2, account=3).keys) == {}

    async def test_an_attempt_that_has_ended_is_not_under_way(self, login_queue: LoginQueue) -> None:
        attempt = _attempt(1)
        with login_queue.entered(attempt):
            with suppress(ZeroDivisionError), login_queue.entered(attempt):
                raise ZeroDivisionError
            assert login_queue.under_way(attempt.keys) == dict.fromkeys(attempt.keys, 1)
        assert login_queue.under_way(attempt.keys) == {}

    # Turns

    async def test_a_single_attempt_does_not_wait(self, login_queue: LoginQueue) -> None:
        line = _Line(login_queue)
        for name in ("first", "second"):
            task = await line.join(name, _attempt(1))
            assert task.done()
        assert line.served == ["first", "second"]

    async def test_a_turn_is_passed_on_when_its_block_ends(self, login_queue: LoginQueue) -> None:
        line = _Line(login_queue)
        async with login_queue.turn(_attempt(1), failures=0):
            await line.join("next", _attempt(2))
            assert line.served == []
        await _settle()
        assert line.served == ["next"]

    async def test_a_turn_is_passed_on_when_an_error_ends_its_block(self, login_queue: LoginQueue) -> None:
        line = _Line(login_queue)
        with suppress(ZeroDivisionError):
            async with login_queue.turn(_attempt(1), failures=0):
                await line.join("next", _attempt(2))
                raise ZeroDivisionError
        await _settle()
        assert line.served == ["next"]

    async def test_users_who_have_logged_in_before_come_first(self, login_queue: LoginQueue) -> None:
        owner = _attempt(9)
        login_queue.note_success(owner)
        async with _full(login_queue) as line:
            await line.join("newcomer", _attempt(1))
            await line.join("owner's source on another account", _attempt(9, account=2), failures=20)
            await line.join("owner's account from another source", _attempt(2), failures=40)
            await line.join("owner", owner, failures=50)
        assert line.served == [
            "owner",
            "newcomer",
            "owner's source on another account",
            "owner's account from another source",
        ]

    async def test_sources_with_fewer_failures_come_first(self, login_queue: LoginQueue) -> None:
        async with _full(login_queue) as line:
            for failures in (64, 0, 8, 1):
                await line.join(f"{failures}", _attempt(1 + failures), failures=failures)
        assert line.served == ["0", "1", "8", "64"]

    async def test_sources_take_turns_whatever_the_order_of_arrival(self, login_queue: LoginQueue) -> None:
        async with _full(login_queue) as line:
            for number in range(4):
                await line.join("crowd", _attempt(1, account=number))
            await line.join("one", _attempt(2))
            await line.join("other", _attempt(3))
        assert set(line.served[:3]) == {"crowd", "one", "other"}
        assert line.served[3:] == ["crowd"] * 3

    async def test_a_cancelled_attempt_leaves_the_queue(self, login_queue: LoginQueue) -> None:
        async with _full(login_queue) as line:
            for number in range(QUEUED_OF_A_SOURCE):
                task = await line.join(f"gone {number}", _attempt(1, account=number))
                task.cancel()
            await _settle()
            await line.join("here", _attempt(1))
        assert line.served == ["here"]

    async def test_an_attempt_cancelled_as_its_turn_comes_passes_the_turn_on(self, login_queue: LoginQueue) -> None:
        line = _Line(login_queue)
        async with login_queue.turn(_attempt(1000), failures=0):
            gone = await line.join("gone", _attempt(1))
            await line.join("next", _attempt(2), failures=1)
        gone.cancel()
        await _settle()
        assert "next" in line.served
        assert (await line.join("last", _attempt(3))).done()

    # Attempts without a turn

    async def test_few_attempts_of_one_source_wait_at_once(self, login_queue: LoginQueue) -> None:
        async with _full(login_queue) as line:
            for number in range(QUEUED_OF_A_SOURCE):
                assert not (await line.join("waits", _attempt(1, account=number))).done()
            refused = await line.join("refused", _attempt(1, account=99))
            error = refused.exception()
            assert isinstance(error, TooManyAttempts)
            assert error.retry_after >= 1
            assert not (await line.join("waits", _attempt(2, account=99))).done()
        assert line.served == ["waits"] * (QUEUED_OF_A_SOURCE + 1)

    async def test_fewer_attempts_of_one_source_on_one_account_wait_at_once(self, login_queue: LoginQueue) -> None:
        async with _full(login_queue) as line:
            for _ in range(QUEUED_ON_AN_ACCOUNT_FROM_ONE_SOURCE):
                assert not (await line.join("waits", _attempt(1))).done()
            refused = await line.join("refused", _attempt(1))
            assert isinstance(refused.exception(), TooManyAttempts)
            assert not (await line.join("waits", _attempt(1, account=2))).done()
            assert not (await line.join("waits", _attempt(2))).done()
        assert line.served == ["waits"] * (QUEUED_ON_AN_ACCOUNT_FROM_ONE_SOURCE + 2)

    async def test_an_attempt_waits_for_a_limited_time(
        self, login_queue: LoginQueue, move_clock: Callable[[float], None]
    ) -> None:
        async with _full(login_queue) as line:
            early = await line.join("early", _attempt(1))
            move_clock(TURN_SECONDS / 2)
            late = await line.join("late", _attempt(2))
            assert not early.done()
            move_clock(TURN_SECONDS / 2 + 0.1)
            await _settle()
            assert early.done()
            assert isinstance(early.exception(), PasswordHasherBusy)
            assert not late.done()
        assert line.served == ["late"]

    async def test_some_attempts_are_refused_when_very_many_wait(self, login_queue: LoginQueue) -> None:
        async with _full(login_queue) as line:
            tasks = [await line.join("waits", _attempt(number)) for number in range(self.very_many)]
            errors = [task.exception() for task in tasks if task.done()]
            assert errors
            assert all(isinstance(error, PasswordHasherBusy) for error in errors)
        assert len(line.served) + len(errors) == self.very_many

    @pytest.fixture
    async def move_clock(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
        loop = asyncio.get_running_loop()
        real_time = loop.time
        ahead = 0.0

        def move(seconds: float) -> None:
            nonlocal ahead
            ahead += seconds

        monkeypatch.setattr(loop, "time", lambda: real_time() + ahead)
        return move


@asynccontextmanager
async def _full(queue: LoginQueue) -> AsyncIterator[_Line]:
    """A line at a queue whose only turn is in use until the block ends. Then all waiting attempts get their turns."""
    line = _Line(queue)
    async with queue.turn(_attempt(1000), failures=0):
        yield line
    if line.tasks:
        _, hanging = await asyncio.wait(line.tasks, timeout=_A_WHILE)
        assert not hanging


async def _settle() -> None:
    """Let all tasks run as far as they can."""
    for _ in range(_STEPS):
        await asyncio.sleep(0)


def _attempt(source: int, *, account: int = 1) -> LoginAttempt:
    """An attempt of one of many sources, each in a different network."""
    return LoginAttempt.of(email=f"user{account}@example.com", source=f"10.{source // 256}.{source % 256}.1")
