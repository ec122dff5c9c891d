"""The machine that runs random blocks over a fresh store."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from tradingagents_conformance.examples import says
from tradingagents_conformance.histories.blocks import (
    Attempt,
    Block,
    BookT,
    Cut,
    Ending,
    LeftOnPurpose,
    Overlap,
    Overlapping,
    Step,
    WorkT,
    cancel_later,
)
from tradingagents_core.errors import TradingAgentsError

PATIENCE_AFTER_A_HANG: Final = 0.2
"""Seconds that a block gets while Hypothesis looks for a shorter history that hangs, too."""

READS_MEANWHILE: Final = 2
"""How often readers look while blocks overlap."""

StoreT = TypeVar("StoreT")


@dataclass(kw_only=True)
class Exploration:
    """What a run of many histories has tried so far."""

    patience: float
    """Seconds after which a block counts as hanging."""

    histories: int = 0
    blocks: int = 0
    steps: int = 0
    refusals: int = 0
    states: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        return (
            f"{self.histories} histories, {self.blocks} blocks, {self.steps} steps ({self.refusals} refused), "
            f"{len(self.states)} different states"
        )


class Histories(RuleBasedStateMachine, Generic[StoreT, WorkT, BookT]):
    """Random blocks over a fresh store. A subclass has the rules, and says how its store is written and compared."""

    store: StoreT

    def __init__(
        self, open_store: Callable[[], AbstractAsyncContextManager[StoreT]], book: BookT, exploration: Exploration
    ) -> None:
        super().__init__()
        self.book = book
        self.exploration = exploration
        self._open_store = open_store
        self._loop = asyncio.Runner()
        self._stack = AsyncExitStack()

    # What a subclass says

    async def fill(self) -> None:
        """Store what is there from the start."""
        raise NotImplementedError

    def write(self, row_id: int) -> AbstractAsyncContextManager[WorkT]:
        """A writing block of this owner or user."""
        raise NotImplementedError

    async def compare(self, book: BookT) -> None:
        """See that the store holds what the book says, and nothing else."""
        raise NotImplementedError

    # What is the same for every store

    @initialize()
    def open_a_store(self) -> None:
        """Something is there from the start."""
        self.exploration.histories += 1
        self.run(self._open())
        self.run(self.fill())

    def teardown(self) -> None:
        """Close the store."""
        with self._loop:
            self.run(self._stack.aclose())

    @invariant()
    def the_store_holds_what_the_book_says(self) -> None:
        """Everything that was kept is there, and nothing else."""
        self.exploration.states.add(self.book.state())
        self.run(self.compare(self.book))

    def run(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run this in the loop of the history."""
        try:
            self._loop.run(asyncio.wait_for(work, self.exploration.patience))
        except TimeoutError as hang:
            self.exploration.patience = min(self.exploration.patience, PATIENCE_AFTER_A_HANG)
            raise AssertionError("a block hangs") from hang

    async def keep(self, row_id: int, steps: Sequence[Step[WorkT, BookT]]) -> None:
        """A block that is left normally keeps everything, unless one of its steps is refused."""
        attempt, book = Attempt(), deepcopy(self.book)
        try:
            await self._attempt(attempt, row_id, book, steps)
        except TradingAgentsError:
            if not attempt.refused:
                raise
        else:
            self.book = book

    async def fail(self, row_id: int, steps: Sequence[Step[WorkT, BookT]]) -> None:
        """A block that is left with an exception keeps nothing."""
        attempt = Attempt()
        try:
            await self._attempt(attempt, row_id, deepcopy(self.book), steps, ending=Ending.FAILING)
        except LeftOnPurpose:
            return
        except TradingAgentsError:
            if not attempt.refused:
                raise
        else:
            raise AssertionError("the exception that left a block did not come out of it")

    async def cancel(self, row_id: int, steps: Sequence[Step[WorkT, BookT]], cut: Cut) -> None:
        """A block whose caller is cancelled keeps everything or nothing."""
        attempt, book = Attempt(), deepcopy(self.book)
        caller = asyncio.ensure_future(self._attempt(attempt, row_id, book, steps, cut=cut))
        try:
            await asyncio.wait({caller})
        finally:
            caller.cancel()
        if caller.cancelled():
            # Cancelled in a step, nothing may be there. Cancelled at its end, the block may have been kept or not.
            if attempt.at_its_end and await self.holds(book):
                self.book = book
        elif not (caller.exception() and attempt.refused):
            caller.result()
            self.book = book

    async def overlap(
        self,
        overlap: Overlap[BookT],
        blocks: Sequence[tuple[int, Overlapping[WorkT, BookT]]],
        *beside: Coroutine[Any, Any, None],
    ) -> None:
        """Blocks of the owners or users with these ids, and what else is done beside them, all at once."""
        tasks = [asyncio.ensure_future(self._attempt_overlapping(overlap, row_id, block)) for row_id, block in blocks]
        tasks += [asyncio.ensure_future(each) for each in beside]
        try:
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
        for error in [task.exception() for task in tasks if not task.cancelled()]:
            if error is not None:
                raise error

    async def holds(self, book: BookT) -> bool:
        """Whether the store holds what this book says."""
        try:
            await self.compare(book)
        except AssertionError:
            return False
        return True

    async def _open(self) -> None:
        self.store = await self._stack.enter_async_context(self._open_store())

    async def _attempt(
        self,
        attempt: Attempt,
        row_id: int,
        book: BookT,
        steps: Sequence[Step[WorkT, BookT]],
        *,
        ending: Ending = Ending.KEPT,
        cut: Cut | None = None,
    ) -> None:
        self.exploration.blocks += 1
        if cut is not None:
            cut.cancel_if_due(0, len(steps))
        async with self.write(row_id) as work:
            block = Block(row_id, work, book)
            for number, step in enumerate(steps, 1):
                if cut is not None:
                    cut.cancel_if_due(number, len(steps))
                # So that a caller can be cancelled between the steps of a store that never waits.
                await asyncio.sleep(0)
                await self._take(step, block, attempt)
            if cut is not None:
                cut.cancel_if_due(len(steps) + 1, len(steps))
            attempt.at_its_end = True
            if ending is Ending.FAILING:
                raise LeftOnPurpose

    async def _attempt_overlapping(
        self, overlap: Overlap[BookT], row_id: int, overlapping: Overlapping[WorkT, BookT]
    ) -> None:
        self.exploration.blocks += 1
        attempt = Attempt()
        if overlapping.cancelled_after_turns is not None:
            cancel_later(asyncio.current_task(), overlapping.cancelled_after_turns, attempt)
        try:
            async with self.write(row_id) as work:
                with overlap.alone_with(row_id) as alone:
                    block = Block(row_id, work, deepcopy(self.book))
                    for step in overlapping.steps:
                        # Others get a turn between any two steps: nothing but the row keeps them apart.
                        await asyncio.sleep(0)
                        if step.reasons(block):
                            # A refusal may undo the block, and free the row, before we hear of it.
                            alone.close()
                        await self._take(step, block, attempt)
                    if overlapping.ending is Ending.FAILING:
                        raise LeftOnPurpose
                    attempt.at_its_end = True
                    overlap.note(block)
        except LeftOnPurpose:
            return
        except TradingAgentsError:
            if not attempt.refused:
                raise

    async def _take(self, step: Step[WorkT, BookT], block: Block[WorkT, BookT], attempt: Attempt) -> None:
        self.exploration.steps += 1
        reasons = step.reasons(block)
        try:
            answer = await step.ask(block)
        except TradingAgentsError as refusal:
            if not any(says(refusal, reason) for reason in reasons):
                message = f"{step} was refused with {refusal!r}, and should have been with {reasons or 'nothing'}"
                raise AssertionError(message) from refusal
            attempt.refused = True
            self.exploration.refusals += 1
            raise
        assert not reasons, f"{step} was not refused, and should have been with {reasons!r}"
        step.note(block, answer)
