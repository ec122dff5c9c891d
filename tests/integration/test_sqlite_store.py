import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from tradingagents_adapters.clock import utc_now
from tradingagents_adapters.sql.drivers.aiosqlite import BUSY_SECONDS
from tradingagents_conformance import OpenStore, StoreContract
from tradingagents_core.errors import StoreUnavailable
from tradingagents_core.ports import Store


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def open_store(self, open_sqlite_store: OpenStore) -> OpenStore:
        return open_sqlite_store


async def _add_user(store: Store, email: str) -> None:
    async with store.write() as work:
        await work.add_user(email=email, password_hash="hash", at=utc_now())


@pytest.mark.anyio
@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK"])
async def test_an_ending_that_fails_under_a_cancelled_caller_leaves_no_transaction_open(
    open_sqlite_store: OpenStore, monkeypatch: pytest.MonkeyPatch, ending: str
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
    async with open_sqlite_store() as store:

        async def add_ann() -> None:
            async with store.write() as work:
                await work.add_user(email="ann@example.com", password_hash="hash", at=utc_now())
                if ending == "ROLLBACK":
                    raise RuntimeError

        caller = asyncio.ensure_future(add_ann())
        await asyncio.wait({caller}, timeout=30)
        assert failed
        assert caller.cancelled() or caller.exception() is not None

        async with store.read() as view:
            assert await view.list_users() == []
        await asyncio.wait_for(_add_user(store, "bob@example.com"), 30)


@pytest.mark.anyio
async def test_writers_that_wait_for_another_process_hold_up_no_reader(
    tmp_path: Path, open_sqlite_store: OpenStore
) -> None:
    async with open_sqlite_store() as store:
        with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as other_process:
            other_process.execute("BEGIN IMMEDIATE")
            writers = [asyncio.ensure_future(_add_user(store, f"{number}@example.com")) for number in range(40)]
            await asyncio.wait(writers, timeout=0.1)
            async with asyncio.timeout(BUSY_SECONDS - 1), store.read() as view:
                assert await view.list_users() == []
            assert not any(writer.done() for writer in writers)
            other_process.execute("ROLLBACK")
            await asyncio.wait_for(asyncio.gather(*writers), 30)


@pytest.mark.anyio
async def test_a_database_that_another_process_keeps_locked_is_unavailable(
    tmp_path: Path, open_sqlite_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradingagents_adapters.sql.drivers.aiosqlite.BUSY_SECONDS", 0.1)
    async with open_sqlite_store() as store:
        with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as other_process:
            other_process.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable) as refusal:
                await _add_user(store, "ann@example.com")
        assert refusal.value.reason == f"another process kept the SQLite file {tmp_path / 'store.db'} locked for 0.1 s"
        await _add_user(store, "ann@example.com")
