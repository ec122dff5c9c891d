"""A store that remembers for a few seconds who its callers are."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import datetime
from typing import Final

from cachetools import TTLCache

from tradingagents_core.domain.page import Page
from tradingagents_core.domain.strategy import Strategy, StrategyContent
from tradingagents_core.domain.user import User
from tradingagents_core.ports import Store, StoreView, StoreWork

REMEMBERED_MAX: Final = 10_000
"""How many callers a process remembers at once."""


class _Callers:
    """Active users by id, each for so many seconds after it was read."""

    def __init__(self, seconds: float) -> None:
        self._users: TTLCache[int, User] = TTLCache(REMEMBERED_MAX, seconds)
        self._changes = 0

    async def find(self, store: Store, user_id: int) -> User | None:
        user = self._users.get(user_id)
        if user is not None:
            return user
        changes = self._changes
        async with store.read() as view:
            user = await view.find_user(user_id)
        # What was read while a change was being committed may be what was before it.
        if user is not None and user.is_active and changes == self._changes:
            self._users[user_id] = user
        return user

    def forget(self, user_ids: set[int]) -> None:
        self._changes += 1
        for user_id in user_ids:
            self._users.pop(user_id, None)


class _RememberingView(StoreView):
    """Looks up a user by id among the callers first; everything else, and every other read, is the store's."""

    def __init__(self, store: Store, callers: _Callers) -> None:
        self._store = store
        self._callers = callers

    async def find_user(self, user_id: int) -> User | None:
        return await self._callers.find(self._store, user_id)

    async def find_user_by_email(self, email: str) -> User | None:
        async with self._store.read() as view:
            return await view.find_user_by_email(email)

    async def list_users(self) -> Sequence[User]:
        async with self._store.read() as view:
            return await view.list_users()

    async def get_strategy(self, *, owner_id: int, strategy_id: int) -> Strategy:
        async with self._store.read() as view:
            return await view.get_strategy(owner_id=owner_id, strategy_id=strategy_id)

    async def list_strategies(self, *, owner_id: int, skip: int, limit: int, active_only: bool) -> Page[Strategy]:
        async with self._store.read() as view:
            return await view.list_strategies(owner_id=owner_id, skip=skip, limit=limit, active_only=active_only)


class _WatchedWork(StoreWork):
    """The store's own block, of which it is noted whose accounts it changes."""

    def __init__(self, work: StoreWork, changed: set[int]) -> None:
        self._work = work
        self._changed = changed

    async def replace_user(self, user: User) -> None:
        self._changed.add(user.id)
        await self._work.replace_user(user)

    async def find_user(self, user_id: int) -> User | None:
        return await self._work.find_user(user_id)

    async def find_user_by_email(self, email: str) -> User | None:
        return await self._work.find_user_by_email(email)

    async def list_users(self) -> Sequence[User]:
        return await self._work.list_users()

    async def get_strategy(self, *, owner_id: int, strategy_id: int) -> Strategy:
        return await self._work.get_strategy(owner_id=owner_id, strategy_id=strategy_id)

    async def list_strategies(self, *, owner_id: int, skip: int, limit: int, active_only: bool) -> Page[Strategy]:
        return await self._work.list_strategies(owner_id=owner_id, skip=skip, limit=limit, active_only=active_only)

    async def lock_user(self, user_id: int) -> None:
        await self._work.lock_user(user_id)

    async def add_user(self, *, email: str, password_hash: str, at: datetime) -> User:
        return await self._work.add_user(email=email, password_hash=password_hash, at=at)

    async def add_strategy(self, *, owner_id: int, content: StrategyContent, at: datetime) -> Strategy:
        return await self._work.add_strategy(owner_id=owner_id, content=content, at=at)

    async def replace_strategy(self, strategy: Strategy) -> None:
        await self._work.replace_strategy(strategy)

    async def remove_strategy(self, *, owner_id: int, strategy_id: int) -> None:
        await self._work.remove_strategy(owner_id=owner_id, strategy_id=strategy_id)


class IdentityCache(Store):
    """Stands in front of a store, and remembers for `seconds` the active users that it found by their ids.

    A change that is made through it counts at once. One that another process makes counts within that time: so long,
    somebody who has been deactivated there is still taken for active.
    """

    def __init__(self, store: Store, *, seconds: float) -> None:
        self._store = store
        self._callers = _Callers(seconds)
        self._view = _RememberingView(store, self._callers)

    def read(self) -> AbstractAsyncContextManager[StoreView]:
        # Each method opens a block of the store when it needs one.
        return nullcontext(self._view)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[StoreWork]:
        changed: set[int] = set()
        try:
            async with self._store.write() as work:
                yield _WatchedWork(work, changed)
        finally:
            if changed:
                self._callers.forget(changed)
