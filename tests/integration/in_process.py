"""The API called in this process: the value of the fixture `api`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

import httpx

from tradingagents_adapters.argon2_passwords import Argon2PasswordHasher
from tradingagents_adapters.clock import utc_now
from tradingagents_adapters.jwt_tokens import JwtTokenService
from tradingagents_adapters.login_queue import RoundRobinLoginQueue
from tradingagents_adapters.memory import MemoryAccountStore, MemoryLoginFailures, MemoryStrategyStore
from tradingagents_adapters.remembered_callers import RememberedCallers
from tradingagents_adapters.sql.accounts import SqlAccountStore
from tradingagents_adapters.sql.database import Database
from tradingagents_adapters.sql.strategies import SqlStrategyStore
from tradingagents_conformance import OpenAccountStore, OpenStrategyStore
from tradingagents_core.domain.accounts import User
from tradingagents_core.ports import AccountStore, AccountView, AccountWork, StrategyStore
from tradingagents_core.use_cases import AccountCallers, RefreshOptions, UseCases

PASSWORD = "SecurePassword123"

CACHE_SECONDS = 5
TOKEN_LIFETIME = timedelta(minutes=30)


class MovableClock:
    """The present time, until a test stops the clock. A stopped clock moves when the test moves it."""

    def __init__(self) -> None:
        self._stopped_at: datetime | None = None

    def __call__(self) -> datetime:
        return self._stopped_at or utc_now()

    def stop(self) -> datetime:
        """Stop at a whole second, and return the time."""
        self._stopped_at = self().replace(microsecond=0)
        return self._stopped_at

    def move(self, **time: float) -> datetime:
        """Move the stopped clock by this time, given as for `timedelta`, and return the new time."""
        assert self._stopped_at is not None
        self._stopped_at += timedelta(**time)
        return self._stopped_at


@dataclass(frozen=True)
class Stores:
    """The stores of the API."""

    strategies: StrategyStore
    accounts: AccountStore

    @classmethod
    def in_memory(cls) -> Self:
        return cls(MemoryStrategyStore(), MemoryAccountStore())

    @classmethod
    def over(cls, database: Database) -> Self:
        return cls(SqlStrategyStore(database), SqlAccountStore(database))


class CountedStore(AccountStore):
    """A store that counts its writing blocks."""

    def __init__(self, store: AccountStore) -> None:
        self._store = store
        self.writes = 0

    def read(self) -> AbstractAsyncContextManager[AccountView]:
        return self._store.read()

    def write(self, user_id: int) -> AbstractAsyncContextManager[AccountWork]:
        self.writes += 1
        return self._store.write(user_id)

    async def add_user(self, *, email: str, password_hash: str, at: datetime) -> User:
        return await self._store.add_user(email=email, password_hash=password_hash, at=at)


OpenStores = Callable[[], AbstractAsyncContextManager[Stores]]
"""Opens fresh, empty stores, and closes them when the block ends."""


def strategies_of(open_stores: OpenStores) -> OpenStrategyStore:
    """Opens only the store of strategies."""

    @asynccontextmanager
    async def open_store() -> AsyncIterator[StrategyStore]:
        async with open_stores() as stores:
            yield stores.strategies

    return open_store


def accounts_of(open_stores: OpenStores) -> OpenAccountStore:
    """Opens only the store of accounts."""

    @asynccontextmanager
    async def open_store() -> AsyncIterator[AccountStore]:
        async with open_stores() as stores:
            yield stores.accounts

    return open_store


def core_over(stores: Stores, clock: MovableClock, *, registration_enabled: bool = False) -> UseCases:
    """The core of one process over these stores, with a cache of callers as the service has it."""
    tokens = JwtTokenService(secret_key="k" * 64, algorithm="HS256", lifetime=TOKEN_LIFETIME, clock=clock)
    callers = AccountCallers(store=stores.accounts, tokens=tokens, clock=clock)
    return UseCases.over(
        strategies=stores.strategies,
        accounts=stores.accounts,
        callers=RememberedCallers(callers, seconds=CACHE_SECONDS, clock=clock),
        failures=MemoryLoginFailures(),
        login_queue=RoundRobinLoginQueue(turns=1),
        tokens=tokens,
        passwords=Argon2PasswordHasher(memory_kib=8, time_cost=1),
        clock=clock,
        refresh=RefreshOptions(),
        registration_enabled=registration_enabled,
    )


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the condition is true, at most ten seconds."""
    async with asyncio.timeout(10):
        while True:
            if await condition():
                return
            # A request to a store in memory never waits, so that no other task would run.
            await asyncio.sleep(0)


def bearer(credential: str) -> dict[str, str]:
    """The header of a request with this token or API key."""
    return {"Authorization": f"Bearer {credential}"}


@dataclass(frozen=True)
class Api:
    """The API, its core, and three clients: one without credentials, and those of two users."""

    core: UseCases
    stranger: httpx.AsyncClient
    ann: httpx.AsyncClient
    bob: httpx.AsyncClient
    stores: Stores
    clock: MovableClock
