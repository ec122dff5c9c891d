"""Blocks of steps, the ways in which they end, and what they do while they overlap."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Generic, Self, TypeVar

from hypothesis import strategies as st

from tradingagents_conformance.examples import FOREIGN_IDS
from tradingagents_core.errors import TradingAgentsError


class Book(ABC):
    """What a store should hold, and every id that it has given."""

    @abstractmethod
    def seen(self, row_id: int) -> object:
        """What a reader finds of this owner or user, in a form that can be compared."""

    @abstractmethod
    def take_over(self, later: Self, row_id: int) -> None:
        """Take over what a block of this owner or user has changed in a later copy of this book."""

    @abstractmethod
    def state(self) -> str:
        """A text that two books share when they hold the same, whatever ids their stores gave."""


WorkT = TypeVar("WorkT")
BookT = TypeVar("BookT", bound=Book)


@dataclass(frozen=True)
class Block(Generic[WorkT, BookT]):
    """A writing block that is open."""

    row_id: int
    """The owner or user whose row the block has taken."""
    work: WorkT
    book: BookT
    """The book as it will be once the block is kept."""


class Step(ABC, Generic[WorkT, BookT]):
    """Something asked of a block."""

    @abstractmethod
    def reasons(self, block: Block[WorkT, BookT]) -> Sequence[TradingAgentsError]:
        """Why the block has to refuse it; where there are several reasons, any of them will do."""

    @abstractmethod
    async def ask(self, block: Block[WorkT, BookT]) -> Any:
        """Ask for it; the answer goes to `note`."""

    @abstractmethod
    def note(self, block: Block[WorkT, BookT], answer: Any) -> None:
        """Check the answer, and note in the book what has changed."""


class Ending(Enum):
    """How a block ends that is not cancelled."""

    KEPT = "kept"
    FAILING = "failing"


class LeftOnPurpose(Exception):
    """Leaves a block that is failing."""


@dataclass(frozen=True)
class Cut:
    """When the caller of a block is cancelled: some turns of the event loop after the block has come so far.

    0 is before it is opened, 1 before its first step, and so on; one more than its steps is when it is about to end. A
    greater number begins anew at 0.
    """

    after: int
    turns: int

    def cancel_if_due(self, reached: int, steps: int) -> None:
        """Cancel the current task in due time, if its block of so many steps has come so far."""
        if self.after % (steps + 2) == reached:
            cancel_later(asyncio.current_task(), self.turns)


TURNS: Final = st.integers(0, 3) | st.integers(0, 40)
CUTS: Final = st.builds(Cut, after=st.integers(0, 6), turns=TURNS)


@dataclass(frozen=True)
class Overlapping(Generic[WorkT, BookT]):
    """A block that others overlap."""

    row: int
    """A pick among the owners or users."""
    steps: list[Step[WorkT, BookT]]
    ending: Ending
    cancelled_after_turns: int | None


def overlapping(
    rows: st.SearchStrategy[int], steps: st.SearchStrategy[Step[WorkT, BookT]]
) -> st.SearchStrategy[list[Overlapping[WorkT, BookT]]]:
    """Some blocks of these owners or users that overlap."""
    blocks: st.SearchStrategy[Overlapping[WorkT, BookT]] = st.builds(
        Overlapping,
        row=rows,
        steps=st.lists(steps, min_size=1, max_size=3),
        ending=st.sampled_from((Ending.KEPT, Ending.KEPT, Ending.FAILING)),
        cancelled_after_turns=st.none() | st.none() | TURNS,
    )
    return st.lists(blocks, min_size=2, max_size=4)


class Attempt:
    """How far a block has come."""

    def __init__(self) -> None:
        self.refused = False
        self.at_its_end = False


class Overlap(Generic[BookT]):
    """What blocks do while they overlap, and what readers may find meanwhile."""

    def __init__(self, book: BookT, row_ids: Iterable[int]) -> None:
        self._book = book
        self._held: set[int] = set()
        self._seen = {row_id: [book.seen(row_id)] for row_id in row_ids}

    @contextmanager
    def alone_with(self, row_id: int) -> Iterator[ExitStack]:
        """A block within which no other block may take the row, unless what it gives is closed before."""
        assert row_id not in self._held, "two blocks have taken one row at the same time"
        self._held.add(row_id)
        with ExitStack() as alone:
            alone.callback(self._held.remove, row_id)
            yield alone

    def note(self, block: Block[WorkT, BookT]) -> None:
        """Note what a block is about to keep; the next one of its row builds on it."""
        self._book.take_over(block.book, block.row_id)
        self._seen[block.row_id].append(self._book.seen(block.row_id))

    def seen(self, row_id: int) -> Sequence[object]:
        """What readers may have found of this owner or user, from before the first block on."""
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
    """One of the ids that were given, or for a negative pick one that never was."""
    return given[pick % len(given)] if given and pick >= 0 else FOREIGN_IDS[pick % len(FOREIGN_IDS)]
