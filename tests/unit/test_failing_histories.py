"""The report of a random history that fails: the sentence of the port, the shortest history, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count

import pytest
from broken_strategy_stores import (
    ACancelledBlockStaysLocked,
    IdsGoDown,
    NothingIsLocked,
    NothingIsRolledBack,
    PlainStrategyStore,
    Repository,
    WholeFloatsBecomeIntegers,
)

from tradingagents_conformance import StrategyStoreContract
from tradingagents_conformance.histories.search import HistoryFailed
from tradingagents_core.ports import StrategyStore


class Contract(StrategyStoreContract):
    a_while = 0.2
    patience = 1
    shrinking = 1
    histories = 200


class TheThirdStoreLosesACommit(PlainStrategyStore):
    """Commits run in threads. One commit of the third store is lost, and none later."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.loses_a_commit = number == 3

    @classmethod
    def opener(cls) -> Callable[[], StrategyStore]:
        numbers = count(1)
        return lambda: cls(next(numbers))

    @asynccontextmanager
    async def block(self, owner_id: int) -> AsyncIterator[Repository]:
        async with self.rows[owner_id]:
            repository = self.repository(self, owner_id)
            yield repository
            repository.check()
            await asyncio.to_thread(self.keep, repository)

    def keep(self, repository: Repository) -> None:
        if not self.loses_a_commit:
            super().keep(repository)
        self.loses_a_commit = False


class TheSixthBlockNeverEnds(PlainStrategyStore):
    """A block that waits forever and takes no cancellation."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks_begun = 0

    @asynccontextmanager
    async def block(self, owner_id: int) -> AsyncIterator[Repository]:
        self.blocks_begun += 1
        while self.blocks_begun == 6:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue
        async with super().block(owner_id) as repository:
            yield repository


def report_on(make_store: Callable[[], StrategyStore]) -> str:
    """The report of the kit on a store with a fault."""

    @asynccontextmanager
    async def open_store() -> AsyncIterator[StrategyStore]:
        yield make_store()

    with pytest.raises(HistoryFailed) as failed:
        Contract().test_random_histories_match_plain_dictionaries(open_store)
    return str(failed.value)


class StoreWithFallingIds(PlainStrategyStore):
    repository = IdsGoDown


class StoreWithoutWholeFloats(PlainStrategyStore):
    reader = WholeFloatsBecomeIntegers


@pytest.mark.parametrize(
    ("store", "sentence"),
    [
        (NothingIsLocked, "StrategyStore.write promises:\n    The block locks the owner's row until it ends"),
        (NothingIsRolledBack, "StrategyStore.write promises:\n    A block that is one transaction"),
        (ACancelledBlockStaysLocked, "StrategyStore promises:\n    A cancelled caller leaves nothing half done"),
        (StoreWithFallingIds, "StrategyRepository.add promises:\n    The id is greater than the id of every earlier"),
        (StoreWithoutWholeFloats, "StrategyReader promises:\n    Strategies are read exactly as they were stored"),
    ],
)
def test_a_report_quotes_the_sentence_that_the_store_broke(store: type[PlainStrategyStore], sentence: str) -> None:
    assert sentence in report_on(store)


def test_a_report_shows_each_step_of_the_shortest_history() -> None:
    report = report_on(NothingIsLocked)

    assert "block 1: write(1009)\n    block 1: add(name='a', " in report
    assert "AssertionError: two blocks have locked one row at the same time" in report
    assert "failed again when the test repeated it" in report
    assert len(report.splitlines()) < 40


@pytest.mark.parametrize(
    "make_store",
    [NothingIsLocked, TheThirdStoreLosesACommit.opener(), TheSixthBlockNeverEnds],
    ids=["always", "once", "hang"],
)
def test_a_report_says_nothing_of_the_library_that_found_the_history(make_store: Callable[[], StrategyStore]) -> None:
    report = report_on(make_store)

    for word in ("hypothesis", "flaky", "falsifying", "reproduce_failure"):
        assert word not in report.lower()


def test_a_fault_that_shows_only_sometimes_is_reported_as_it_was_seen() -> None:
    report = report_on(TheThirdStoreLosesACommit.opener())

    assert "StrategyStore.write promises:\n    A block that is one transaction" in report
    assert "did not fail when the test repeated it" in report


def test_a_block_that_never_ends_is_reported_as_a_hang() -> None:
    report = report_on(TheSixthBlockNeverEnds)

    assert "TimeoutError: the last operation has not ended after" in report
    assert "failed again when the test repeated it" in report
