"""Strategies in memory."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count, islice
from weakref import WeakValueDictionary

from tradingagents_core.domain.page import Page
from tradingagents_core.domain.strategies import Strategy, StrategyContent
from tradingagents_core.errors import StrategyNameTaken, StrategyNotFound
from tradingagents_core.ports import StrategyReader, StrategyRepository, StrategyStore, StrategyView, StrategyWork


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
        listed: Iterable[Strategy] = owner.strategies.values()
        if active_only:
            listed = (strategy for strategy in listed if strategy.is_active)
        total = owner.active if active_only else len(owner.strategies)
        # `islice` refuses numbers greater than the length of any list.
        start = min(skip, total)
        return Page(items=list(islice(listed, start, start + limit)), total=total, skip=skip, limit=limit)


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

    async def get(self, strategy_id: int) -> Strategy:
        strategy = self._strategies.get(strategy_id, self._committed.strategies.get(strategy_id))
        if strategy is None:
            raise StrategyNotFound(strategy_id)
        return strategy

    async def add(self, content: StrategyContent, *, at: datetime) -> Strategy:
        strategy = Strategy.created(content, id=next(self._new_ids), owner_id=self._owner_id, at=at)
        self._put(strategy)
        return strategy

    async def replace(self, strategy: Strategy) -> None:
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

    def commit(self) -> None:
        """Apply the changes to the committed strategies."""
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
            raise StrategyNameTaken(strategy.name)
        self._strategies[strategy.id] = strategy
        self._ids[strategy.name] = strategy.id


class MemoryStrategyStore(StrategyStore):
    """Stores strategies in memory, for one event loop."""

    def __init__(self) -> None:
        self._owners: dict[int, _Owner] = {}
        self._ids = count(1)
        self._rows: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        """The lock of each owner's row, while a block holds the lock or waits for it."""
        self._view = StrategyView(_MemoryReader(self._owners))

    def read(self) -> AbstractAsyncContextManager[StrategyView]:
        return nullcontext(self._view)

    @asynccontextmanager
    async def write(self, owner_id: int) -> AsyncIterator[StrategyWork]:
        async with self._rows.setdefault(owner_id, asyncio.Lock()):
            owner = self._owners.get(owner_id) or _Owner()
            repository = _MemoryRepository(owner_id, owner, self._ids)
            yield StrategyWork(repository)
            repository.commit()
            if owner.strategies:
                self._owners[owner_id] = owner
