"""The counts of failed logins, in memory and in every database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from postgresql import Database, eventually
from sqlalchemy.engine import URL

from tradingagents_adapters.database_url import read_database_url
from tradingagents_adapters.memory import MemoryLoginFailures
from tradingagents_adapters.sql import open_database
from tradingagents_adapters.sql.login_failures import SqlLoginFailures
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.schema import migrate
from tradingagents_conformance import LoginFailuresContract
from tradingagents_core.domain.login_throttle import FORGOTTEN_AFTER, FailureCount
from tradingagents_core.ports import LoginFailures

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)


@asynccontextmanager
async def over_sql(settings: DatabaseOptions) -> AsyncIterator[LoginFailures]:
    await migrate(settings)
    async with open_database(settings) as database:
        yield SqlLoginFailures(database)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseOptions | None:
    """The options of the database with the counts; None for the counts in memory."""
    if request.param == "memory":
        return None
    if request.param == "sqlite":
        return DatabaseOptions(url=URL.create("sqlite+aiosqlite", database=str(tmp_path / "failures.db")))
    database: Database = request.getfixturevalue("database")
    return DatabaseOptions(url=read_database_url(database.setting))


@pytest.fixture
async def failures(settings: DatabaseOptions | None) -> AsyncIterator[LoginFailures]:
    if settings is None:
        yield MemoryLoginFailures()
    else:
        async with over_sql(settings) as opened:
            yield opened


class TestSqlLoginFailures(LoginFailuresContract):
    @pytest.fixture
    def login_failures(self, failures: LoginFailures) -> LoginFailures:
        return failures


async def test_a_key_without_failures_has_no_count(failures: LoginFailures) -> None:
    await failures.add(["a"], at=NOW)
    assert await failures.find(["b", "c"]) == {}
    assert await failures.find([]) == {}


async def test_each_failure_is_counted_under_each_key(failures: LoginFailures) -> None:
    await failures.add(["a", "b", "c"], at=NOW - timedelta(minutes=1))
    await failures.add(["a", "b"], at=NOW)

    assert await failures.find(["a", "b", "c"]) == {
        "a": FailureCount(2, NOW),
        "b": FailureCount(2, NOW),
        "c": FailureCount(1, NOW - timedelta(minutes=1)),
    }


async def test_failures_at_once_are_all_counted(failures: LoginFailures) -> None:
    await asyncio.wait_for(
        asyncio.gather(*[failures.add(["a", "b"] if number % 2 else ["b", "a"], at=NOW) for number in range(20)]), 30
    )

    assert await failures.find(["a", "b"]) == {"a": FailureCount(20, NOW), "b": FailureCount(20, NOW)}


async def test_an_old_count_starts_again(failures: LoginFailures) -> None:
    await failures.add(["a", "b"], at=NOW)
    later = NOW + FORGOTTEN_AFTER + timedelta(microseconds=1)
    await failures.add(["a"], at=later)

    assert await failures.find(["a"]) == {"a": FailureCount(1, later)}


async def test_a_count_lasts_until_it_is_long_ago(failures: LoginFailures) -> None:
    await failures.add(["a"], at=NOW)
    await failures.add(["a"], at=NOW + FORGOTTEN_AFTER)

    assert await failures.find(["a"]) == {"a": FailureCount(2, NOW + FORGOTTEN_AFTER)}


async def test_what_is_cleared_has_no_count(failures: LoginFailures) -> None:
    await failures.add(["a", "b"], at=NOW)
    await failures.clear(["a", "c"])

    assert await failures.find(["a", "b"]) == {"b": FailureCount(1, NOW)}


async def test_a_key_that_begins_like_another_is_another(failures: LoginFailures) -> None:
    key = "k" * 64
    await failures.add([key], at=NOW)
    await failures.clear([f"{key}longer"])

    assert await failures.find([f"{key}longer"]) == {}
    assert await failures.find([key]) == {key: FailureCount(1, NOW)}


# Tests with two sessions of PostgreSQL


@pytest.fixture
async def on_postgresql(database: Database) -> AsyncIterator[tuple[LoginFailures, asyncpg.Connection]]:
    """The counts, and another session in the same database."""
    other = await asyncpg.connect(database.dsn)
    async with over_sql(DatabaseOptions(url=read_database_url(database.setting))) as failures:
        yield failures, other
    await other.close()


async def waiting(other: asyncpg.Connection, count: int) -> None:
    """Return when `count` statements wait for a lock."""

    async def wait() -> bool:
        return await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") >= count

    await eventually(wait, 30)


async def test_two_that_count_under_the_same_keys_in_other_orders_do_not_wait_for_each_other(
    on_postgresql: tuple[LoginFailures, asyncpg.Connection],
) -> None:
    failures, other = on_postgresql
    await failures.add(["a", "b", "c"], at=NOW)
    async with other.transaction():
        await other.execute("SELECT FROM tradingagents_login_failures WHERE key = 'c' FOR UPDATE")
        first = asyncio.ensure_future(failures.add(["a", "c", "b"], at=NOW))
        await waiting(other, 1)
        second = asyncio.ensure_future(failures.add(["b", "a"], at=NOW))
        await waiting(other, 2)
    await asyncio.gather(first, second)
    assert {key: count.count for key, count in (await failures.find(["a", "b", "c"])).items()} == {
        "a": 3,
        "b": 3,
        "c": 2,
    }


async def test_a_cancelled_caller_waits_until_its_failure_has_been_counted(
    on_postgresql: tuple[LoginFailures, asyncpg.Connection],
) -> None:
    failures, other = on_postgresql
    await failures.add(["a"], at=NOW)
    async with other.transaction():
        await other.execute("SELECT FROM tradingagents_login_failures WHERE key = 'a' FOR UPDATE")
        counting = asyncio.ensure_future(failures.add(["a"], at=NOW))
        await waiting(other, 1)
        counting.cancel()
        # When the caller continues, the outcome is settled.
        await asyncio.wait({counting}, timeout=0.3)
        assert not counting.done()
    with pytest.raises(asyncio.CancelledError):
        await counting
    assert (await failures.find(["a"]))["a"].count == 2
