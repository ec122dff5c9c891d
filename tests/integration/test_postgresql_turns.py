"""Many writers for one owner queue in their process, and do not block other callers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from in_process import Stores
from postgresql import Database, eventually, in_use

from tradingagents_adapters.database_url import read_database_url
from tradingagents_adapters.sql import open_database
from tradingagents_adapters.sql.database import Database as SqlDatabase
from tradingagents_adapters.sql.drivers import asyncpg as adapter
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_conformance.examples import add_strategy, add_user, names
from tradingagents_core.errors import StoreUnavailable, UserNotFound

pytestmark = pytest.mark.anyio

HANG_SECONDS = 30
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let idle transactions last longer than the test."""
    monkeypatch.setattr(adapter, "IDLE_IN_TRANSACTION_SECONDS", HANG_SECONDS)


@asynccontextmanager
async def opened(
    database: Database, *, connections: int, seconds: float = HANG_SECONDS
) -> AsyncIterator[tuple[Stores, SqlDatabase]]:
    """A store with a pool of this size, whose statements wait this many seconds for a lock."""
    settings = DatabaseOptions(
        url=read_database_url(database.setting),
        pool_size=connections,
        statement_timeout=seconds,
        answer_timeout=seconds + 1,
    )
    async with open_database(settings) as sql_database:
        yield Stores.over(sql_database), sql_database


@asynccontextmanager
async def kept_by_somebody_else(database: Database, owner_id: int) -> AsyncIterator[asyncpg.Connection]:
    """A block in which another session has locked an owner's row."""
    connection = await asyncpg.connect(database.dsn)
    try:
        await connection.execute("INSERT INTO tradingagents_owners VALUES ($1, 0, 0)", owner_id)
        async with connection.transaction():
            await connection.execute("SELECT FROM tradingagents_owners WHERE id = $1 FOR UPDATE", owner_id)
            yield connection
    finally:
        await connection.close()


async def test_many_writes_of_one_owner_at_once_are_all_kept(database: Database, patient: None) -> None:
    async with opened(database, connections=3) as (stores, sql_database), asyncio.timeout(HANG_SECONDS):
        ann = await add_user(stores.accounts, "ann@example.com")
        await asyncio.gather(*[add_strategy(stores.strategies, ann.id, f"{number:02}") for number in range(40)])
        assert sorted(await names(stores.strategies, ann.id)) == [f"{number:02}" for number in range(40)]
        assert in_use(sql_database) == 0


async def test_an_owner_whose_row_is_kept_holds_up_nobody_else(database: Database, patient: None) -> None:
    async with opened(database, connections=2) as (stores, _), asyncio.timeout(HANG_SECONDS):
        ann, bob = (
            await add_user(stores.accounts, "ann@example.com"),
            await add_user(stores.accounts, "bob@example.com"),
        )
        async with kept_by_somebody_else(database, ann.id) as other:
            held_up = [
                asyncio.ensure_future(add_strategy(stores.strategies, ann.id, f"{number:02}")) for number in range(20)
            ]
            await eventually(lambda: other.fetchval(WAITING))
            await add_strategy(stores.strategies, bob.id, "bob's")
            assert await names(stores.strategies, bob.id) == ["bob's"]
            assert not any(writer.done() for writer in held_up)
        await asyncio.gather(*held_up)
        assert len(await names(stores.strategies, ann.id)) == 20


async def test_of_many_who_wait_for_one_row_one_asks_the_server(database: Database, patient: None) -> None:
    async with opened(database, connections=5) as (stores, sql_database), asyncio.timeout(HANG_SECONDS):
        ann = await add_user(stores.accounts, "ann@example.com")
        async with kept_by_somebody_else(database, ann.id) as other:
            held_up = [
                asyncio.ensure_future(add_strategy(stores.strategies, ann.id, f"{number}")) for number in range(5)
            ]
            await eventually(lambda: other.fetchval(WAITING))
            assert (await other.fetchval(WAITING), in_use(sql_database)) == (1, 1)
        await asyncio.gather(*held_up)


async def test_who_is_cancelled_while_waiting_for_a_turn_lets_the_next_have_it(
    database: Database, patient: None
) -> None:
    async with opened(database, connections=2) as (stores, sql_database), asyncio.timeout(HANG_SECONDS):
        ann = await add_user(stores.accounts, "ann@example.com")
        async with kept_by_somebody_else(database, ann.id) as other:
            held_up = [
                asyncio.ensure_future(add_strategy(stores.strategies, ann.id, f"{number}")) for number in range(6)
            ]
            await eventually(lambda: other.fetchval(WAITING))
            for writer in held_up[:5]:
                writer.cancel()
            outcomes = await asyncio.gather(*held_up[:5], return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
        await held_up[5]
        assert await names(stores.strategies, ann.id) == ["5"]
        assert in_use(sql_database) == 0


async def test_who_waits_for_a_turn_too_long_is_refused_and_the_reason_names_the_row(database: Database) -> None:
    async with opened(database, connections=2, seconds=0.3) as (stores, sql_database), asyncio.timeout(HANG_SECONDS):
        ann = await add_user(stores.accounts, "ann@example.com")
        async with kept_by_somebody_else(database, ann.id):
            outcomes = await asyncio.gather(
                *[add_strategy(stores.strategies, ann.id, f"{number}") for number in range(6)], return_exceptions=True
            )
        assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
        reasons = {outcome.reason for outcome in outcomes if isinstance(outcome, StoreUnavailable)}
        assert f"timed out after 0.3 s waiting for the lock of row {ann.id} of tradingagents_owners" in reasons
        assert {reason.partition("the lock of ")[2] for reason in reasons} == {f"row {ann.id} of tradingagents_owners"}
        await add_strategy(stores.strategies, ann.id, "a")
        assert in_use(sql_database) == 0


async def test_many_who_ask_for_a_row_that_is_not_there_are_all_told_so(database: Database, patient: None) -> None:
    async def take_nobody(stores: Stores) -> None:
        async with stores.accounts.write(10**6):
            pass

    async with opened(database, connections=2) as (stores, sql_database), asyncio.timeout(HANG_SECONDS):
        outcomes = await asyncio.gather(*[take_nobody(stores) for _ in range(10)], return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {UserNotFound}
        assert in_use(sql_database) == 0
