"""Whoever changes a user or an owner's strategies takes the row first, so that no change is lost."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import pytest

from tradingagents_adapters.argon2_passwords import Argon2PasswordHasher
from tradingagents_adapters.clock import utc_now
from tradingagents_adapters.jwt_tokens import JwtTokenService
from tradingagents_adapters.login_queue import RoundRobinLoginQueue
from tradingagents_adapters.memory import MemoryLoginFailures, MemoryStore
from tradingagents_core.domain.strategy import StrategyContent
from tradingagents_core.ports import StoreWork
from tradingagents_core.use_cases import UseCases

EMAIL: Final = "ann@example.com"
PASSWORD: Final = "SecurePassword123"


class _WatchedWork:
    """A writing block that knows which rows have been taken in it, and lets no other be changed."""

    def __init__(self, work: StoreWork) -> None:
        self._work = work
        self._taken: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)

    async def lock_user(self, user_id: int) -> None:
        await self._work.lock_user(user_id)
        self._taken.add(user_id)

    async def replace_user(self, user: Any) -> None:
        assert user.id in self._taken
        await self._work.replace_user(user)

    async def get_strategy(self, *, owner_id: int, strategy_id: int) -> Any:
        assert owner_id in self._taken
        return await self._work.get_strategy(owner_id=owner_id, strategy_id=strategy_id)

    async def add_strategy(self, *, owner_id: int, **others: Any) -> Any:
        assert owner_id in self._taken
        return await self._work.add_strategy(owner_id=owner_id, **others)

    async def replace_strategy(self, strategy: Any) -> None:
        assert strategy.owner_id in self._taken
        await self._work.replace_strategy(strategy)

    async def remove_strategy(self, *, owner_id: int, strategy_id: int) -> None:
        assert owner_id in self._taken
        await self._work.remove_strategy(owner_id=owner_id, strategy_id=strategy_id)


class WatchedStore(MemoryStore):
    @asynccontextmanager
    async def write(self) -> AsyncIterator[Any]:
        async with super().write() as work:
            yield _WatchedWork(work)


def core_over(store: MemoryStore, *, time_cost: int = 1) -> UseCases:
    return UseCases.over(
        store=store,
        failures=MemoryLoginFailures(),
        login_queue=RoundRobinLoginQueue(turns=1),
        tokens=JwtTokenService(secret_key="k" * 64, algorithm="HS256", lifetime=timedelta(minutes=30), clock=utc_now),
        passwords=Argon2PasswordHasher(memory_kib=64, time_cost=time_cost),
        clock=utc_now,
    )


CHANGES: Final[dict[str, Callable[[UseCases, int, int], Awaitable[object]]]] = {
    "create": lambda core, owner, _: core.create_strategy(owner_id=owner, content=StrategyContent(name="b")),
    "update": lambda core, owner, id_: core.update_strategy(owner_id=owner, strategy_id=id_, changes={"name": "b"}),
    "delete": lambda core, owner, id_: core.delete_strategy(owner_id=owner, strategy_id=id_),
    "set a password": lambda core, *_: core.set_password(email=EMAIL, password="AnotherPassword456"),
    "deactivate": lambda core, *_: core.deactivate_user(email=EMAIL),
    "activate": lambda core, *_: core.activate_user(email=EMAIL),
}


@pytest.mark.anyio
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
async def test_a_change_takes_the_row_first(change: Callable[[UseCases, int, int], Awaitable[object]]) -> None:
    core = core_over(WatchedStore())
    user = await core.create_user(email=EMAIL, password=PASSWORD)
    strategy = await core.create_strategy(owner_id=user.id, content=StrategyContent(name="a"))
    await change(core, user.id, strategy.id)


@pytest.mark.anyio
async def test_a_login_takes_the_row_before_it_renews_a_hash() -> None:
    store = WatchedStore()
    await core_over(store).create_user(email=EMAIL, password=PASSWORD)
    core = core_over(store, time_cost=2)
    (before,) = await core.list_users()
    await core.login(email=EMAIL, password=PASSWORD, source="203.0.113.7")
    (after,) = await core.list_users()
    assert after.password_hash != before.password_hash
