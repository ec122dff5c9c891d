"""Transactions on every SQL database: they begin by locking a row, and end once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest
from engines import opened_by
from postgresql import Database as PostgresqlDatabase
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    Table,
    bindparam,
    insert,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.engine import URL
from sqlalchemy.schema import CreateTable

from tradingagents_adapters.database_url import read_database_url
from tradingagents_adapters.sql import open_database
from tradingagents_adapters.sql.connection import COMPILED_AT_MOST, Connection
from tradingagents_adapters.sql.database import Database
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.transaction import RowLock
from tradingagents_core.errors import BlockEnded, StoreUnavailable

pytestmark = pytest.mark.anyio

SECONDS: Final = 30
"""How long a test waits for an event that should happen at once."""

counters: Final = Table(
    "counters",
    MetaData(),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
)

ONE: Final[Any] = literal_column("1", Integer)
ALL: Final = select(counters).order_by(counters.c.id)
COUNT: Final = update(counters).where(counters.c.id == bindparam("counter")).values(number=counters.c.number + ONE)
FIND: Final = select(counters.c.number).where(counters.c.id == bindparam("counter"))
ADD: Final = insert(counters).values(id=bindparam("counter"), number=bindparam("number"))


CREATE: Final = text(str(CreateTable(counters)))


def made(counter: int) -> RowLock:
    """The lock of a counter's row, which is inserted where it does not exist."""
    return RowLock(counters, counter, insert="INSERT INTO counters VALUES ({id}, 0) ON CONFLICT DO NOTHING")


@pytest.fixture(params=["sqlite", "postgresql", "pgbouncer"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseOptions:
    """The options of a database; the last one with the settings for pgbouncer."""
    if request.param == "sqlite":
        return DatabaseOptions(url=URL.create("sqlite+aiosqlite", database=str(tmp_path / "transactions.db")))
    database: PostgresqlDatabase = request.getfixturevalue("empty_database")
    return DatabaseOptions(url=read_database_url(database.setting), pgbouncer=request.param == "pgbouncer", pool_size=3)


@pytest.fixture(params=["driver", "engine"])
def way(request: pytest.FixtureRequest) -> str:
    """By its driver, or over an engine of SQLAlchemy."""
    return str(request.param)


@pytest.fixture
async def database(options: DatabaseOptions, way: str) -> AsyncIterator[Database]:
    """A database with the table, which has one row with the number 1."""
    async with opened_by(way, options) as database:
        await database.write(CREATE)
        await database.write(ADD, counter=1, number=0)
        yield database


@pytest.fixture
def round_trips(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Records each round trip of the connections: SQL text as it is, and a statement by its kind."""
    seen: list[Any] = []
    execute, execute_for = Connection.execute, Connection.execute_for
    fetch, commit = Connection.fetch, Connection.commit

    async def seen_execute(self: Connection, *texts: str) -> int:
        seen.append(texts)
        return await execute(self, *texts)

    async def seen_execute_for(self: Connection, row_id: int, *texts: str) -> int:
        seen.append(tuple(sql.format(id=row_id) for sql in texts))
        return await execute_for(self, row_id, *texts)

    async def seen_commit(self: Connection) -> None:
        seen.append(("COMMIT",))
        await commit(self)

    async def seen_fetch(self: Connection, statements: Any, values: Any, **others: Any) -> Any:
        seen.append(tuple(type(statement).__name__ for statement in statements))
        return await fetch(self, statements, values, **others)

    monkeypatch.setattr(Connection, "execute", seen_execute)
    monkeypatch.setattr(Connection, "execute_for", seen_execute_for)
    monkeypatch.setattr(Connection, "fetch", seen_fetch)
    monkeypatch.setattr(Connection, "commit", seen_commit)
    return seen


async def numbers(database: Database) -> dict[int, int]:
    return {row["id"]: row["number"] for row in await database.read(ALL)}


async def count(database: Database, row: RowLock) -> None:
    """Read a number and store its successor, while the row is locked."""
    async with database.transaction(row=row) as transaction:
        [before] = await transaction.fetch(FIND, counter=row.id)
        # Without the lock, other transactions would read the same number here.
        await asyncio.sleep(0)
        set_to = update(counters).where(counters.c.id == bindparam("counter")).values(number=bindparam("more"))
        await transaction.fetch(set_to, counter=row.id, more=before["number"] + 1)


async def test_a_transaction_begins_and_locks_its_row_in_one_round_trip(
    database: Database, round_trips: list[Any]
) -> None:
    async with database.transaction(row=RowLock(counters, 1)) as transaction:
        assert transaction.has_row
        await transaction.fetch(COUNT, counter=1)
    begin, counted, end = round_trips
    locked = f"SELECT id FROM counters WHERE id = 1{database.driver.for_update}"
    assert (begin, counted, end) == ((*database.driver.begin, locked), ("Update",), ("COMMIT",))
    assert await numbers(database) == {1: 1}


async def test_a_transaction_without_a_row_begins_with_its_first_statement(
    database: Database, round_trips: list[Any]
) -> None:
    async with database.transaction() as transaction:
        assert (transaction.has_row, round_trips) == (False, [])
        await transaction.fetch(COUNT, counter=1)
        assert round_trips == [begin for begin in (database.driver.begin,) if begin] + [("Update",)]
    async with database.transaction():
        pass
    assert round_trips[-2:] == [("Update",), ("COMMIT",)]


async def test_transactions_that_lock_one_row_follow_each_other(database: Database) -> None:
    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*[count(database, RowLock(counters, 1)) for _ in range(20)])
    assert await numbers(database) == {1: 20}


class NoSuchCounter(Exception):
    """The error of a caller that finds no row."""


async def test_a_caller_learns_that_there_is_no_such_row_and_its_own_error_ends_the_transaction(
    database: Database, round_trips: list[Any]
) -> None:
    for _ in range(5):
        with pytest.raises(NoSuchCounter):
            async with database.transaction(row=RowLock(counters, 2)) as transaction:
                if not transaction.has_row:
                    raise NoSuchCounter
    assert len(round_trips) == 5
    # No connection or lock is held any more.
    async with asyncio.timeout(SECONDS):
        await count(database, RowLock(counters, 1))
    assert await numbers(database) == {1: 1}


async def test_a_row_that_is_missing_is_made_and_locked_in_one_more_round_trip(
    database: Database, round_trips: list[Any]
) -> None:
    async with database.transaction(row=made(2)) as transaction:
        assert transaction.has_row
    assert [len(statements) for statements in round_trips] == [len(database.driver.begin) + 1, 2, 1]
    round_trips.clear()
    async with database.transaction(row=made(2)) as transaction:
        assert transaction.has_row
    assert [len(statements) for statements in round_trips] == [len(database.driver.begin) + 1, 1]
    assert await numbers(database) == {1: 0, 2: 0}


async def test_a_row_that_was_made_goes_with_its_transaction(database: Database) -> None:
    with pytest.raises(NoSuchCounter):
        async with database.transaction(row=made(2)):
            raise NoSuchCounter
    assert await numbers(database) == {1: 0}


async def test_transactions_that_make_one_row_at_once_follow_each_other(options: DatabaseOptions, way: str) -> None:
    # Two databases behave like two processes: the writers of each wait for the writers of the other.
    async with opened_by(way, options) as database, open_database(options) as other, asyncio.timeout(SECONDS):
        await other.write(CREATE)
        await asyncio.gather(*[count(either, made(2)) for _ in range(10) for either in (database, other)])
        assert await numbers(database) == {2: 20}


async def test_a_row_can_be_locked_in_the_middle_of_a_transaction(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.fetch(COUNT, counter=1)
        assert await transaction.lock_row(made(2))
        assert not await transaction.lock_row(RowLock(counters, 3))
    assert await numbers(database) == {1: 1, 2: 0}


async def test_a_transaction_that_cannot_lock_its_row_keeps_no_connection(
    options: DatabaseOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradingagents_adapters.sql.drivers.aiosqlite.BUSY_SECONDS", 0.1)
    impatient = DatabaseOptions(
        url=options.url, pgbouncer=options.pgbouncer, pool_size=1, statement_timeout=0.1, answer_timeout=0.3
    )
    async with open_database(options) as database, open_database(impatient) as other, asyncio.timeout(SECONDS):
        await database.write(CREATE)
        async with database.transaction(row=made(1)):
            for _ in range(3):
                with pytest.raises(StoreUnavailable) as refusal:
                    async with other.transaction(row=made(1)):
                        pass
                assert any(
                    words in refusal.value.reason for words in ("the lock of row 1", "locked for", "within 0.3 s")
                )
        await count(other, made(1))
        assert await numbers(database) == {1: 1}


async def test_callers_that_are_cancelled_anywhere_while_they_enter_leave_nothing_behind(database: Database) -> None:
    async with asyncio.timeout(SECONDS):
        for steps in range(30):
            entering = asyncio.ensure_future(count(database, made(steps % 5 + 1)))
            for _ in range(steps):
                await asyncio.sleep(0)
            entering.cancel()
            await asyncio.wait({entering})
        kept = sum((await numbers(database)).values())
        for counter in range(1, 6):
            await count(database, made(counter))
        assert sum((await numbers(database)).values()) == kept + 5


async def test_a_transaction_that_has_ended_cannot_be_used_again(database: Database) -> None:
    async with database.transaction(row=RowLock(counters, 1)) as transaction:
        pass
    uses: list[Callable[[], Awaitable[object]]] = [
        lambda: transaction.fetch(COUNT, counter=1),
        lambda: transaction.lock_row(RowLock(counters, 1)),
    ]
    for use in uses:
        with pytest.raises(BlockEnded):
            await use()
    assert await numbers(database) == {1: 0}


async def test_statements_that_are_run_together_share_their_values_and_the_last_one_returns_rows(
    database: Database, round_trips: list[Any]
) -> None:
    async with database.transaction(row=RowLock(counters, 1)) as transaction:
        [row] = await transaction.fetch(COUNT, COUNT, FIND, counter=1)
    assert row["number"] == 2
    assert round_trips[1:-1] == [("Update", "Update", "Select")]


async def test_statements_that_were_not_used_for_long_are_compiled_anew(database: Database) -> None:
    for number in range(COMPILED_AT_MOST + 100):
        await database.read(select(literal_column(str(number))))
    assert len(database.compiler._compiled) == COMPILED_AT_MOST


async def test_statements_and_the_begin_of_a_transaction_are_logged_where_that_is_wanted(
    options: DatabaseOptions, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sqlalchemy.engine.Engine")
    echoing = DatabaseOptions(url=options.url, pgbouncer=options.pgbouncer, echo=True)
    async with open_database(echoing) as database:
        await database.write(CREATE)
        caplog.clear()
        async with database.transaction(row=made(1)) as transaction:
            await transaction.fetch(FIND, counter=1)
    logged = [record.getMessage().split()[0] for record in caplog.records if record.name.startswith("sqlalchemy")]
    assert logged == ["BEGIN", "SELECT", "INSERT", "SELECT", "SELECT", "COMMIT"]
