"""The stores over engines of hosts, and in transactions of hosts, keep their contracts."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from engines import StoreInTransactionsOfAHost, begun_by_events, opened, sqlite_engine
from postgresql import EMPTY_THE_STORES, Database
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from conftest import fresh_copy
from tradingagents_adapters.sql.accounts import SqlAccountStore
from tradingagents_adapters.sql.strategies import SqlStrategyStore
from tradingagents_conformance import (
    AccountStoreContract,
    OpenAccountStore,
    OpenStrategyStore,
    StrategyStoreContract,
)
from tradingagents_core.ports import AccountStore, StrategyStore

FreshEngine = Callable[[], AbstractAsyncContextManager[AsyncEngine]]
"""Makes an engine to an empty database with the newest tables."""


@pytest.fixture
def legacy_sqlite(tmp_path: Path, migrated_sqlite: Path) -> FreshEngine:
    """SQLite with the transactions of Python's module sqlite3, and with its default journal."""

    @asynccontextmanager
    async def fresh() -> AsyncIterator[AsyncEngine]:
        yield sqlite_engine(fresh_copy(migrated_sqlite, tmp_path / "store.db"))

    return fresh


@pytest.fixture
def sqlite_by_events(tmp_path: Path, migrated_sqlite: Path) -> FreshEngine:
    """SQLite with the events of SQLAlchemy's documentation that begin transactions."""

    @asynccontextmanager
    async def fresh() -> AsyncIterator[AsyncEngine]:
        yield begun_by_events(sqlite_engine(fresh_copy(migrated_sqlite, tmp_path / "store.db")))

    return fresh


@pytest.fixture
def postgresql(database_of_stores: Database) -> FreshEngine:
    @asynccontextmanager
    async def fresh() -> AsyncIterator[AsyncEngine]:
        connection = await asyncpg.connect(database_of_stores.dsn)
        await connection.execute(EMPTY_THE_STORES)
        await connection.close()
        yield create_async_engine(database_of_stores.setting)

    return fresh


def strategies_over(fresh: FreshEngine) -> OpenStrategyStore:
    @asynccontextmanager
    async def open_store() -> AsyncIterator[StrategyStore]:
        async with fresh() as engine, opened(engine) as database:
            yield SqlStrategyStore(database)

    return open_store


def strategies_in_transactions(fresh: FreshEngine) -> OpenStrategyStore:
    @asynccontextmanager
    async def open_store() -> AsyncIterator[StrategyStore]:
        async with fresh() as engine, opened(engine) as database:
            yield StoreInTransactionsOfAHost(engine, database)

    return open_store


def accounts_over(fresh: FreshEngine) -> OpenAccountStore:
    @asynccontextmanager
    async def open_store() -> AsyncIterator[AccountStore]:
        async with fresh() as engine, opened(engine) as database:
            yield SqlAccountStore(database)

    return open_store


class TestStrategiesOverAnEngineToPostgresql(StrategyStoreContract):
    @pytest.fixture
    def open_store(self, postgresql: FreshEngine) -> OpenStrategyStore:
        return strategies_over(postgresql)


class TestStrategiesOverAnEngineToSqlite(StrategyStoreContract):
    one_writer_at_a_time = True

    @pytest.fixture
    def open_store(self, legacy_sqlite: FreshEngine) -> OpenStrategyStore:
        return strategies_over(legacy_sqlite)


class TestStrategiesInTransactionsOfAHostOnPostgresql(StrategyStoreContract):
    @pytest.fixture
    def open_store(self, postgresql: FreshEngine) -> OpenStrategyStore:
        return strategies_in_transactions(postgresql)


class TestStrategiesInTransactionsOfAHostOnSqlite(StrategyStoreContract):
    one_writer_at_a_time = True

    @pytest.fixture
    def open_store(self, legacy_sqlite: FreshEngine) -> OpenStrategyStore:
        return strategies_in_transactions(legacy_sqlite)


class TestStrategiesInTransactionsOfAHostOnSqliteWithEvents(StrategyStoreContract):
    one_writer_at_a_time = True

    @pytest.fixture
    def open_store(self, sqlite_by_events: FreshEngine) -> OpenStrategyStore:
        return strategies_in_transactions(sqlite_by_events)


class TestAccountsOverAnEngineToPostgresql(AccountStoreContract):
    @pytest.fixture
    def open_store(self, postgresql: FreshEngine) -> OpenAccountStore:
        return accounts_over(postgresql)


class TestAccountsOverAnEngineToSqlite(AccountStoreContract):
    @pytest.fixture
    def open_store(self, legacy_sqlite: FreshEngine) -> OpenAccountStore:
        return accounts_over(legacy_sqlite)
