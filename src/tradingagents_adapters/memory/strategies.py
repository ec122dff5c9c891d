"""Owners' strategies in memory."""

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
    """What an owner has, as committed."""

    strategies: dict[int, Strategy] = field(default_factory=dict)
    """By id, and in the order of ids: the newest comes last."""
    ids: dict[str, int] = field(default_factory=dict)
    """By name."""
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
        # No list is longer, and `islice` takes no greater number than a list can have.
        start = min(skip, total)
        return Page(items=list(islice(listed, start, start + limit)), total=total, skip=skip, limit=limit)


class _MemoryRepository(StrategyRepository):
    """Changes on top of what is committed, which stays as it is until `commit`."""

    def __init__(self, owner_id: int, committed: _Owner, ids: "count[int]") -> None:
        self._owner_id = owner_id
        self._committed = committed
        self._new_ids = ids
        self._strategies: dict[int, Strategy | None] = {}
        """Those that have changed; None for one that was removed."""
        self._ids: dict[str, int | None] = {}
        """By names that have changed hands; None for a name that is free."""

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
        """Have the changes be what is committed."""
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
    """Keeps owners' strategies in memory, for one event loop."""

    def __init__(self) -> None:
        self._owners: dict[int, _Owner] = {}
        self._ids = count(1)
        self._rows: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        """The lock of each owner's row, while somebody has it or waits for it."""
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
