"""The state machine that runs random blocks on a fresh store."""

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
    Cut,
    Ending,
    LeftOnPurpose,
    ModelT,
    Overlap,
    Overlapping,
    Step,
    WorkT,
    cancel_later,
)
from tradingagents_core.errors import TradingAgentsError

PATIENCE_AFTER_A_HANG: Final = 0.2
"""Seconds after which a block counts as hanging while Hypothesis shrinks a history that hangs."""

READS_MEANWHILE: Final = 2
"""How often readers read while blocks overlap."""

StoreT = TypeVar("StoreT")


@dataclass(kw_only=True)
class Exploration:
    """The statistics of a run of many histories."""

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


class Histories(RuleBasedStateMachine, Generic[StoreT, WorkT, ModelT]):
    """Random blocks on a fresh store. A subclass defines the rules, and how its store is written and compared."""

    store: StoreT

    def __init__(
        self, open_store: Callable[[], AbstractAsyncContextManager[StoreT]], model: ModelT, exploration: Exploration
    ) -> None:
        super().__init__()
        self.model = model
        self.exploration = exploration
        self._open_store = open_store
        self._loop = asyncio.Runner()
        self._stack = AsyncExitStack()

    # Defined by a subclass

    async def fill(self) -> None:
        """Store the first data."""
        raise NotImplementedError

    def write(self, row_id: int) -> AbstractAsyncContextManager[WorkT]:
        """A writing block of this owner or user."""
        raise NotImplementedError

    async def compare(self, model: ModelT) -> None:
        """Check that the store contains the data of the model, and nothing else."""
        raise NotImplementedError

    # The same for every store

    @initialize()
    def open_a_store(self) -> None:
        """Open a store with the first data."""
        self.exploration.histories += 1
        self.run(self._open())
        self.run(self.fill())

    def teardown(self) -> None:
        """Close the store."""
        with self._loop:
            self.run(self._stack.aclose())

    @invariant()
    def the_store_matches_the_model(self) -> None:
        """Every committed change is in the store, and nothing else."""
        self.exploration.states.add(self.model.state())
        self.run(self.compare(self.model))

    def run(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine in the event loop of the history."""
        try:
            self._loop.run(asyncio.wait_for(work, self.exploration.patience))
        except TimeoutError as hang:
            self.exploration.patience = min(self.exploration.patience, PATIENCE_AFTER_A_HANG)
            raise AssertionError("a block hangs") from hang

    async def keep(self, row_id: int, steps: Sequence[Step[WorkT, ModelT]]) -> None:
        """A normal end commits a block, unless one of its steps is refused."""
        attempt, model = Attempt(), deepcopy(self.model)
        try:
            await self._attempt(attempt, row_id, model, steps)
        except TradingAgentsError:
            if not attempt.refused:
                raise
        else:
            self.model = model

    async def fail(self, row_id: int, steps: Sequence[Step[WorkT, ModelT]]) -> None:
        """An exception rolls a block back."""
        attempt = Attempt()
        try:
            await self._attempt(attempt, row_id, deepcopy(self.model), steps, ending=Ending.FAILING)
        except LeftOnPurpose:
            return
        except TradingAgentsError:
            if not attempt.refused:
                raise
        else:
            raise AssertionError("the exception that left a block did not come out of it")

    async def cancel(self, row_id: int, steps: Sequence[Step[WorkT, ModelT]], cut: Cut) -> None:
        """A block whose caller is cancelled commits everything or nothing."""
        attempt, model = Attempt(), deepcopy(self.model)
        caller = asyncio.ensure_future(self._attempt(attempt, row_id, model, steps, cut=cut))
        try:
            await asyncio.wait({caller})
        finally:
            caller.cancel()
        if caller.cancelled():
            # A block cancelled in a step is rolled back. A block cancelled at its end may be committed or not.
            if attempt.at_its_end and await self.matches(model):
                self.model = model
        elif not (caller.exception() and attempt.refused):
            caller.result()
            self.model = model

    async def overlap(
        self,
        overlap: Overlap[ModelT],
        blocks: Sequence[tuple[int, Overlapping[WorkT, ModelT]]],
        *beside: Coroutine[Any, Any, None],
    ) -> None:
        """Run blocks of the owners or users with these ids, and other coroutines, all at once."""
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

    async def matches(self, model: ModelT) -> bool:
        """Whether the store contains the data of this model."""
        try:
            await self.compare(model)
        except AssertionError:
            return False
        return True

    async def _open(self) -> None:
        self.store = await self._stack.enter_async_context(self._open_store())

    async def _attempt(
        self,
        attempt: Attempt,
        row_id: int,
        model: ModelT,
        steps: Sequence[Step[WorkT, ModelT]],
        *,
        ending: Ending = Ending.KEPT,
        cut: Cut | None = None,
    ) -> None:
        self.exploration.blocks += 1
        if cut is not None:
            cut.cancel_if_due(0, len(steps))
        async with self.write(row_id) as work:
            block = Block(row_id, work, model)
            for number, step in enumerate(steps, 1):
                if cut is not None:
                    cut.cancel_if_due(number, len(steps))
                # So that a caller can be cancelled between steps even if the store never waits.
                await asyncio.sleep(0)
                await self._take(step, block, attempt)
            if cut is not None:
                cut.cancel_if_due(len(steps) + 1, len(steps))
            attempt.at_its_end = True
            if ending is Ending.FAILING:
                raise LeftOnPurpose

    async def _attempt_overlapping(
        self, overlap: Overlap[ModelT], row_id: int, overlapping: Overlapping[WorkT, ModelT]
    ) -> None:
        self.exploration.blocks += 1
        attempt = Attempt()
        if overlapping.cancelled_after_turns is not None:
            cancel_later(asyncio.current_task(), overlapping.cancelled_after_turns, attempt)
        try:
            async with self.write(row_id) as work:
                with overlap.alone_with(row_id) as alone:
                    block = Block(row_id, work, deepcopy(self.model))
                    for step in overlapping.steps:
                        # Other blocks run between any two steps: only the lock of the row separates them.
                        await asyncio.sleep(0)
                        if step.reasons(block):
                            # The store may roll back and unlock the row before the refusal arrives here.
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

    async def _take(self, step: Step[WorkT, ModelT], block: Block[WorkT, ModelT], attempt: Attempt) -> None:
        self.exploration.steps += 1
        reasons = step.reasons(block)
        try:
            answer = await step.ask(block)
        except TradingAgentsError as refusal:
            if not any(says(refusal, reason) for reason in reasons):
                message = f"{step} was refused with {refusal!r}, expected {reasons or 'no refusal'}"
                raise AssertionError(message) from refusal
            attempt.refused = True
            self.exploration.refusals += 1
            raise
        assert not reasons, f"{step} was not refused, expected {reasons!r}"
        step.note(block, answer)
