"""Hosts with an engine of SQLAlchemy: their strategies and their own rows are kept or undone together."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
from engines import begun_by_events, in_use, opened, sqlite_engine
from postgresql import Database
from sqlalchemy import Column, Integer, MetaData, String, Table, event, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool, StaticPool

from conftest import fresh_copy
from tradingagents_adapters.clock import utc_now
from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql import ConnectionOfAnotherDatabase, EngineDatabase, NoOpenTransaction
from tradingagents_adapters.sql.accounts import SqlAccountStore
from tradingagents_adapters.sql.strategies import SqlStrategyStore
from tradingagents_conformance.examples import CREATED, add_strategy, add_user, names
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.parameters import Parameters
from tradingagents_core.domain.strategies import StrategyContent
from tradingagents_core.errors import BlockFailed, NestedBlock, StoreUnavailable, StrategyNameTaken
from tradingagents_core.use_cases import StrategyUseCases

pytestmark = pytest.mark.anyio

ANN: Final = 1
BOB: Final = 2
SECONDS: Final = 30

orders: Final = Table(
    "orders", MetaData(), Column("id", Integer, primary_key=True), Column("name", String, unique=True)
)
"""A table of the host."""

MakeEngine = Callable[..., AsyncEngine]


@pytest.fixture(params=["sqlite", "sqlite with events", "postgresql"])
def make_engine(request: pytest.FixtureRequest, tmp_path: Path, migrated_sqlite: Path) -> MakeEngine:
    """Makes engines to one database, which has the newest tables and the table of the host."""
    if request.param == "postgresql":
        database: Database = request.getfixturevalue("database")
        database.sql("CREATE TABLE orders (id serial PRIMARY KEY, name text UNIQUE)")
        return lambda **options: create_async_engine(database.setting, **options)
    file = fresh_copy(migrated_sqlite, tmp_path / "host.db")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
    if request.param == "sqlite":
        return lambda **options: sqlite_engine(file, **options)
    return lambda **options: begun_by_events(sqlite_engine(file, **options))


@pytest.fixture
async def engine(make_engine: MakeEngine) -> AsyncIterator[AsyncEngine]:
    made = make_engine()
    yield made
    await made.dispose()


@pytest.fixture
async def over_engine(engine: AsyncEngine) -> AsyncIterator[EngineDatabase]:
    async with opened(engine) as opened_database:
        yield opened_database


@pytest.fixture
def core(over_engine: EngineDatabase) -> StrategyUseCases:
    return StrategyUseCases.over(store=SqlStrategyStore(over_engine), clock=utc_now)


async def order(connection: AsyncConnection, name: str) -> None:
    await connection.execute(insert(orders).values(name=name))


async def kept(engine: AsyncEngine, over_engine: EngineDatabase) -> tuple[list[str], list[str]]:
    """The names of the host's orders, and those of Ann's strategies."""
    async with engine.connect() as connection:
        ordered = list(await connection.scalars(select(orders.c.name).order_by(orders.c.id)))
    return ordered, await names(SqlStrategyStore(over_engine), ANN)


class FailureOfTheHost(Exception):
    pass


# Together


async def test_a_strategy_and_a_row_of_the_host_are_committed_together(
    engine: AsyncEngine, over_engine: EngineDatabase, core: StrategyUseCases
) -> None:
    async with engine.begin() as connection:
        await order(connection, "before")
        async with over_engine.strategies_within(connection, ANN) as work:
            await core.within(work).create(caller=Caller(user_id=ANN), content=StrategyContent(name="a"))
        await order(connection, "after")
    assert await kept(engine, over_engine) == (["before", "after"], ["a"])


async def test_a_strategy_and_a_row_of_a_session_are_committed_together(
    engine: AsyncEngine, over_engine: EngineDatabase, core: StrategyUseCases
) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(insert(orders).values(name="before"))
        async with over_engine.strategies_within(await session.connection(), ANN) as work:
            await core.within(work).create(caller=Caller(user_id=ANN), content=StrategyContent(name="a"))
        await session.commit()
    assert await kept(engine, over_engine) == (["before"], ["a"])


async def test_a_session_that_is_rolled_back_takes_the_strategy_with_it(
    engine: AsyncEngine, over_engine: EngineDatabase
) -> None:
    async with AsyncSession(engine) as session:
        async with over_engine.strategies_within(await session.connection(), ANN) as work:
            await work.strategies.add(StrategyContent(name="a"), at=CREATED)
        await session.rollback()
    assert await kept(engine, over_engine) == ([], [])


async def test_a_failure_of_the_host_takes_the_strategy_with_it(
    engine: AsyncEngine, over_engine: EngineDatabase
) -> None:
    with pytest.raises(FailureOfTheHost):
        async with engine.begin() as connection:
            async with over_engine.strategies_within(connection, ANN) as work:
                await work.strategies.add(StrategyContent(name="a"), at=CREATED)
            raise FailureOfTheHost
    assert await kept(engine, over_engine) == ([], [])


async def test_a_refusal_of_ours_takes_the_row_of_the_host_with_it(
    engine: AsyncEngine, over_engine: EngineDatabase
) -> None:
    await add_strategy(SqlStrategyStore(over_engine), ANN, "taken")
    with pytest.raises(StrategyNameTaken):
        async with engine.begin() as connection:
            await order(connection, "order")
            async with over_engine.strategies_within(connection, ANN) as work:
                await work.strategies.add(StrategyContent(name="taken"), at=CREATED)
    assert await kept(engine, over_engine) == ([], ["taken"])


async def test_a_host_that_catches_our_refusal_outside_the_block_can_go_on(
    engine: AsyncEngine, over_engine: EngineDatabase
) -> None:
    await add_strategy(SqlStrategyStore(over_engine), ANN, "taken")
    async with engine.begin() as connection:
        await order(connection, "before")
        with pytest.raises(StrategyNameTaken):
            async with over_engine.strategies_within(connection, ANN) as work:
                await work.strategies.add(StrategyContent(name="undone"), at=CREATED)
                await work.strategies.add(StrategyContent(name="taken"), at=CREATED)
        async with over_engine.strategies_within(connection, ANN) as work:
            await work.strategies.add(StrategyContent(name="again"), at=CREATED)
        await order(connection, "after")
    assert await kept(engine, over_engine) == (["before", "after"], ["taken", "again"])


async def test_a_block_that_caught_a_refusal_is_undone_and_the_host_can_go_on(
    engine: AsyncEngine, over_engine: EngineDatabase
) -> None:
    async with engine.begin() as connection:
        with pytest.raises(BlockFailed):
            async with over_engine.strategies_within(connection, ANN) as work:
                await work.strategies.add(StrategyContent(name="a"), at=CREATED)
                with pytest.raises(StrategyNameTaken):
                    await work.strategies.add(StrategyContent(name="a"), at=CREATED)
        await order(connection, "order")
    assert await kept(engine, over_engine) == (["order"], [])


KILLED: Final = """
import asyncio, os, sys
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from tradingagents_adapters.sql import EngineDatabase
from tradingagents_conformance.examples import CREATED
from tradingagents_core.domain.strategies import StrategyContent

async def main():
    engine = create_async_engine(sys.argv[1])
    async with EngineDatabase(engine) as database, engine.begin() as connection:
        await connection.execute(text("INSERT INTO orders (name) VALUES ('order')"))
        async with database.strategies_within(connection, 1) as work:
            await work.strategies.add(StrategyContent(name="a"), at=CREATED)
        print("both are there", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_a_process_that_is_killed_before_the_host_commits_leaves_neither(
    engine: AsyncEngine, over_engine: EngineDatabase
) -> None:
    url = engine.url.render_as_string(hide_password=False)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, url, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"both are there\n"
    process.kill()
    await process.wait()
    assert await kept(engine, over_engine) == ([], [])


# The lock


async def test_the_owners_row_stays_locked_until_the_host_commits(
    engine: AsyncEngine, over_engine: EngineDatabase
) -> None:
    store = SqlStrategyStore(over_engine)
    async with engine.begin() as connection:
        async with over_engine.strategies_within(connection, ANN) as work:
            await work.strategies.add(StrategyContent(name="sooner"), at=CREATED)
        later = asyncio.ensure_future(add_strategy(store, ANN, "later"))
        await asyncio.wait({later}, timeout=0.2)
        assert not later.done()
    await asyncio.wait_for(later, SECONDS)
    assert await names(store, ANN) == ["sooner", "later"]


async def test_a_block_of_the_store_in_a_task_with_an_open_transaction_is_refused_at_once(
    engine: AsyncEngine, over_engine: EngineDatabase
) -> None:
    store = SqlStrategyStore(over_engine)
    async with engine.begin() as connection:
        async with over_engine.strategies_within(connection, ANN):
            with pytest.raises(NestedBlock):
                await add_strategy(store, ANN, "within")
            with pytest.raises(NestedBlock):
                async with over_engine.strategies_within(connection, BOB):
                    pass
        with pytest.raises(NestedBlock):
            await add_strategy(store, ANN, "after")
    await add_strategy(store, ANN, "a")
    assert await names(store, ANN) == ["a"]


async def test_blocks_of_several_owners_follow_each_other_in_one_transaction(
    engine: AsyncEngine, over_engine: EngineDatabase
) -> None:
    async with engine.begin() as connection:
        for owner in (ANN, BOB, ANN):
            async with over_engine.strategies_within(connection, owner) as work:
                page = await work.strategies.list(skip=0, limit=10, active_only=False)
                await work.strategies.add(StrategyContent(name=f"{page.total}"), at=CREATED)
    store = SqlStrategyStore(over_engine)
    assert (await names(store, ANN), await names(store, BOB)) == (["0", "1"], ["0"])


# Connections that cannot be used


async def test_a_connection_without_a_transaction_is_refused(engine: AsyncEngine, over_engine: EngineDatabase) -> None:
    async with engine.connect() as connection:
        with pytest.raises(NoOpenTransaction, match="no open transaction"):
            async with over_engine.strategies_within(connection, ANN):
                pass
    with pytest.raises(NoOpenTransaction, match="no open transaction"):
        async with over_engine.strategies_within(connection, ANN):
            pass


async def test_a_connection_in_autocommit_mode_is_refused(make_engine: MakeEngine, over_engine: EngineDatabase) -> None:
    engine = make_engine(isolation_level="AUTOCOMMIT")
    if list(engine.sync_engine.dispatch.begin):
        await engine.dispose()
        return  # The events begin a transaction in autocommit mode, too.
    async with engine.begin() as connection:
        with pytest.raises(NoOpenTransaction, match="autocommit"):
            async with over_engine.strategies_within(connection, ANN):
                pass
    await engine.dispose()


async def test_a_connection_to_another_database_is_refused(over_engine: EngineDatabase, tmp_path: Path) -> None:
    other = sqlite_engine(tmp_path / "other.db")
    async with other.begin() as connection:
        with pytest.raises(ConnectionOfAnotherDatabase, match=r"other\.db"):
            over_engine.strategies_within(connection, ANN)
    await other.dispose()


async def test_a_transaction_that_the_host_ends_within_the_block_is_named(
    engine: AsyncEngine, over_engine: EngineDatabase
) -> None:
    with pytest.raises(NoOpenTransaction, match="has ended"):
        async with engine.connect() as connection:
            await connection.begin()
            async with over_engine.strategies_within(connection, ANN) as work:
                await work.strategies.add(StrategyContent(name="a"), at=CREATED)
                await connection.rollback()
    assert await kept(engine, over_engine) == ([], [])


# Engines


@pytest.mark.parametrize(
    ("url", "options"),
    [("sqlite+aiosqlite://", {}), ("sqlite+aiosqlite:////tmp/a.db", {"poolclass": StaticPool})],
    ids=["memory", "one connection"],
)
def test_an_engine_with_one_connection_for_all_callers_is_refused(url: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="one connection for all callers"):
        EngineDatabase(create_async_engine(url, **options))


def test_an_engine_with_another_driver_is_refused_with_the_names_of_the_supported_ones() -> None:
    class Dialect:
        name, driver = "mysql", "asyncmy"

    class Engine:
        dialect = Dialect()

    with pytest.raises(ConfigurationError, match=r"mysql\+asyncmy.*postgresql\+asyncpg and sqlite\+aiosqlite"):
        EngineDatabase(Engine())  # type: ignore[arg-type]


def strange_json(value: object) -> str:
    return json.dumps({"not": "what was meant"})


CONFIGURED: Final[list[dict[str, Any]]] = [
    {"isolation_level": "AUTOCOMMIT"},
    {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True},
    {"isolation_level": "SERIALIZABLE"},
    {"poolclass": NullPool},
    {"pool_pre_ping": True, "pool_recycle": 1},
    {"pool_size": 1, "max_overflow": 0},
    {"json_serializer": strange_json, "json_deserializer": lambda _: {"not": "this"}},
    {"execution_options": {"logging_token": "host"}},
]


@pytest.mark.parametrize("options", CONFIGURED, ids=" ".join)
async def test_a_store_keeps_its_promises_over_an_engine_with(make_engine: MakeEngine, options: dict[str, Any]) -> None:
    engine = make_engine(**options)
    if "skip_autocommit_rollback" in options and list(engine.sync_engine.dispatch.begin):
        await engine.dispose()
        return  # SQLAlchemy would end no transaction that the events begin.
    exactly = '{"b":1e22,"a":[-0.0,1.0,"\\u00fc"],"z":{}}'
    async with opened(engine) as over_engine, asyncio.timeout(SECONDS):
        store = SqlStrategyStore(over_engine)
        content = StrategyContent(name="exact", parameters=Parameters.from_store(exactly))
        strategy = await add_strategy(store, ANN, content)
        with pytest.raises(StrategyNameTaken):
            await add_strategy(store, ANN, "exact")
        with pytest.raises(FailureOfTheHost):
            async with store.write(ANN) as work:
                await work.strategies.add(StrategyContent(name="undone"), at=CREATED)
                raise FailureOfTheHost
        await asyncio.gather(*[add_strategy(store, ANN, f"{number}") for number in range(6)])
        async with store.read() as view:
            assert (await view.strategies.get(owner_id=ANN, strategy_id=strategy.id)).parameters.json == exactly
        assert sorted(await names(store, ANN)) == [*map(str, range(6)), "exact"]
        user = await add_user(SqlAccountStore(over_engine), "ann@example.com")
        async with SqlAccountStore(over_engine).read() as accounts:
            assert await accounts.users.find(user.id) == user


async def test_a_failed_block_on_sqlite_keeps_nothing_locked_where_sqlalchemy_skips_rollbacks(
    tmp_path: Path, migrated_sqlite: Path
) -> None:
    file = fresh_copy(migrated_sqlite, tmp_path / "host.db")
    engine = sqlite_engine(file, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)
    async with opened(engine) as over_engine:
        with pytest.raises(FailureOfTheHost):
            async with SqlStrategyStore(over_engine).write(ANN):
                raise FailureOfTheHost
        with closing(sqlite3.connect(file, timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")


async def test_a_codec_of_the_host_for_json_neither_reads_nor_writes_parameters(database: Database) -> None:
    engine = create_async_engine(database.setting)

    @event.listens_for(engine.sync_engine, "connect")
    def do_connect(connection: Any, _: object) -> None:
        connection.run_async(
            lambda driver: driver.set_type_codec("json", encoder=strange_json, decoder=str.upper, schema="pg_catalog")
        )

    async with opened(engine) as over_engine:
        store = SqlStrategyStore(over_engine)
        strategy = await add_strategy(store, ANN, StrategyContent(name="a", parameters=Parameters({"a": "b"})))
        async with store.read() as view:
            assert (await view.strategies.get(owner_id=ANN, strategy_id=strategy.id)).parameters.json == '{"a":"b"}'


async def test_the_events_of_the_host_see_every_statement(engine: AsyncEngine, over_engine: EngineDatabase) -> None:
    seen: list[str] = []

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def see(connection: Any, cursor: Any, statement: str, *_: object) -> None:
        seen.append(statement)

    await add_strategy(SqlStrategyStore(over_engine), ANN, "a")
    await names(SqlStrategyStore(over_engine), ANN)
    for part in ("INSERT INTO tradingagents_strategies", "SELECT"):
        assert any(part in statement for statement in seen)


async def test_the_end_of_the_database_leaves_the_engine_to_the_host(engine: AsyncEngine) -> None:
    async with EngineDatabase(engine) as over_engine:
        await add_strategy(SqlStrategyStore(over_engine), ANN, "a")
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM tradingagents_strategies")) == 1


async def test_a_pool_without_a_free_connection_is_a_store_that_is_not_available(make_engine: MakeEngine) -> None:
    engine = make_engine(pool_size=1, max_overflow=0, pool_timeout=0.1)
    async with opened(engine) as over_engine:
        async with engine.connect():
            with pytest.raises(StoreUnavailable):
                await names(SqlStrategyStore(over_engine), ANN)
            with pytest.raises(StoreUnavailable):
                await add_strategy(SqlStrategyStore(over_engine), ANN, "a")
        await add_strategy(SqlStrategyStore(over_engine), ANN, "a")


async def test_callers_that_are_cancelled_anywhere_leave_no_connection_in_use(
    engine: AsyncEngine, over_engine: EngineDatabase
) -> None:
    store = SqlStrategyStore(over_engine)

    async def in_a_transaction(number: int) -> None:
        async with engine.begin() as connection, over_engine.strategies_within(connection, ANN) as work:
            await work.strategies.add(StrategyContent(name=f"host {number}"), at=CREATED)

    for number in range(0, 60, 2):
        callers = [
            asyncio.ensure_future(add_strategy(store, ANN, f"{number}")),
            asyncio.ensure_future(names(store, ANN)),
            asyncio.ensure_future(in_a_transaction(number)),
        ]
        for _ in range(number):
            await asyncio.sleep(0)
        for caller in callers:
            caller.cancel()
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*callers, return_exceptions=True)
    assert in_use(engine) == 0
    await asyncio.wait_for(add_strategy(store, ANN, "next"), SECONDS)


# The schema


@pytest.fixture(params=["sqlite", "sqlite with events", "postgresql"])
def empty_engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncEngine:
    if request.param == "postgresql":
        return create_async_engine(request.getfixturevalue("empty_database").setting)
    engine = sqlite_engine(tmp_path / "empty.db")
    return begun_by_events(engine) if "events" in request.param else engine


async def test_an_empty_database_is_refused_with_the_way_to_migrate_it(empty_engine: AsyncEngine) -> None:
    with pytest.raises(ConfigurationError, match=r"EngineDatabase\(engine\)\.migrate\(\)"):
        async with opened(empty_engine):
            pass


async def test_a_database_that_may_migrate_does_so_on_the_engine(empty_engine: AsyncEngine) -> None:
    async with opened(empty_engine, migrates=True) as database:
        await add_strategy(SqlStrategyStore(database), ANN, "a")
        async with empty_engine.connect() as connection:
            if empty_engine.dialect.name == "sqlite":
                assert await connection.scalar(text("PRAGMA legacy_alter_table")) == 0


async def test_a_host_migrates_when_it_likes_and_as_often(empty_engine: AsyncEngine) -> None:
    async with asyncio.timeout(60):
        await asyncio.gather(*[EngineDatabase(empty_engine).migrate() for _ in range(3)])
    async with opened(empty_engine) as database:
        await add_strategy(SqlStrategyStore(database), ANN, "a")


# PostgreSQL


async def end_other_sessions(other: asyncpg.Connection) -> None:
    await other.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


async def test_sessions_that_the_server_ended_while_they_were_idle_cost_nobody_an_answer(database: Database) -> None:
    other = await asyncpg.connect(database.dsn)
    async with opened(create_async_engine(database.setting)) as over_engine:
        store = SqlStrategyStore(over_engine)
        uses: list[Callable[[], Awaitable[object]]] = [
            lambda: names(store, ANN),
            lambda: add_strategy(store, ANN, "a"),
            lambda: add_user(SqlAccountStore(over_engine), "ann@example.com"),
        ]
        for use in uses:
            await asyncio.gather(*[names(store, ANN) for _ in range(5)])
            await end_other_sessions(other)
            await use()
    await other.close()


async def test_a_session_that_the_server_ends_in_a_block_is_a_store_that_is_not_available(database: Database) -> None:
    other = await asyncpg.connect(database.dsn)
    async with opened(create_async_engine(database.setting)) as over_engine:
        store = SqlStrategyStore(over_engine)
        with pytest.raises(StoreUnavailable):
            async with store.write(ANN) as work:
                await work.strategies.add(StrategyContent(name="lost"), at=CREATED)
                await end_other_sessions(other)
                await work.strategies.add(StrategyContent(name="refused"), at=CREATED)
        assert await names(store, ANN) == []
    await other.close()


async def test_a_lock_timeout_of_the_host_limits_how_long_a_block_waits(database: Database) -> None:
    limits = {"server_settings": {"lock_timeout": "100ms"}}
    engine = create_async_engine(database.setting, connect_args=limits)
    async with opened(engine) as over_engine, engine.begin() as connection:
        async with over_engine.strategies_within(connection, ANN):
            pass
        refused = asyncio.ensure_future(add_strategy(SqlStrategyStore(over_engine), ANN, "a"))
        with pytest.raises(StoreUnavailable) as refusal:
            await asyncio.wait_for(refused, SECONDS)
        assert "the lock of row 1 of tradingagents_owners" in refusal.value.reason


async def test_conflicts_of_a_serializable_transaction_of_a_host_are_a_store_that_is_not_available(
    database: Database,
) -> None:
    engine = create_async_engine(database.setting, isolation_level="SERIALIZABLE")
    async with opened(engine) as over_engine:
        store = SqlStrategyStore(over_engine)
        await add_strategy(store, ANN, "a")
        with pytest.raises(StoreUnavailable):
            async with engine.begin() as connection:
                await connection.execute(text("SELECT count(*) FROM tradingagents_strategies"))
                await asyncio.create_task(add_strategy(store, ANN, "sooner"))
                async with over_engine.strategies_within(connection, ANN) as work:
                    await work.strategies.add(StrategyContent(name="later"), at=CREATED)
        assert await names(store, ANN) == ["a", "sooner"]
