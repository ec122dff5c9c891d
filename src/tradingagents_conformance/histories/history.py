"""A random history: blocks that run on a fresh store, and the data that the store should contain."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from copy import deepcopy
from dataclasses import dataclass
from time import monotonic
from typing import Any, ClassVar, Final, Generic, TypeVar

from hypothesis import strategies as st

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
    after_turns,
)
from tradingagents_conformance.histories.exploration import Exploration
from tradingagents_conformance.histories.promises import BlockPromises, Promise, PromiseBroken, keeping
from tradingagents_core.errors import BlockFailed, NotFound, StoreUnavailable, TradingAgentsError

READS_MEANWHILE: Final = 2
"""How often readers read while blocks overlap."""

StoreT = TypeVar("StoreT")


@dataclass(frozen=True)
class Operation:
    """An operation of a history: a method of the history, and its arguments."""

    method: Callable[..., Coroutine[Any, Any, None]]
    arguments: Mapping[str, Any]


def operation(
    method: Callable[..., Coroutine[Any, Any, None]], **arguments: st.SearchStrategy[Any]
) -> st.SearchStrategy[Operation]:
    """Operations that call this method of a history with these arguments."""
    return st.builds(Operation, st.just(method), st.fixed_dictionaries(arguments))


class History(ABC, Generic[StoreT, WorkT, ModelT]):
    """Blocks on a fresh store. A subclass defines the operations, and how its store is written and compared.

    `events` says what happened, a line for each step.
    """

    promises: ClassVar[BlockPromises]
    """The sentences of the store's port."""

    store: StoreT

    def __init__(
        self, open_store: Callable[[], AbstractAsyncContextManager[StoreT]], model: ModelT, exploration: Exploration
    ) -> None:
        self.model = model
        self.exploration = exploration
        self.events: list[str] = []
        self.promise = self.promises.committed
        """The promise that the store breaks if the present operation fails."""
        self._open_store = open_store
        self._stack = AsyncExitStack()
        self._loop = asyncio.new_event_loop()
        self._blocks = 0
        self._hangs = False
        self.cancelled = False
        """Whether the history has cancelled a caller."""

    # Defined by a subclass

    @abstractmethod
    async def fill(self) -> None:
        """Store the first data."""

    @abstractmethod
    def write(self, row_id: int) -> AbstractAsyncContextManager[WorkT]:
        """A writing block of this owner or user."""

    @abstractmethod
    async def compare(self, model: ModelT) -> None:
        """Check that the store contains the data of the model, and nothing else."""

    # The same for every store

    def run(self, operations: Sequence[Operation]) -> None:
        """Run these operations on a fresh store.

        Raises:
            PromiseBroken: an operation failed.
        """
        self.exploration.histories += 1
        try:
            self._wait_for(self._open())
            for each in operations:
                self._wait_for(each.method(self, **each.arguments))
            self._wait_for(self._stack.aclose())
        except BaseException:
            with suppress(Exception):
                self._wait_for(self._stack.aclose())
            raise
        finally:
            self._end_tasks()
            self._loop.close()

    async def check(self, promise: Promise) -> None:
        """Check that every committed change is in the store, and nothing else; otherwise the promise is broken."""
        self.promise = promise
        self.exploration.states.add(self.model.state())
        await self.compare(self.model)

    async def keep(self, row_id: int, steps: Sequence[Step[WorkT, ModelT]]) -> None:
        """A normal end commits a block, unless one of its steps is refused."""
        self.promise = self.promises.committed
        attempt, model = self._attempt(row_id), deepcopy(self.model)
        try:
            await self._run_block(attempt, model, steps)
        except TradingAgentsError:
            if not attempt.refused:
                raise
            await self.check(self.promises.rolled_back)
        else:
            self.model = model
            await self.check(self.promises.committed)

    async def fail(self, row_id: int, steps: Sequence[Step[WorkT, ModelT]]) -> None:
        """An exception rolls a block back."""
        self.promise = self.promises.rolled_back
        attempt = self._attempt(row_id)
        try:
            await self._run_block(attempt, deepcopy(self.model), steps, ending=Ending.FAILING)
        except LeftOnPurpose:
            pass
        except TradingAgentsError:
            if not attempt.refused:
                raise
        else:
            raise AssertionError("the exception that left a block did not come out of it")
        await self.check(self.promises.rolled_back)

    async def catch(self, row_id: int, steps: Sequence[Step[WorkT, ModelT]]) -> None:
        """A block that catches the error of a refused change keeps nothing. An error "not found" may be caught."""
        self.promise = self.promises.caught
        attempt, model = self._attempt(row_id), deepcopy(self.model)
        try:
            await self._run_block(attempt, model, steps, ending=Ending.CATCHING)
        except BlockFailed:
            assert attempt.caught, "BlockFailed, but the block has caught no error of a refused change"
        else:
            assert not attempt.caught, "the block has caught the error of a refused change, and was not refused"
            self.model = model
        await self.check(self.promises.caught)

    async def cancel(self, row_id: int, steps: Sequence[Step[WorkT, ModelT]], cut: Cut) -> None:
        """A block whose caller is cancelled commits everything or nothing."""
        self.promise = self.promises.whole_or_undone
        attempt, model = self._attempt(row_id), deepcopy(self.model)
        caller = asyncio.ensure_future(self._run_block(attempt, model, steps, cut=cut))
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
        await self.check(self.promises.whole_or_undone)

    async def overlap(
        self,
        overlap: Overlap[ModelT],
        blocks: Sequence[tuple[int, Overlapping[WorkT, ModelT]]],
        *beside: Coroutine[Any, Any, None],
    ) -> None:
        """Run blocks of the owners or users with these ids, and other coroutines, all at once."""
        self.promise = self.promises.locked
        tasks = [
            asyncio.ensure_future(self._run_overlapping(overlap, self._attempt(row_id), block))
            for row_id, block in blocks
        ]
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

    def _wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait until the work has ended, but no longer than the patience. Work that hangs is left behind."""
        began, patience = monotonic(), self.exploration.patience
        task = self._loop.create_task(work)
        self._loop.run_until_complete(asyncio.wait({task}, timeout=patience))
        if not task.done():
            self._hangs = True
            self._loop.run_until_complete(self._cancel({task}))
            self.exploration.note_hang()
            hang = TimeoutError(f"the last operation has not ended after {patience:g} seconds")
            raise PromiseBroken(self._promise_of_a_hang()) from hang
        try:
            task.result()
        except PromiseBroken:
            raise
        except StoreUnavailable as error:
            # No technology has failed: the store waited for something until its own time limit.
            self.exploration.note_hang()
            raise PromiseBroken(self._promise_of_a_hang()) from error
        except (Exception, asyncio.CancelledError) as error:
            raise PromiseBroken(self.promise) from error
        self.exploration.slowest = max(self.exploration.slowest, monotonic() - began)

    def _promise_of_a_hang(self) -> Promise:
        return self.promises.whole_or_undone if self.cancelled else self.promises.locked

    async def _cancel(self, tasks: "set[asyncio.Task[Any]]") -> None:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=self.exploration.a_while)

    def _end_tasks(self) -> None:
        """Cancel the tasks that are left. Tasks and threads that do not end are left behind."""
        left = asyncio.all_tasks(self._loop)
        if left:
            # Otherwise the loop would log each task that is left behind.
            self._loop.set_exception_handler(lambda *_: None)
            self._loop.run_until_complete(self._cancel(left))
        if not self._hangs:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())

    async def _open(self) -> None:
        self.store = await self._stack.enter_async_context(self._open_store())
        await self.fill()
        await self.check(self.promises.committed)

    def _attempt(self, row_id: int) -> Attempt:
        self._blocks += 1
        self.exploration.blocks += 1
        return Attempt(self.events, self._blocks, row_id)

    async def _run_block(
        self,
        attempt: Attempt,
        model: ModelT,
        steps: Sequence[Step[WorkT, ModelT]],
        *,
        ending: Ending = Ending.KEPT,
        cut: Cut | None = None,
    ) -> None:
        def cancel_if_due(reached: int) -> None:
            if cut is not None and cut.is_due(reached, len(steps)):
                self._cancel_later(attempt, cut.turns)

        with attempt.told():
            cancel_if_due(0)
            async with self.write(attempt.row_id) as work:
                block = Block(attempt.row_id, work, model)
                for number, step in enumerate(steps, 1):
                    cancel_if_due(number)
                    # So that a caller can be cancelled between steps even if the store never waits.
                    await asyncio.sleep(0)
                    try:
                        await self._take(step, block, attempt)
                    except TradingAgentsError as refusal:
                        if ending is not Ending.CATCHING or isinstance(refusal, StoreUnavailable):
                            raise
                        attempt.tell(f"catches {refusal!r}")
                        if not isinstance(refusal, NotFound):
                            attempt.caught = True
                            break
                cancel_if_due(len(steps) + 1)
                attempt.at_its_end = True
                if ending is Ending.FAILING:
                    raise LeftOnPurpose

    async def _run_overlapping(
        self, overlap: Overlap[ModelT], attempt: Attempt, overlapping: Overlapping[WorkT, ModelT]
    ) -> None:
        if overlapping.cancelled_after_turns is not None:
            self._cancel_later(attempt, overlapping.cancelled_after_turns, before_its_end=True)
        try:
            with attempt.told():
                async with self.write(attempt.row_id) as work:
                    with keeping(self.promises.locked), attempt.alone as alone:
                        if not attempt.cancelled:
                            alone.enter_context(overlap.alone_with(attempt.row_id))
                        block = Block(attempt.row_id, work, deepcopy(self.model))
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

    def _cancel_later(self, attempt: Attempt, turns: int, *, before_its_end: bool = False) -> None:
        """Cancel the current task, which runs this block, after some turns of the event loop."""
        task = asyncio.current_task()
        assert task is not None

        def cancel() -> None:
            if not task.done() and not (before_its_end and attempt.at_its_end):
                attempt.cancel(task)

        self.cancelled = True
        after_turns(turns, cancel)

    async def _take(self, step: Step[WorkT, ModelT], block: Block[WorkT, ModelT], attempt: Attempt) -> None:
        self.exploration.steps += 1
        attempt.tell(step.text(block))
        reasons = step.reasons(block)
        try:
            answer = await step.ask(block)
        except TradingAgentsError as refusal:
            if isinstance(refusal, StoreUnavailable):
                raise
            if not any(says(refusal, reason) for reason in reasons):
                problem = AssertionError(f"refused with {refusal!r}, expected {list(reasons) or 'no refusal'}")
                problem.__cause__ = refusal
                raise PromiseBroken(step.promise(*reasons, refusal)) from problem
            attempt.refused = True
            self.exploration.refusals += 1
            raise
        except Exception as error:
            raise PromiseBroken(step.promise(*reasons)) from error
        with keeping(step.promise(*reasons)):
            assert not reasons, f"not refused, expected {list(reasons)}"
            step.note(block, answer)
