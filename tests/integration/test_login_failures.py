"""The counts of failed logins, in memory and in every database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from postgresql import Database
from sqlalchemy.engine import URL

from tradingagents_adapters.memory import MemoryLoginFailures
from tradingagents_adapters.settings import DatabaseSettings
from tradingagents_adapters.sql import open_database
from tradingagents_adapters.sql.login_failures import SqlLoginFailures
from tradingagents_adapters.sql.schema import migrate
from tradingagents_conformance import LoginFailuresContract
from tradingagents_core.domain.login_throttle import FORGOTTEN_AFTER, FailureCount
from tradingagents_core.ports import LoginFailures

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)


@asynccontextmanager
async def over_sql(settings: DatabaseSettings) -> AsyncIterator[LoginFailures]:
    await migrate(settings)
    async with open_database(settings) as database:
        yield SqlLoginFailures(database)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseSettings | None:
    """Where the counts are kept; nowhere but in memory for the first."""
    if request.param == "memory":
        return None
    if request.param == "sqlite":
        return DatabaseSettings(database_url=URL.create("sqlite+aiosqlite", database=str(tmp_path / "failures.db")))
    database: Database = request.getfixturevalue("database")
    return DatabaseSettings(database_url=database.setting)


@pytest.fixture
async def failures(settings: DatabaseSettings | None) -> AsyncIterator[LoginFailures]:
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


async def test_a_count_that_is_long_ago_starts_anew(failures: LoginFailures) -> None:
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
