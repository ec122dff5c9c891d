"""When a database counts as ready, who prepares it, and what the log says meanwhile."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable

import pytest

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql import readiness as module
from tradingagents_adapters.sql.readiness import Readiness
from tradingagents_core.errors import NotRunning, StoreUnavailable, WrongEventLoop

pytestmark = pytest.mark.anyio

AWAY = StoreUnavailable(reason="connection refused")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Preparation:
    """Prepares nothing; `errors` are raised one after another before it succeeds, `goes_on` is set while it may end."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.begun = 0
        self.was_cut = False
        self.has_begun = asyncio.Event()
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def __call__(self) -> None:
        self.begun += 1
        self.has_begun.set()
        try:
            await self.goes_on.wait()
        except asyncio.CancelledError:
            self.was_cut = True
            raise
        if self.errors:
            raise self.errors.pop(0)


def started(prepare: Callable[[], Awaitable[None]]) -> Readiness:
    readiness = Readiness(prepare)
    readiness.start()
    return readiness


async def test_a_database_is_prepared_once() -> None:
    preparation = Preparation()
    readiness = started(preparation)
    for _ in range(3):
        await readiness.ensure()
    assert preparation.begun == 1


async def test_those_who_come_meanwhile_wait_for_the_same_preparation() -> None:
    preparation = Preparation()
    preparation.goes_on.clear()
    readiness = started(preparation)
    waiting = [asyncio.create_task(readiness.ensure()) for _ in range(5)]
    await asyncio.sleep(0)
    preparation.goes_on.set()
    await asyncio.gather(*waiting)
    assert preparation.begun == 1


async def test_a_caller_who_gives_up_takes_the_preparation_from_nobody() -> None:
    preparation = Preparation()
    preparation.goes_on.clear()
    readiness = started(preparation)
    impatient, patient = (asyncio.create_task(readiness.ensure()) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.wait({impatient})
    preparation.goes_on.set()
    await patient
    assert preparation.begun == 1


async def test_a_request_does_not_wait_for_a_preparation_that_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENSURE_SECONDS", 0.01)
    preparation = Preparation()
    preparation.goes_on.clear()
    readiness = started(preparation)
    with pytest.raises(StoreUnavailable) as refused:
        async with asyncio.timeout(60):
            await readiness.ensure()
    assert refused.value.reason == "the database is being prepared"
    preparation.goes_on.set()
    await readiness.ensure()
    assert preparation.begun == 1


async def test_a_preparation_that_failed_is_tried_again_by_the_next_request() -> None:
    preparation = Preparation(AWAY)
    readiness = started(preparation)
    with pytest.raises(StoreUnavailable):
        await readiness.ensure()
    await readiness.ensure()
    assert preparation.begun == 2


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that have been made, none of which takes any time."""
    made: list[float] = []
    sleep = asyncio.sleep

    async def pause(seconds: float) -> None:
        made.append(seconds)
        await sleep(0)

    monkeypatch.setattr(module.asyncio, "sleep", pause)
    return made


async def test_pauses_between_attempts_grow_up_to_the_longest(pauses: list[float]) -> None:
    await started(Preparation(*[AWAY] * 8)).keep_trying()
    assert pauses == [0.25, 0.5, 1, 2, 4, 5, 5, 5]


async def test_the_log_says_when_the_waiting_begins_and_ends_and_what_a_person_has_to_mend(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    wrong = ConfigurationError("the schema is too old")
    await started(Preparation(AWAY, AWAY, wrong, wrong, AWAY)).keep_trying()
    assert [record.getMessage().partition(":")[2].partition(".")[0].strip() for record in caplog.records[:-1]] == [
        "connection refused",
        "the schema is too old",
    ]
    assert caplog.records[-1].getMessage() == "The database can be used now."


async def test_a_database_that_was_lost_is_prepared_again_and_the_log_says_both(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    preparation = Preparation()
    readiness = started(preparation)
    await readiness.ensure()
    for _ in range(2):
        readiness.lose("The file is gone")
    await readiness.ensure()
    assert preparation.begun == 2
    # No outage, and so nothing to say.
    await readiness.end()
    readiness.start()
    await readiness.ensure()
    gone, back = (record.getMessage() for record in caplog.records)
    assert gone.startswith("The file is gone. Requests that need the database are answered with 503")
    assert back == "The database can be used now."


async def test_the_end_cuts_a_preparation_off_and_the_next_start_begins_another() -> None:
    preparation = Preparation()
    preparation.goes_on.clear()
    readiness = started(preparation)
    waiting = asyncio.create_task(readiness.ensure())
    await preparation.has_begun.wait()
    async with asyncio.timeout(60):
        await readiness.end()
    assert preparation.was_cut
    await asyncio.wait({waiting})
    assert waiting.cancelled() or waiting.exception()
    preparation.goes_on.set()
    for _ in range(2):
        readiness.start()
        await readiness.ensure()
        await readiness.end()
    assert preparation.begun == 3


async def test_a_database_is_used_between_its_start_and_its_end() -> None:
    preparation = Preparation()
    readiness = Readiness(preparation)
    for use in (readiness.ensure, readiness.prepare):
        with pytest.raises(NotRunning):
            await use()
    readiness.start()
    await readiness.ensure()
    await readiness.end()
    for use in (readiness.ensure, readiness.prepare):
        with pytest.raises(NotRunning):
            await use()
    assert preparation.begun == 1


def in_a_loop_of_its_own(use: Callable[[], object]) -> BaseException | None:
    """What comes of it in another thread, whose event loop is closed afterwards."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(use())  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return errors[0] if errors else None


def test_a_database_is_prepared_again_in_another_event_loop_and_belongs_to_one_at_a_time() -> None:
    begun = 0

    async def prepare() -> None:
        nonlocal begun
        begun += 1

    readiness = Readiness(prepare)

    async def start_and_use() -> None:
        readiness.start()
        await readiness.ensure()

    assert in_a_loop_of_its_own(start_and_use) is None
    assert isinstance(in_a_loop_of_its_own(readiness.ensure), NotRunning)
    assert in_a_loop_of_its_own(start_and_use) is None
    assert begun == 2

    async def use_it_while_this_loop_runs() -> list[BaseException | None]:
        await start_and_use()
        return [await asyncio.to_thread(in_a_loop_of_its_own, use) for use in (readiness.ensure, start_and_use)]

    errors = asyncio.run(use_it_while_this_loop_runs())
    assert [type(error) for error in errors] == [WrongEventLoop, WrongEventLoop]
