"""Random histories of owners and their strategies."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Self, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tradingagents_conformance.examples import CREATED, Row, exact, refused
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
from tradingagents_conformance.histories.machine import READS_MEANWHILE, Exploration, Histories
from tradingagents_conformance.opening import OpenStrategyStore
from tradingagents_core.domain.parameters import INTEGER_MAX, INTEGER_MIN, JsonValue, Parameters
from tradingagents_core.domain.strategies import Strategy, StrategyContent
from tradingagents_core.errors import StrategyNameTaken, StrategyNotFound, TradingAgentsError
from tradingagents_core.ports import StrategyStore, StrategyView, StrategyWork

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
StrategyStep: TypeAlias = Step[StrategyWork, StrategyModel]


@dataclass(frozen=True)
class ReadStrategy(StrategyStep):
    """Read a strategy of the owner, or try to read another one."""

    strategy: int

    def reasons(self, block: StrategyBlock) -> Sequence[TradingAgentsError]:
        strategy_id = block.model.strategy_id(block.row_id, self.strategy)
        return [] if block.model.find(block.row_id, strategy_id) else [StrategyNotFound(strategy_id)]

    async def ask(self, block: StrategyBlock) -> Strategy:
        return await block.work.strategies.get(block.model.strategy_id(block.row_id, self.strategy))

    def note(self, block: StrategyBlock, answer: Strategy) -> None:
        assert exact(answer) == exact(block.model.strategies[block.model.strategy_id(block.row_id, self.strategy)])


@dataclass(frozen=True)
class AddStrategy(StrategyStep):
    """Store a new strategy."""

    content: Row
    at: datetime

    def reasons(self, block: StrategyBlock) -> Sequence[TradingAgentsError]:
        name = self.content["name"]
        return [StrategyNameTaken(name)] if block.model.name_is_taken(block.row_id, name) else []

    async def ask(self, block: StrategyBlock) -> Strategy:
        content = StrategyContent(**self.content | {"parameters": Parameters(self.content["parameters"])})
        return await block.work.strategies.add(content, at=self.at)

    def note(self, block: StrategyBlock, answer: Strategy) -> None:
        earlier = [key for key, owner_id in block.model.owners.items() if owner_id == block.row_id]
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

    def reasons(self, block: StrategyBlock) -> Sequence[TradingAgentsError]:
        strategy_id = block.model.strategy_id(block.row_id, self.strategy)
        return [] if block.model.find(block.row_id, strategy_id) else [StrategyNotFound(strategy_id)]

    async def ask(self, block: StrategyBlock) -> None:
        await block.work.strategies.remove(block.model.strategy_id(block.row_id, self.strategy))

    def note(self, block: StrategyBlock, answer: None) -> None:
        del block.model.strategies[block.model.strategy_id(block.row_id, self.strategy)]


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
    st.builds(RemoveStrategy, strategy=_picks),
)
_steps = st.lists(st.one_of(_changes, st.builds(ReadStrategy, strategy=_picks)), min_size=2, max_size=5)
_pages = st.builds(
    PageRequest,
    owner=_owners_and_others,
    skip=st.integers(0, 4),
    limit=st.integers(1, 4),
    active_only=st.booleans(),
)
_strategies = st.builds(StrategyRequest, owner=_owners_and_others, strategy=_picks)


class StrategyHistories(Histories[StrategyStore, StrategyWork, StrategyModel]):
    """Random blocks of a few owners."""

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

    @rule(blocks=st.lists(st.tuples(_owners, _steps), min_size=1, max_size=3), page=_pages, strategy=_strategies)
    def keep_blocks(
        self, blocks: list[tuple[int, list[StrategyStep]]], page: PageRequest, strategy: StrategyRequest
    ) -> None:
        """A normal end commits a block, unless one of its steps is refused."""
        for owner, steps in blocks:
            self.run(self.keep(OWNERS[owner], steps))
            self.the_store_matches_the_model()
        self.run(self._read(page, strategy))

    @rule(owner=_owners, steps=_steps)
    def leave_a_block_with_an_exception(self, owner: int, steps: list[StrategyStep]) -> None:
        """An exception rolls a block back."""
        self.run(self.fail(OWNERS[owner], steps))

    @rule(owner=_owners, steps=_steps, cut=CUTS)
    def cancel_a_block(self, owner: int, steps: list[StrategyStep], cut: Cut) -> None:
        """A block whose caller is cancelled commits everything or nothing."""
        self.run(self.cancel(OWNERS[owner], steps, cut))

    @rule(blocks=overlapping(st.sampled_from((0, 0, 0, 1, 2)), _changes))
    def overlap_blocks(self, blocks: list[Overlapping[StrategyWork, StrategyModel]]) -> None:
        """Blocks of one owner run one after another, and readers see only committed data."""
        overlap = Overlap(self.model, OWNERS)
        of_owners = [(OWNERS[block.row], block) for block in blocks]
        self.run(self.overlap(overlap, of_owners, self._read_meanwhile(overlap, of_owners[0][0])))

    async def _read(self, page: PageRequest, strategy: StrategyRequest) -> None:
        owner_id = picked(strategy.owner, OWNERS)
        strategy_id = self.model.strategy_id(owner_id, strategy.strategy)
        row = self.model.find(owner_id, strategy_id)
        async with self.store.read() as view:
            await _compare_page(view, self.model, page)
            if row is not None:
                assert exact(await view.strategies.get(owner_id=owner_id, strategy_id=strategy_id)) == exact(row)
                return
            with refused(StrategyNotFound(strategy_id)):
                await view.strategies.get(owner_id=owner_id, strategy_id=strategy_id)

    async def _read_meanwhile(self, overlap: Overlap[StrategyModel], owner_id: int) -> None:
        for _ in range(READS_MEANWHILE):
            async with self.store.read() as view:
                page = await view.strategies.list(owner_id=owner_id, skip=0, limit=1000, active_only=False)
            read = [exact(strategy) for strategy in page.items]
            assert page.total == len(read), "items and total are not of the same moment"
            assert read in overlap.seen(owner_id), "a reader saw data that no block has committed"
            await asyncio.sleep(0)


async def _compare_page(view: StrategyView, model: StrategyModel, page: PageRequest) -> None:
    """Check that a page matches the model."""
    owner_id = picked(page.owner, OWNERS)
    read = await view.strategies.list(owner_id=owner_id, skip=page.skip, limit=page.limit, active_only=page.active_only)
    listed = model.owned(owner_id, active_only=page.active_only)
    assert [exact(item) for item in read.items] == [exact(row) for row in listed[page.skip :][: page.limit]]
    assert (read.total, read.skip, read.limit) == (len(listed), page.skip, page.limit)
