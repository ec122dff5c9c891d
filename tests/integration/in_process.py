"""The API called in this process: the value of the fixture `api`."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Self

import httpx

from tradingagents_adapters.memory import MemoryAccountStore, MemoryStrategyStore
from tradingagents_adapters.sql.accounts import SqlAccountStore
from tradingagents_adapters.sql.database import Database
from tradingagents_adapters.sql.strategies import SqlStrategyStore
from tradingagents_conformance import OpenAccountStore, OpenStrategyStore
from tradingagents_core.ports import AccountStore, StrategyStore
from tradingagents_core.use_cases import UseCases

PASSWORD = "SecurePassword123"


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


@dataclass(frozen=True)
class Api:
    """The API, its core, and three clients: one without credentials, and those of two users."""

    core: UseCases
    stranger: httpx.AsyncClient
    ann: httpx.AsyncClient
    bob: httpx.AsyncClient
