"""Random histories of owners and their strategies."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Self, TypeAlias

from hypothesis import strategies as st

from tradingagents_conformance.examples import CREATED, Row, exact, is_nearly, refused
from tradingagents_conformance.histories.blocks import (
    CUTS,
    Block,
    Cut,
    Model,
    Overlap,
    Overlapping,
    Step,
    overlapping,
    picked,
    possible,
)
from tradingagents_conformance.histories.exploration import Exploration
from tradingagents_conformance.histories.history import READS_MEANWHILE, History, operation
from tradingagents_conformance.histories.promises import BlockPromises, keeping, promise
from tradingagents_conformance.opening import OpenStrategyStore
from tradingagents_core.domain.page import Page
from tradingagents_core.domain.parameters import INTEGER_MAX, INTEGER_MIN, JsonValue, Parameters
from tradingagents_core.domain.strategies import Strategy, StrategyContent
from tradingagents_core.errors import StrategyNameTaken, StrategyNotFound, TradingAgentsError
from tradingagents_core.ports import StrategyReader, StrategyRepository, StrategyStore, StrategyView, StrategyWork

OWNERS: Final = (1009, 4, 2**40)
"""Three owners. The last one has no strategy at first."""


@dataclass
class StrategyModel(Model):
    """The strategies that a store should contain."""

    strategies: dict[int, Row] = field(default_factory=dict)
    owners: dict[int, int] = field(default_factory=dict)
    """The owner of each strategy, removed ones included."""

    def strategy_id(self, owner_id: int, pick: int) -> int:
        """The id of a strategy; for a negative pick, an id that was never used.

        The owner's strategies come first, then strategies of other owners and removed strategies.
        """
        owned = [row["id"] for row in self.owned(owner_id)]
        return picked(pick, owned + [key for key in self.owners if key not in owned])

    def find(self, owner_id: int, strategy_id: int) -> Row | None:
        """The strategy, if it belongs to this owner."""
        row = self.strategies.get(strategy_id)
        return row if row is not None and row["owner_id"] == owner_id else None

    def owned(self, owner_id: int, *, active_only: bool = False) -> list[Row]:
        """An owner's strategies in the order of their list."""
        rows = [self.strategies[key] for key in sorted(self.strategies)]
        return [row for row in rows if row["owner_id"] == owner_id and (row["is_active"] or not active_only)]

    def name_is_taken(self, owner_id: int, name: str, *, by_another_than: int | None = None) -> bool:
        """Whether the owner has a strategy with this name."""
        return any(row["name"] == name and row["id"] != by_another_than for row in self.owned(owner_id))

    def note_id(self, strategy_id: int, owner_id: int) -> None:
        """Note the id of a new strategy, which no other strategy ever had."""
        assert strategy_id not in self.owners, f"the id {strategy_id} was used before"
        self.owners[strategy_id] = owner_id

    def seen(self, row_id: int) -> list[dict[str, str]]:
        return [exact(row) for row in self.owned(row_id)]

    def take_over(self, later: Self, row_id: int) -> None:
        for strategy_id in [row["id"] for row in self.owned(row_id)]:
            del self.strategies[strategy_id]
        self.strategies |= {row["id"]: row for row in later.owned(row_id)}
        for strategy_id, owner_id in later.owners.items():
            if owner_id == row_id and self.owners.get(strategy_id) != owner_id:
                self.note_id(strategy_id, owner_id)

    def state(self) -> str:
        return repr(
            [exact(self.strategies[key] | {"id": number}) for number, key in enumerate(sorted(self.strategies))]
        )


StrategyBlock: TypeAlias = Block[StrategyWork, StrategyModel]


class StrategyStep(Step[StrategyWork, StrategyModel]):
    """An operation on the strategies of an owner."""

    port = StrategyRepository


@dataclass(frozen=True)
class ReadStrategy(StrategyStep):
    """Read a strategy of the owner, or try to read another one."""

    strategy: int

    method = "get"

    def text(self, block: StrategyBlock) -> str:
        return f"get({block.model.strategy_id(block.row_id, self.strategy)})"

    def reasons(self, block: StrategyBlock) -> Sequence[TradingAgentsError]:
        strategy_id = block.model.strategy_id(block.row_id, self.strategy)
        return [] if block.model.find(block.row_id, strategy_id) else [StrategyNotFound(strategy_id)]

    async def ask(self, block: StrategyBlock) -> Strategy:
        return await block.work.strategies.get(block.model.strategy_id(block.row_id, self.strategy))

    def note(self, block: StrategyBlock, answer: Strategy) -> None:
        assert exact(answer) == exact(block.model.strategies[block.model.strategy_id(block.row_id, self.strategy)])


@dataclass(frozen=True)
class ListStrategies(StrategyStep):
    """Read a page of the owner's strategies."""

    skip: int
    limit: int
    active_only: bool

    method = "list"

    def text(self, block: StrategyBlock) -> str:
        return f"list(skip={self.skip}, limit={self.limit}, active_only={self.active_only})"

    def reasons(self, block: StrategyBlock) -> Sequence[TradingAgentsError]:
        return []

    async def ask(self, block: StrategyBlock) -> Page[Strategy]:
        return await block.work.strategies.list(skip=self.skip, limit=self.limit, active_only=self.active_only)

    def note(self, block: StrategyBlock, answer: Page[Strategy]) -> None:
        listed = block.model.owned(block.row_id, active_only=self.active_only)
        assert [exact(item) for item in answer.items] == [exact(row) for row in listed[self.skip :][: self.limit]]
        assert (answer.total, answer.skip, answer.limit) == (len(listed), self.skip, self.limit)


@dataclass(frozen=True)
class AddStrategy(StrategyStep):
    """Store a new strategy."""

    content: Row
    at: datetime

    method = "add"

    def text(self, block: StrategyBlock) -> str:
        return f"add({_arguments(self.content)}, at={self.at.isoformat()})"

    def reasons(self, block: StrategyBlock) -> Sequence[TradingAgentsError]:
        name = self.content["name"]
        return [StrategyNameTaken(name)] if block.model.name_is_taken(block.row_id, name) else []

    async def ask(self, block: StrategyBlock) -> Strategy:
        content = StrategyContent(**self.content | {"parameters": Parameters(self.content["parameters"])})
        return await block.work.strategies.add(content, at=self.at)

    def note(self, block: StrategyBlock, answer: Strategy) -> None:
        earlier = [key for key, owner_id in block.model.owners.items() if owner_id == block.row_id]
        with keeping(promise(StrategyRepository.add, "greater than the id of every earlier")):
            block.model.note_id(answer.id, block.row_id)
            assert answer.id > max(earlier, default=answer.id - 1), (
                "the id of a new strategy is not greater than all earlier ids of its owner"
            )
        row = deepcopy(self.content) | {
            "id": answer.id,
            "owner_id": block.row_id,
            "created_at": self.at,
            "updated_at": self.at,
        }
        assert exact(answer) == exact(row)
        block.model.strategies[answer.id] = row


@dataclass(frozen=True)
class ChangeStrategy(StrategyStep):
    """Change the content of a strategy of the owner, or try to change another one."""

    strategy: int
    content: Row
    at: datetime
    new_owner: int | None
    """The owner in the new state: a pick among the owners, or None for the owner of the block."""

    method = "replace"

    def text(self, block: StrategyBlock) -> str:
        return f"replace({_arguments(self._changed(block))})"

    def reasons(self, block: StrategyBlock) -> Sequence[TradingAgentsError]:
        changed = self._changed(block)
        reasons: list[TradingAgentsError] = []
        if changed["owner_id"] != block.row_id or block.model.find(block.row_id, changed["id"]) is None:
            reasons.append(StrategyNotFound(changed["id"]))
        if block.model.name_is_taken(block.row_id, changed["name"], by_another_than=changed["id"]):
            reasons.append(StrategyNameTaken(changed["name"]))
        return reasons

    async def ask(self, block: StrategyBlock) -> None:
        changed = self._changed(block)
        await block.work.strategies.replace(Strategy(**changed | {"parameters": Parameters(changed["parameters"])}))

    def note(self, block: StrategyBlock, answer: None) -> None:
        changed = self._changed(block)
        block.model.strategies[changed["id"]] = changed

    def _changed(self, block: StrategyBlock) -> Row:
        strategy_id = possible(block.model.strategy_id(block.row_id, self.strategy))
        return deepcopy(self.content) | {
            "id": strategy_id,
            "owner_id": block.row_id if self.new_owner is None else OWNERS[self.new_owner],
            "created_at": block.model.strategies.get(strategy_id, {}).get("created_at", self.at),
            "updated_at": self.at,
        }


@dataclass(frozen=True)
class RemoveStrategy(StrategyStep):
    """Remove a strategy of the owner, or try to remove another one."""

    strategy: int

    method = "remove"

    def text(self, block: StrategyBlock) -> str:
        return f"remove({block.model.strategy_id(block.row_id, self.strategy)})"

    def reasons(self, block: StrategyBlock) -> Sequence[TradingAgentsError]:
        strategy_id = block.model.strategy_id(block.row_id, self.strategy)
        return [] if block.model.find(block.row_id, strategy_id) else [StrategyNotFound(strategy_id)]

    async def ask(self, block: StrategyBlock) -> None:
        await block.work.strategies.remove(block.model.strategy_id(block.row_id, self.strategy))

    def note(self, block: StrategyBlock, answer: None) -> None:
        del block.model.strategies[block.model.strategy_id(block.row_id, self.strategy)]


@dataclass(frozen=True)
class RemoveStrategies(StrategyStep):
    """Remove all strategies of the owner."""

    method = "remove_all"

    def text(self, block: StrategyBlock) -> str:
        return "remove_all()"

    def reasons(self, block: StrategyBlock) -> Sequence[TradingAgentsError]:
        return []

    async def ask(self, block: StrategyBlock) -> None:
        await block.work.strategies.remove_all()

    def note(self, block: StrategyBlock, answer: None) -> None:
        for row in block.model.owned(block.row_id):
            del block.model.strategies[row["id"]]


def _arguments(row: Row) -> str:
    return ", ".join(f"{name}={value}" for name, value in exact(row).items())


@dataclass(frozen=True)
class PageRequest:
    """The arguments for reading a page."""

    owner: int
    """A pick among the owners; a negative pick is an integer without strategies."""
    skip: int
    limit: int
    active_only: bool


@dataclass(frozen=True)
class StrategyRequest:
    """The arguments for reading one strategy."""

    owner: int
    """A pick among the owners; a negative pick is an integer without strategies."""
    strategy: int


# Few names and moments, so that strategies collide.
NAMES: Final = ("c", "a", "A", "b", " b", "ü", "u\u0308", *"defghijk")

_FIRST_STEPS: Final = [
    (
        owner_id,
        [
            AddStrategy({"name": name, "description": None, "parameters": {"n": 1}, "is_active": name != "b"}, CREATED)
            for name in names
        ],
    )
    for owner_id, names in zip(OWNERS, ("aAb", "ab"), strict=False)
]

_owners = st.sampled_from((0, 0, 0, 1, 1, 2))
_owners_and_others = st.sampled_from((0, 0, 0, 1, 1, 2, -1, -6))
_picks = st.sampled_from((0, 0, 0, 1, 1, 2, 0, 1, 0, 3, 4, -1))
_moments = st.builds(lambda number: CREATED + timedelta(seconds=number, microseconds=number), st.integers(0, 2))
_texts = st.characters(exclude_categories=["Cs"])
_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-1, 1)
    | st.integers(INTEGER_MIN, INTEGER_MAX)
    | st.sampled_from((0.0, -0.0, 1.0))
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(_texts, max_size=5)
)
_keys = st.text(_texts, max_size=2)
_json: st.SearchStrategy[JsonValue] = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3), max_leaves=4
)
_contents = st.fixed_dictionaries(
    {
        "name": st.sampled_from(NAMES),
        "description": st.none()
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
        "parameters": st.dictionaries(_keys, _json, max_size=3),
        "is_active": st.booleans(),
    }
)
_changes: st.SearchStrategy[StrategyStep] = st.one_of(
    st.builds(AddStrategy, content=_contents, at=_moments),
    st.builds(AddStrategy, content=_contents, at=_moments),
    st.builds(
        ChangeStrategy,
        strategy=_picks,
        content=_contents,
        at=_moments,
        new_owner=st.sampled_from((*[None] * 10, 0, 1)),
    ),
    # Seldom, so that histories have strategies.
    st.integers(0, 4).flatmap(
        lambda number: st.builds(RemoveStrategy, strategy=_picks) if number else st.builds(RemoveStrategies)
    ),
)
_reads: st.SearchStrategy[StrategyStep] = st.builds(ReadStrategy, strategy=_picks) | st.builds(
    ListStrategies, skip=st.integers(0, 2), limit=st.integers(1, 4), active_only=st.booleans()
)
_steps = st.lists(st.one_of(_changes, _reads), min_size=1, max_size=5)
_pages = st.builds(
    PageRequest,
    owner=_owners_and_others,
    skip=st.integers(0, 4),
    limit=st.integers(1, 4),
    active_only=st.booleans(),
)
_strategies = st.builds(StrategyRequest, owner=_owners_and_others, strategy=_picks)


class StrategyHistory(History[StrategyStore, StrategyWork, StrategyModel]):
    """Random blocks of a few owners."""

    promises = BlockPromises.of(StrategyStore, StrategyReader, StrategyRepository)

    def __init__(self, open_store: OpenStrategyStore, exploration: Exploration) -> None:
        super().__init__(open_store, StrategyModel(), exploration)

    async def fill(self) -> None:
        for owner_id, steps in _FIRST_STEPS:
            await self.keep(owner_id, steps)

    def write(self, row_id: int) -> AbstractAsyncContextManager[StrategyWork]:
        return self.store.write(row_id)

    async def compare(self, model: StrategyModel) -> None:
        async with self.store.read() as view:
            for owner in range(len(OWNERS)):
                await _compare_page(view, model, PageRequest(owner, skip=0, limit=1000, active_only=False))
                await _compare_page(view, model, PageRequest(owner, skip=0, limit=1, active_only=True))

    async def keep_blocks(
        self, blocks: list[tuple[int, list[StrategyStep]]], page: PageRequest, strategy: StrategyRequest
    ) -> None:
        """A normal end commits a block, unless one of its steps is refused."""
        for owner, steps in blocks:
            await self.keep(OWNERS[owner], steps)
        await self._read(page, strategy)

    async def leave_a_block_with_an_exception(self, owner: int, steps: list[StrategyStep]) -> None:
        """An exception rolls a block back."""
        await self.fail(OWNERS[owner], steps)

    async def catch_refusals(self, owner: int, steps: list[StrategyStep]) -> None:
        """A block that catches the error of a refused change keeps nothing."""
        await self.catch(OWNERS[owner], steps)

    async def cancel_a_block(self, owner: int, steps: list[StrategyStep], cut: Cut) -> None:
        """A block whose caller is cancelled commits everything or nothing."""
        await self.cancel(OWNERS[owner], steps, cut)

    async def overlap_blocks(self, blocks: list[Overlapping[StrategyWork, StrategyModel]]) -> None:
        """Blocks of one owner run one after another, and readers see only committed data."""
        overlap = Overlap(self.model, OWNERS)
        of_owners = [(OWNERS[block.row], block) for block in blocks]
        await self.overlap(overlap, of_owners, self._read_meanwhile(overlap, of_owners[0][0]))
        await self.check(self.promises.locked)

    async def _read(self, page: PageRequest, strategy: StrategyRequest) -> None:
        owner_id = picked(strategy.owner, OWNERS)
        strategy_id = self.model.strategy_id(owner_id, strategy.strategy)
        row = self.model.find(owner_id, strategy_id)
        self.promise = promise(StrategyReader.list)
        async with self.store.read() as view:
            await _compare_page(view, self.model, page)
            self.events.append(f"read(): get(owner_id={owner_id}, strategy_id={strategy_id})")
            if row is not None:
                self.promise = self.promises.as_stored
                assert exact(await view.strategies.get(owner_id=owner_id, strategy_id=strategy_id)) == exact(row)
                return
            self.promise = promise(StrategyReader.get, "StrategyNotFound")
            with refused(StrategyNotFound(strategy_id)):
                await view.strategies.get(owner_id=owner_id, strategy_id=strategy_id)

    async def _read_meanwhile(self, overlap: Overlap[StrategyModel], owner_id: int) -> None:
        for _ in range(READS_MEANWHILE):
            async with self.store.read() as view:
                page = await view.strategies.list(owner_id=owner_id, skip=0, limit=1000, active_only=False)
            read = [exact(strategy) for strategy in page.items]
            with keeping(promise(StrategyReader.list, "at the moment of the items")):
                assert page.total == len(read), "items and total are not of the same moment"
            with keeping(self.promises.committed_data):
                assert read in overlap.seen(owner_id), "a reader saw data that no block has committed"
            await asyncio.sleep(0)


async def _compare_page(view: StrategyView, model: StrategyModel, page: PageRequest) -> None:
    """Check that a page matches the model."""
    owner_id = picked(page.owner, OWNERS)
    read = await view.strategies.list(owner_id=owner_id, skip=page.skip, limit=page.limit, active_only=page.active_only)
    listed = model.owned(owner_id, active_only=page.active_only)
    wanted = listed[page.skip :][: page.limit]
    with keeping(promise(StrategyReader, "exactly as they were stored")):
        assert not any(map(is_nearly, read.items, wanted)), "a strategy was changed"
    ids = [item.id for item in read.items]
    if sorted(ids) == [row["id"] for row in wanted]:
        with keeping(promise(StrategyReader.list, "oldest first")):
            assert ids == sorted(ids), "the strategies are not listed in the order of their ids"
    assert [exact(item) for item in read.items] == [exact(row) for row in wanted], f"{page} is wrong"
    with keeping(promise(StrategyReader.list, "`total` counts")):
        assert read.total == len(listed), f"{page} has a wrong total"
    assert (read.skip, read.limit) == (page.skip, page.limit)


OPERATIONS: Final = st.one_of(
    operation(
        StrategyHistory.keep_blocks,
        blocks=st.lists(st.tuples(_owners, _steps), min_size=1, max_size=3),
        page=_pages,
        strategy=_strategies,
    ),
    operation(StrategyHistory.leave_a_block_with_an_exception, owner=_owners, steps=_steps),
    operation(StrategyHistory.catch_refusals, owner=_owners, steps=_steps),
    operation(StrategyHistory.cancel_a_block, owner=_owners, steps=_steps, cut=CUTS),
    operation(StrategyHistory.overlap_blocks, blocks=overlapping(st.sampled_from((0, 0, 0, 1, 2)), _changes)),
)
