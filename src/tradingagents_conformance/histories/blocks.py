"""Blocks of steps, their endings, and overlapping blocks."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Final, Generic, Self, TypeVar

from hypothesis import strategies as st

from tradingagents_conformance.examples import FOREIGN_IDS
from tradingagents_conformance.histories.promises import Promise, PromiseBroken, promise
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

    port: ClassVar[type[Any]]
    method: ClassVar[str]
    """The name of the method of the port."""

    @abstractmethod
    def text(self, block: Block[WorkT, ModelT]) -> str:
        """The call of the method, for the report of a history that fails."""

    @abstractmethod
    def reasons(self, block: Block[WorkT, ModelT]) -> Sequence[TradingAgentsError]:
        """The errors with which the block has to refuse the step; any of them is right."""

    @abstractmethod
    async def ask(self, block: Block[WorkT, ModelT]) -> Any:
        """Run the step; its result goes to `note`."""

    @abstractmethod
    def note(self, block: Block[WorkT, ModelT], answer: Any) -> None:
        """Check the result, and make the change in the model."""

    def promise(self, *errors: TradingAgentsError) -> Promise:
        """The sentence about one of these errors in the docstring of the method, or the first sentence."""
        method = getattr(self.port, self.method)
        for error in errors:
            with suppress(LookupError):
                return promise(method, f"{type(error).__name__}:")
        return promise(method)


class Ending(Enum):
    """The ending of a block that is not cancelled."""

    KEPT = "kept"
    FAILING = "failing"
    CATCHING = "catching"
    """A normal end, and each refused step is caught."""


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

    def is_due(self, reached: int, steps: int) -> bool:
        """Whether a block with this many steps that has reached this point is at the point."""
        return self.after % (steps + 2) == reached


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

    def __init__(self, events: list[str], number: int, row_id: int) -> None:
        self.row_id = row_id
        self.refused = False
        self.caught = False
        """Whether the block has caught the error of a refused change."""
        self.cancelled = False
        self.at_its_end = False
        self.alone = ExitStack()
        """Ends when another block may lock the row."""
        self._events = events
        self._number = number

    def tell(self, event: str) -> None:
        """Add an event of this block to the events of the history."""
        self._events.append(f"block {self._number}: {event}")

    @contextmanager
    def told(self) -> Iterator[None]:
        """A context that adds the beginning and the end of this block to the events."""
        self.tell(f"write({self.row_id})")
        try:
            yield
        except asyncio.CancelledError:
            self.tell("is cancelled")
            raise
        except PromiseBroken:
            raise
        except BaseException as error:
            self.tell(f"ends with {error!r}")
            raise
        self.tell("ends normally")

    def cancel(self, task: "asyncio.Task[Any]") -> None:
        """Cancel the task of this block."""
        self.tell("the caller cancels")
        self.cancelled = True
        # The store may roll back and unlock the row before the cancellation arrives in the block.
        self.alone.close()
        task.cancel()


class Overlap(Generic[ModelT]):
    """Overlapping blocks, and the data that readers may see meanwhile."""

    def __init__(self, model: ModelT, row_ids: Iterable[int]) -> None:
        self._book = model
        self._held: set[int] = set()
        self._seen = {row_id: [model.seen(row_id)] for row_id in row_ids}

    @contextmanager
    def alone_with(self, row_id: int) -> Iterator[None]:
        """A block in which no other block may lock the row."""
        assert row_id not in self._held, "two blocks have locked one row at the same time"
        self._held.add(row_id)
        try:
            yield
        finally:
            self._held.remove(row_id)

    def note(self, block: Block[WorkT, ModelT]) -> None:
        """Note the changes that a block is about to commit. The next block of the row builds on them."""
        self._book.take_over(block.model, block.row_id)
        self._seen[block.row_id].append(self._book.seen(block.row_id))

    def seen(self, row_id: int) -> Sequence[object]:
        """All that readers may have seen of this owner or user since before the first block."""
        return self._seen[row_id]


def after_turns(turns: int, call: Callable[[], object]) -> None:
    """Call a function after some turns of the event loop; before the next turn for 0."""
    if turns:
        asyncio.get_running_loop().call_soon(after_turns, turns - 1, call)
    else:
        call()


def picked(pick: int, given: Sequence[int]) -> int:
    """One of these ids; for a negative pick, an id that was never used."""
    return given[pick % len(given)] if given and pick >= 0 else FOREIGN_IDS[pick % len(FOREIGN_IDS)]


def possible(number: int) -> int:
    """The id, or for an integer that no strategy or user can have as its id, the greatest id, which was never used."""
    return number if 1 <= number <= INTEGER_MAX else INTEGER_MAX
