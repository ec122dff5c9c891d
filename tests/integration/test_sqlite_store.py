import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from in_process import OpenStores, accounts_of, strategies_of

from tradingagents_adapters.sql.drivers.aiosqlite import BUSY_SECONDS
from tradingagents_conformance import (
    AccountStoreContract,
    OpenAccountStore,
    OpenStrategyStore,
    StrategyStoreContract,
)
from tradingagents_conformance.examples import CREATED, add_strategy, add_user, names
from tradingagents_core.domain.strategies import StrategyContent
from tradingagents_core.errors import StoreUnavailable


class TestSqliteStrategies(StrategyStoreContract):
    one_writer_at_a_time = True

    @pytest.fixture
    def open_store(self, open_sqlite_stores: OpenStores) -> OpenStrategyStore:
        return strategies_of(open_sqlite_stores)


class TestSqliteAccounts(AccountStoreContract):
    @pytest.fixture
    def open_store(self, open_sqlite_stores: OpenStores) -> OpenAccountStore:
        return accounts_of(open_sqlite_stores)


@pytest.mark.anyio
@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK"])
async def test_an_ending_that_fails_under_a_cancelled_caller_leaves_no_transaction_open(
    open_sqlite_stores: OpenStores, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    execute = aiosqlite.Connection._execute
    failed = False

    async def fail_once(connection: aiosqlite.Connection, function: Callable[..., Any], *arguments: object) -> Any:
        nonlocal failed
        if not failed and ending in f"{function.__name__} {arguments}".upper():
            failed = True
            caller.cancel()
            raise sqlite3.OperationalError("disk I/O error")
        return await execute(connection, function, *arguments)

    monkeypatch.setattr(aiosqlite.Connection, "_execute", fail_once)
    async with open_sqlite_stores() as stores:

        async def add_one() -> None:
            async with stores.strategies.write(1) as work:
                await work.strategies.add(StrategyContent(name="a"), at=CREATED)
                if ending == "ROLLBACK":
                    raise RuntimeError

        caller = asyncio.ensure_future(add_one())
        await asyncio.wait({caller}, timeout=30)
        assert failed
        assert caller.cancelled() or caller.exception() is not None

        assert await names(stores.strategies, 1) == []
        await asyncio.wait_for(add_strategy(stores.strategies, 1, "b"), 30)


@pytest.mark.anyio
async def test_writers_that_wait_for_another_process_hold_up_no_reader(
    tmp_path: Path, open_sqlite_stores: OpenStores
) -> None:
    async with open_sqlite_stores() as stores:
        with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as other_process:
            other_process.execute("BEGIN IMMEDIATE")
            writers = [
                asyncio.ensure_future(add_user(stores.accounts, f"{number}@example.com")) for number in range(40)
            ]
            await asyncio.wait(writers, timeout=0.1)
            async with asyncio.timeout(BUSY_SECONDS - 1), stores.accounts.read() as view:
                assert await view.users.list() == []
            assert not any(writer.done() for writer in writers)
            other_process.execute("ROLLBACK")
            await asyncio.wait_for(asyncio.gather(*writers), 30)


@pytest.mark.anyio
async def test_a_database_that_another_process_keeps_locked_is_unavailable(
    tmp_path: Path, open_sqlite_stores: OpenStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradingagents_adapters.sql.drivers.aiosqlite.BUSY_SECONDS", 0.1)
    async with open_sqlite_stores() as stores:
        with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as other_process:
            other_process.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable) as refusal:
                await add_user(stores.accounts, "ann@example.com")
        assert refusal.value.reason == f"another process kept the SQLite file {tmp_path / 'store.db'} locked for 0.1 s"
        await add_user(stores.accounts, "ann@example.com")
