"""Stores in this process's memory, for tests, trials and services that need not remember.

They keep every promise of their ports: blocks are whole or nothing, writers take turns. What they hold ends with the
process.
"""

import asyncio
from collections import ChainMap, OrderedDict
from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from typing import Final

from tradingagents_core.domain.login_throttle import FailureCount
from tradingagents_core.domain.page import Page
from tradingagents_core.domain.strategy import Strategy, StrategyContent
from tradingagents_core.domain.user import User
from tradingagents_core.errors import EmailTaken, StrategyNameTaken, StrategyNotFound, UserNotFound
from tradingagents_core.ports import LoginFailures, Store, StoreView, StoreWork

FAILURE_COUNTS_MAX: Final = 100_000
"""How many counts of failed logins are kept, some 30 MB of them."""


@dataclass(slots=True)
class _Tables:
    users: MutableMapping[int, User] = field(default_factory=dict)
    strategies: MutableMapping[int, Mapping[int, Strategy]] = field(default_factory=dict)
    """For each owner, strategies by id; such an inner mapping is never changed, only replaced."""


class _MemoryView(StoreView):
    def __init__(self, tables: _Tables) -> None:
        self._tables = tables

    async def find_user(self, user_id: int) -> User | None:
        return self._tables.users.get(user_id)

    async def find_user_by_email(self, email: str) -> User | None:
        return next((user for user in self._tables.users.values() if user.email == email), None)

    async def list_users(self) -> Sequence[User]:
        return sorted(self._tables.users.values(), key=lambda user: user.id)

    async def get_strategy(self, *, owner_id: int, strategy_id: int) -> Strategy:
        strategy = self._owned(owner_id).get(strategy_id)
        if strategy is None:
            raise StrategyNotFound(strategy_id)
        return strategy

    async def list_strategies(self, *, owner_id: int, skip: int, limit: int, active_only: bool) -> Page[Strategy]:
        listed = [strategy for strategy in self._owned(owner_id).values() if strategy.is_active or not active_only]
        return Page(items=listed[skip : skip + limit], total=len(listed), skip=skip, limit=limit)

    def _owned(self, owner_id: int) -> Mapping[int, Strategy]:
        return self._tables.strategies.get(owner_id, {})


class _MemoryWork(_MemoryView, StoreWork):
    """Changes on top of the committed tables, which stay as they are until `commit`."""

    def __init__(self, committed: _Tables, ids: "count[int]") -> None:
        self._committed = committed
        self._users: dict[int, User] = {}
        self._strategies: dict[int, Mapping[int, Strategy]] = {}
        self._ids = ids
        super().__init__(
            _Tables(
                users=ChainMap(self._users, committed.users),
                strategies=ChainMap(self._strategies, committed.strategies),
            )
        )

    def commit(self) -> None:
        self._committed.users.update(self._users)
        self._committed.strategies.update(self._strategies)

    async def lock_user(self, user_id: int) -> None:
        # The whole store is locked while a writing block is open; taking the row only needs to find it.
        self._user(user_id)

    async def add_user(self, *, email: str, password_hash: str, at: datetime) -> User:
        user = User(id=next(self._ids), email=email, password_hash=password_hash, created_at=at, updated_at=at)
        self._put_user(user)
        return user

    async def replace_user(self, user: User) -> None:
        self._user(user.id)
        self._put_user(user)

    async def add_strategy(self, *, owner_id: int, content: StrategyContent, at: datetime) -> Strategy:
        self._user(owner_id)
        strategy = Strategy.created(content, id=next(self._ids), owner_id=owner_id, at=at)
        self._put_strategy(strategy)
        return strategy

    async def replace_strategy(self, strategy: Strategy) -> None:
        await self.get_strategy(owner_id=strategy.owner_id, strategy_id=strategy.id)
        self._put_strategy(strategy)

    async def remove_strategy(self, *, owner_id: int, strategy_id: int) -> None:
        await self.get_strategy(owner_id=owner_id, strategy_id=strategy_id)
        self._strategies[owner_id] = {key: kept for key, kept in self._owned(owner_id).items() if key != strategy_id}

    def _user(self, user_id: int) -> User:
        user = self._tables.users.get(user_id)
        if user is None:
            raise UserNotFound(user_id)
        return user

    def _put_user(self, user: User) -> None:
        if any(other.email == user.email and other.id != user.id for other in self._tables.users.values()):
            raise EmailTaken(user.email)
        self._users[user.id] = user

    def _put_strategy(self, strategy: Strategy) -> None:
        owned = self._owned(strategy.owner_id)
        if any(other.name == strategy.name and other.id != strategy.id for other in owned.values()):
            raise StrategyNameTaken(strategy.name)
        self._strategies[strategy.owner_id] = {**owned, strategy.id: strategy}


class MemoryStore(Store):
    """Keeps users and strategies in memory, for one event loop. Writing blocks run one at a time."""

    def __init__(self) -> None:
        self._tables = _Tables()
        self._ids = count(1)
        self._writing = asyncio.Lock()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[StoreView]:
        yield _MemoryView(self._tables)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[StoreWork]:
        async with self._writing:
            work = _MemoryWork(self._tables, self._ids)
            yield work
            work.commit()


class MemoryLoginFailures(LoginFailures):
    """Counts failed logins in memory, for one process.

    It keeps at most `FAILURE_COUNTS_MAX` counts; beyond that the one whose last failure came first is dropped.
    """

    def __init__(self) -> None:
        self._counts: OrderedDict[str, FailureCount] = OrderedDict()
        """In the order of their last failures."""

    async def find(self, keys: Sequence[str]) -> Mapping[str, FailureCount]:
        return {key: self._counts[key] for key in keys if key in self._counts}

    async def add(self, keys: Sequence[str], *, at: datetime) -> None:
        for key in keys:
            before = self._counts.pop(key, None)
            goes_on = before is not None and not before.is_forgotten(now=at)
            self._counts[key] = FailureCount(count=before.count + 1 if before and goes_on else 1, last_at=at)
        while self._counts and (
            len(self._counts) > FAILURE_COUNTS_MAX or next(iter(self._counts.values())).is_forgotten(now=at)
        ):
            self._counts.popitem(last=False)

    def take_back(self, keys: Sequence[str]) -> None:
        """Count one failure less under each of the keys that have a count."""
        for key in keys:
            count = self._counts.get(key)
            if count is not None and count.count > 1:
                self._counts[key] = replace(count, count=count.count - 1)
            elif count is not None:
                del self._counts[key]

    async def clear(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._counts.pop(key, None)
