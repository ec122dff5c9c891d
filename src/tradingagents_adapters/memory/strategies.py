"""Strategies in memory."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count, islice
from typing import Self
from weakref import WeakValueDictionary

from tradingagents_core.domain.page import Page
from tradingagents_core.domain.strategies import Strategy, StrategyContent
from tradingagents_core.errors import BlockEnded, BlockFailed, StrategyNameTaken, StrategyNotFound
from tradingagents_core.ports import (
    Blocks,
    Lifetime,
    StrategyReader,
    StrategyRepository,
    StrategyStore,
    StrategyView,
    StrategyWork,
)


@dataclass(slots=True)
class _Owner:
    """The committed strategies of an owner."""

    strategies: dict[int, Strategy] = field(default_factory=dict)
    """Strategies by id, in the order of ids."""
    ids: dict[str, int] = field(default_factory=dict)
    """Ids by name."""
    active: int = 0
    """How many strategies are active."""


_NOTHING = _Owner()


class _MemoryReader(StrategyReader):
    def __init__(self, owners: dict[int, _Owner]) -> None:
        self._owners = owners

    async def get(self, *, owner_id: int, strategy_id: int) -> Strategy:
        strategy = self._owners.get(owner_id, _NOTHING).strategies.get(strategy_id)
        if strategy is None:
            raise StrategyNotFound(strategy_id)
        return strategy

    async def list(self, *, owner_id: int, skip: int, limit: int, active_only: bool) -> Page[Strategy]:
        owner = self._owners.get(owner_id, _NOTHING)
        total = owner.active if active_only else len(owner.strategies)
        return _page_of(owner.strategies.values(), total, skip=skip, limit=limit, active_only=active_only)


class _MemoryRepository(StrategyRepository):
    """The changes of a block. The committed strategies do not change before `commit`."""

    def __init__(self, owner_id: int, committed: _Owner, ids: "count[int]") -> None:
        self._owner_id = owner_id
        self._committed = committed
        self._new_ids = ids
        self._strategies: dict[int, Strategy | None] = {}
        """Changed strategies by id; None for a removed strategy."""
        self._ids: dict[str, int | None] = {}
        """Ids by name, for changed names; None for a free name."""
        self._has_failed = False
        self._has_ended = False

    async def get(self, strategy_id: int) -> Strategy:
        self._check_is_open()
        strategy = self._strategies.get(strategy_id, self._committed.strategies.get(strategy_id))
        if strategy is None:
            raise StrategyNotFound(strategy_id)
        return strategy

    async def list(self, *, skip: int, limit: int, active_only: bool) -> Page[Strategy]:
        self._check_is_open()
        # New strategies have the greatest ids, so that changed strategies stay in their places.
        present = {**self._committed.strategies, **self._strategies}
        strategies = [strategy for strategy in present.values() if strategy is not None]
        total = sum(strategy.is_active for strategy in strategies) if active_only else len(strategies)
        return _page_of(strategies, total, skip=skip, limit=limit, active_only=active_only)

    async def add(self, content: StrategyContent, *, at: datetime) -> Strategy:
        self._check_is_open()
        strategy = Strategy.created(content, id=next(self._new_ids), owner_id=self._owner_id, at=at)
        self._put(strategy)
        return strategy

    async def replace(self, strategy: Strategy) -> None:
        self._check_is_open()
        if strategy.owner_id != self._owner_id:
            raise StrategyNotFound(strategy.id)
        before = await self.get(strategy.id)
        self._put(strategy)
        if before.name != strategy.name:
            self._ids[before.name] = None

    async def remove(self, strategy_id: int) -> None:
        before = await self.get(strategy_id)
        self._strategies[strategy_id] = None
        self._ids[before.name] = None

    async def remove_all(self) -> None:
        self._check_is_open()
        for strategy_id in [*self._committed.strategies, *self._strategies]:
            if self._strategies.get(strategy_id, self._committed.strategies.get(strategy_id)) is not None:
                await self.remove(strategy_id)

    def end(self) -> None:
        """Refuse every further use."""
        self._has_ended = True

    def commit(self) -> None:
        """Apply the changes to the committed strategies.

        Raises:
            BlockFailed: a change was refused, and the block has caught the error.
        """
        if self._has_failed:
            raise BlockFailed
        owner = self._committed
        for name, strategy_id in self._ids.items():
            if strategy_id is None:
                owner.ids.pop(name, None)
            else:
                owner.ids[name] = strategy_id
        for strategy_id, strategy in self._strategies.items():
            before = owner.strategies.get(strategy_id)
            owner.active += (strategy is not None and strategy.is_active) - (before is not None and before.is_active)
            if strategy is None:
                owner.strategies.pop(strategy_id, None)
            else:
                owner.strategies[strategy_id] = strategy

    def _put(self, strategy: Strategy) -> None:
        if self._ids.get(strategy.name, self._committed.ids.get(strategy.name)) not in (None, strategy.id):
            self._has_failed = True
            raise StrategyNameTaken(strategy.name)
        self._strategies[strategy.id] = strategy
        self._ids[strategy.name] = strategy.id

    def _check_is_open(self) -> None:
        if self._has_ended:
            raise BlockEnded


class MemoryStrategyStore(StrategyStore):
    """Stores strategies in memory, for one event loop.

    The first use starts the store. A block `async with store:` is not needed, but ends the store. Stores that share
    `blocks` refuse nested blocks like stores over one database.
    """

    def __init__(self, *, blocks: Blocks | None = None) -> None:
        self._lifetime = Lifetime(starts_by_itself=True)
        self._blocks = blocks or Blocks()
        self._owners: dict[int, _Owner] = {}
        self._ids = count(1)
        self._rows: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        """The lock of each owner's row, while a block holds the lock or waits for it."""
        self._view = StrategyView(_MemoryReader(self._owners))

    async def __aenter__(self) -> Self:
        self._lifetime.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._lifetime.end()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[StrategyView]:
        self._lifetime.check()
        yield self._view

    @asynccontextmanager
    async def write(self, owner_id: int) -> AsyncIterator[StrategyWork]:
        self._lifetime.check()
        with self._blocks.entered():
            async with self._rows.setdefault(owner_id, asyncio.Lock()):
                owner = self._owners.get(owner_id) or _Owner()
                repository = _MemoryRepository(owner_id, owner, self._ids)
                try:
                    yield StrategyWork(owner_id, repository)
                finally:
                    repository.end()
                repository.commit()
                if owner.strategies:
                    self._owners[owner_id] = owner


def _page_of(strategies: Iterable[Strategy], total: int, *, skip: int, limit: int, active_only: bool) -> Page[Strategy]:
    """A page of strategies in the order of ids, of which `total` are listed."""
    if active_only:
        strategies = (strategy for strategy in strategies if strategy.is_active)
    # `islice` refuses numbers greater than the length of any list.
    start = min(skip, total)
    return Page(items=list(islice(strategies, start, start + limit)), total=total, skip=skip, limit=limit)
