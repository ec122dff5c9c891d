"""Blocks of steps, their endings, and overlapping blocks."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Generic, Self, TypeVar

from hypothesis import strategies as st

from tradingagents_conformance.examples import FOREIGN_IDS
from tradingagents_core.domain.parameters import INTEGER_MAX
from tradingagents_core.errors import TradingAgentsError


class Model(ABC):
    """The data that a store should contain, and every id that the store has used."""

    @abstractmethod
    def seen(self, row_id: int) -> object:
        """The data of this owner or user for a reader, in a form that can be compared."""

    @abstractmethod
    def take_over(self, later: Self, row_id: int) -> None:
        """Take over the changes of a block of this owner or user from a later copy of this model."""

    @abstractmethod
    def state(self) -> str:
        """A text that is equal for two models with the same data, whatever ids the stores chose."""


WorkT = TypeVar("WorkT")
ModelT = TypeVar("ModelT", bound=Model)


@dataclass(frozen=True)
class Block(Generic[WorkT, ModelT]):
    """A writing block that is open."""

    row_id: int
    """The owner or user whose row the block has locked."""
    work: WorkT
    model: ModelT
    """The model as it will be after the commit of the block."""


class Step(ABC, Generic[WorkT, ModelT]):
    """An operation in a block."""

    @abstractmethod
    def reasons(self, block: Block[WorkT, ModelT]) -> Sequence[TradingAgentsError]:
        """The errors with which the block has to refuse the step; any of them is right."""

    @abstractmethod
    async def ask(self, block: Block[WorkT, ModelT]) -> Any:
        """Run the step; its result goes to `note`."""

    @abstractmethod
    def note(self, block: Block[WorkT, ModelT], answer: Any) -> None:
        """Check the result, and make the change in the model."""


class Ending(Enum):
    """The ending of a block that is not cancelled."""

    KEPT = "kept"
    FAILING = "failing"


class LeftOnPurpose(Exception):
    """The exception that ends a failing block."""


@dataclass(frozen=True)
class Cut:
    """When the caller of a block is cancelled: `turns` turns of the event loop after a point in the block.

    `after` is the point: 0 before the block is opened, 1 before its first step, and so on. One more than the number of
    steps is just before the end; a greater number starts at 0 again.
    """

    after: int
    turns: int

    def cancel_if_due(self, reached: int, steps: int) -> None:
        """Cancel the current task after the turns, if its block with this many steps has reached the point."""
        if self.after % (steps + 2) == reached:
            cancel_later(asyncio.current_task(), self.turns)


TURNS: Final = st.integers(0, 3) | st.integers(0, 40)
CUTS: Final = st.builds(Cut, after=st.integers(0, 6), turns=TURNS)


@dataclass(frozen=True)
class Overlapping(Generic[WorkT, ModelT]):
    """A block that overlaps others."""

    row: int
    """A pick among the owners or users."""
    steps: list[Step[WorkT, ModelT]]
    ending: Ending
    cancelled_after_turns: int | None


def overlapping(
    rows: st.SearchStrategy[int], steps: st.SearchStrategy[Step[WorkT, ModelT]]
) -> st.SearchStrategy[list[Overlapping[WorkT, ModelT]]]:
    """Some blocks of these owners or users that overlap."""
    blocks: st.SearchStrategy[Overlapping[WorkT, ModelT]] = st.builds(
        Overlapping,
        row=rows,
        steps=st.lists(steps, min_size=1, max_size=3),
        ending=st.sampled_from((Ending.KEPT, Ending.KEPT, Ending.FAILING)),
        cancelled_after_turns=st.none() | st.none() | TURNS,
    )
    return st.lists(blocks, min_size=2, max_size=4)


class Attempt:
    """The progress of a block."""

    def __init__(self) -> None:
        self.refused = False
        self.at_its_end = False


class Overlap(Generic[ModelT]):
    """Overlapping blocks, and the data that readers may see meanwhile."""

    def __init__(self, model: ModelT, row_ids: Iterable[int]) -> None:
        self._book = model
        self._held: set[int] = set()
        self._seen = {row_id: [model.seen(row_id)] for row_id in row_ids}

    @contextmanager
    def alone_with(self, row_id: int) -> Iterator[ExitStack]:
        """A block in which no other block may lock the row. Closing the yielded stack ends this earlier."""
        assert row_id not in self._held, "two blocks have locked one row at the same time"
        self._held.add(row_id)
        with ExitStack() as alone:
            alone.callback(self._held.remove, row_id)
            yield alone

    def note(self, block: Block[WorkT, ModelT]) -> None:
        """Note the changes that a block is about to commit. The next block of the row builds on them."""
        self._book.take_over(block.model, block.row_id)
        self._seen[block.row_id].append(self._book.seen(block.row_id))

    def seen(self, row_id: int) -> Sequence[object]:
        """All that readers may have seen of this owner or user since before the first block."""
        return self._seen[row_id]


def cancel_later(task: "asyncio.Task[Any] | None", turns: int, attempt: Attempt | None = None) -> None:
    """Cancel a task after some turns of the event loop, unless it has ended or its attempt has come to its end."""
    if task is None or task.done() or (attempt is not None and attempt.at_its_end):
        return
    if turns:
        asyncio.get_running_loop().call_soon(cancel_later, task, turns - 1, attempt)
    else:
        task.cancel()


def picked(pick: int, given: Sequence[int]) -> int:
    """One of these ids; for a negative pick, an id that was never used."""
    return given[pick % len(given)] if given and pick >= 0 else FOREIGN_IDS[pick % len(FOREIGN_IDS)]


def possible(number: int) -> int:
    """The id, or for an integer that no strategy or user can have as its id, the greatest id, which was never used."""
    return number if 1 <= number <= INTEGER_MAX else INTEGER_MAX
