"""A running service, while its PostgreSQL is stopped, restarted, frozen or busy."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from callers import LIMIT, Callers, assert_healthy, assert_refused, new_tokens, stored_names
from in_process import Stores
from postgresql import Database, PostgresqlServer, eventually, in_use, running_server, statements
from processes import KEY, UVICORN, Machine, Server, only_line

from tradingagents_adapters.database_url import read_database_url
from tradingagents_adapters.sql import open_database
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_conformance.examples import CREATED, add_strategy, add_user, names
from tradingagents_core.domain.strategies import StrategyContent
from tradingagents_core.errors import StoreUnavailable

pytestmark = pytest.mark.anyio

LOAD: Final = 12
"""The number of clients that call without pause. Each client has strategies of its own."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    """A server for these tests only."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def migrated_here(server: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database on that server with the newest tables, over TCP."""
    server.databases.maintenance.sql("CREATE DATABASE service")
    database = server.over_tcp(server.databases.named("service"))
    migrated = Machine(tmp_path_factory.mktemp("migrated"), {"DATABASE_URL": database.setting}).run(
        "tradingagents", "migrate"
    )
    assert migrated.returncode == 0, migrated.stderr
    return database


@pytest.fixture(scope="module")
def service(migrated_here: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service as the reference runs it. No test in this file restarts the service."""
    machine = Machine(
        tmp_path_factory.mktemp("service"), {"DATABASE_URL": migrated_here.setting, "JWT_SECRET_KEY": KEY}
    )
    with machine.serving(*UVICORN, "--no-access-log") as service:
        yield service
        assert "Traceback" not in service.output(), service.output()


@pytest.fixture
def database(server: PostgresqlServer, migrated_here: Database) -> Database:
    """The service's database, on a running server."""
    server.make_right()
    return migrated_here


@pytest.fixture
async def caller(service: Server, database: Database) -> AsyncIterator[Callers]:
    """A client whose requests have succeeded so far."""
    async with Callers(service, new_tokens(database, 1)).connected() as caller:
        assert (await caller.read()).status == 200
        yield caller


@pytest.fixture
async def callers(service: Server, database: Database) -> AsyncIterator[Callers]:
    """Many clients."""
    async with Callers(service, new_tokens(database, LOAD)).connected() as callers:
        yield callers


# The server is away


async def test_a_server_that_is_down_is_503_and_the_service_stays_healthy(
    caller: Callers, server: PostgresqlServer
) -> None:
    server.stop()
    listed, created, health = await asyncio.gather(caller.read(), caller.create("a"), caller.ask("GET", "/health"))

    assert_refused(listed, created)
    assert_healthy(health)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_the_next_request_works_after_a_restart_that_nobody_noticed(
    caller: Callers, server: PostgresqlServer, mode: str
) -> None:
    await asyncio.gather(*[caller.read() for _ in range(5)])
    server.stop(mode)
    server.start()
    listed, created = await asyncio.gather(caller.read(), caller.create("a"))

    assert (listed.status, created.status) == (200, 201)


async def test_the_next_request_works_when_the_server_is_back_after_refusals(
    caller: Callers, server: PostgresqlServer
) -> None:
    server.kill()
    assert_refused(*await asyncio.gather(*[caller.read() for _ in range(5)]))
    server.start()
    listed, created = await asyncio.gather(caller.read(), caller.create("a"))

    assert (listed.status, created.status) == (200, 201)


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_restart_under_load_costs_refusals_only(
    callers: Callers, server: PostgresqlServer, database: Database, numbers: Callable[..., None], end: str
) -> None:
    async with callers.calling():
        await callers.given(50)
        await asyncio.to_thread(getattr(server, end))
        await callers.refused(20)
        await asyncio.to_thread(server.start)
        started = time.monotonic()
        next_answers = await asyncio.gather(callers.read(), callers.create("next"))
        first = await callers.given()
        await callers.given(50)

    assert [answer.status for answer in next_answers] == [200, 201]
    callers.assert_held_up(database)
    numbers(
        seconds_from_ready_to_first_write=round(first.sent + first.seconds - started, 3),
        refused=len(callers.refusals),
        acknowledged=len(callers.acknowledged),
    )


async def test_a_service_that_is_started_without_its_database_says_so_in_one_line(
    server: PostgresqlServer, database: Database, tmp_path: Path
) -> None:
    server.stop()
    refused = Machine(tmp_path, {"DATABASE_URL": database.setting}).run("tradingagents", "users", "list")

    assert only_line(refused).startswith("error: The database is not available")
    assert refused.returncode == 1


# The server is frozen


async def test_a_frozen_server_is_503_and_the_service_stays_healthy(caller: Callers, server: PostgresqlServer) -> None:
    server.freeze()
    listed, created, health = await asyncio.gather(caller.read(), caller.create("a"), caller.ask("GET", "/health"))

    assert_refused(listed, created)
    assert_healthy(health)


async def test_the_next_request_works_when_a_frozen_server_goes_on(caller: Callers, server: PostgresqlServer) -> None:
    server.freeze()
    assert_refused(*await asyncio.gather(caller.read(), caller.create("a")))
    server.thaw()
    listed, created = await asyncio.gather(caller.read(), caller.create("b"))

    assert (listed.status, created.status) == (200, 201)


async def test_a_freeze_under_load_costs_refusals_only(
    callers: Callers, server: PostgresqlServer, database: Database, numbers: Callable[..., None]
) -> None:
    async with callers.calling():
        await callers.given(50)
        await asyncio.to_thread(server.freeze)
        await callers.refused(2 * LOAD)
        await asyncio.to_thread(server.thaw)
        thawed = time.monotonic()
        next_answers = await asyncio.gather(callers.read(), callers.create("next"))
        first = await callers.given()
        await callers.given(50)

    assert [answer.status for answer in next_answers] == [200, 201]
    callers.assert_held_up(database)
    numbers(
        seconds_from_thaw_to_first_write=round(first.sent + first.seconds - thawed, 3),
        refused=len(callers.refusals),
        slowest_refusal=round(max(answer.seconds for answer in callers.refusals), 3),
        acknowledged=len(callers.acknowledged),
    )


async def test_more_callers_than_connections_are_all_refused_in_time_by_a_frozen_server(
    service: Server, server: PostgresqlServer, database: Database, numbers: Callable[..., None]
) -> None:
    async with Callers(service, new_tokens(database, 40)).connected() as callers, callers.calling():
        await callers.given(40)
        await asyncio.to_thread(server.freeze)
        await callers.refused(80)
        await asyncio.to_thread(server.thaw)
        await callers.given(40)

    callers.assert_held_up(database)
    numbers(refused=len(callers.refusals), slowest_refusal=round(max(answer.seconds for answer in callers.refusals), 3))


# The server is busy


KEEP_OWNERS: Final = (
    "INSERT INTO tradingagents_owners SELECT id, 0, 0 FROM tradingagents_users"
    " ON CONFLICT (id) DO UPDATE SET id = tradingagents_owners.id"
)
"""Locks the rows of all users as owners, and inserts missing rows."""


@asynccontextmanager
async def holding(database: Database, statement: str) -> AsyncIterator[asyncpg.Connection]:
    """A block during which another transaction holds the locks of a statement."""
    connection = await asyncpg.connect(database.dsn)
    try:
        async with connection.transaction():
            await connection.execute(statement)
            yield connection
    finally:
        await connection.close()


async def test_a_row_that_is_held_is_503_for_writes_and_no_matter_for_reads(
    caller: Callers, database: Database
) -> None:
    async with holding(database, KEEP_OWNERS):
        created, listed = await asyncio.gather(caller.create("a"), caller.read())
    again = await caller.create("a")

    assert_refused(created)
    assert (listed.status, again.status) == (200, 201)


async def test_a_table_that_is_held_is_503(caller: Callers, database: Database) -> None:
    async with holding(database, "LOCK TABLE tradingagents_users, tradingagents_owners"):
        listed, created, health = await asyncio.gather(caller.read(), caller.create("a"), caller.ask("GET", "/health"))
    again = await caller.create("a")

    assert_refused(listed, created)
    assert_healthy(health)
    assert again.status == 201


@contextmanager
def with_slow_creates(database: Database) -> Iterator[None]:
    database.sql(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN IF NEW.name = ''slow'' THEN PERFORM pg_sleep(60); END IF; RETURN NEW; END'",
        "CREATE TRIGGER dawdle BEFORE INSERT ON tradingagents_strategies FOR EACH ROW EXECUTE FUNCTION dawdle()",
    )
    try:
        yield
    finally:
        database.sql("DROP TRIGGER dawdle ON tradingagents_strategies", "DROP FUNCTION dawdle")


async def test_a_statement_that_takes_too_long_is_503(caller: Callers, database: Database) -> None:
    with with_slow_creates(database):
        slow = await caller.create("slow")
        quick = await caller.create("quick")

    assert_refused(slow)
    assert quick.status == 201


async def test_a_session_that_is_ended_in_the_middle_of_a_transaction_is_503(
    caller: Callers, database: Database
) -> None:
    async with holding(database, KEEP_OWNERS) as other:
        creating = asyncio.ensure_future(caller.create("a"))
        waits = "SELECT pid FROM pg_stat_activity WHERE application_name = 'tradingagents' AND wait_event_type = 'Lock'"
        await eventually(lambda: other.fetchval(waits))
        await other.execute(f"SELECT pg_terminate_backend(pid) FROM ({waits}) AS waiting")
        created = await creating
    again = await caller.create("a")

    assert_refused(created)
    assert again.status == 201


# The outcome of the commit is unknown


@contextmanager
def with_commits_that_wait(server: PostgresqlServer) -> Iterator[Database]:
    """A block in which commits are stored, but their answers wait for a standby that does not exist."""
    maintenance = server.databases.maintenance

    def wait_for(standby: str) -> None:
        maintenance.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{standby}'", "SELECT pg_reload_conf()")

    maintenance.sql("ALTER SYSTEM SET log_statement = 'all'")
    wait_for("nobody")
    try:
        yield maintenance
    finally:
        server.make_right()
        # The change of the setting must not wait for the standby.
        maintenance.sql("ALTER SYSTEM RESET log_statement")
        wait_for("")


async def commit_waits(maintenance: Database) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE 'COMMIT%'"

    async def asked() -> bool:
        return await asyncio.to_thread(maintenance.sql, waiting) == ["1"]

    await eventually(asked)


async def test_a_commit_whose_answer_is_lost_is_503_and_is_not_repeated(
    caller: Callers, server: PostgresqlServer, database: Database
) -> None:
    with with_commits_that_wait(server) as maintenance:
        before = len(server.log())
        creating = asyncio.ensure_future(caller.create("unknown"))
        await commit_waits(maintenance)
        server.kill()
        created = await creating
        server.start()
        asked = statements(server.log()[before:], "service")

    assert_refused(created)
    assert sum("INSERT INTO tradingagents_strategies" in statement for statement in asked) == 1
    assert stored_names(database).count("unknown") == 1
    assert (await caller.create("unknown")).status == 409


async def test_a_commit_whose_answer_does_not_come_is_503_and_is_not_repeated(
    caller: Callers, server: PostgresqlServer, database: Database
) -> None:
    with with_commits_that_wait(server):
        before = len(server.log())
        created = await caller.create("late")
        asked = statements(server.log()[before:], "service")

    assert_refused(created)
    assert sum("INSERT INTO tradingagents_strategies" in statement for statement in asked) == 1
    assert (await caller.create("late")).status == 409


# The same in the adapter


@asynccontextmanager
async def opened(database: Database) -> AsyncIterator[Stores]:
    async with open_database(DatabaseOptions(url=read_database_url(database.setting))) as connections:
        yield Stores.over(connections)
        assert in_use(connections) == 0


@asynccontextmanager
async def refused_within_the_limit() -> AsyncIterator[None]:
    """A block that has to raise `StoreUnavailable` in time."""
    with pytest.raises(StoreUnavailable):
        async with asyncio.timeout(LIMIT):
            yield


EVENTS: Final[dict[str, tuple[Callable[[PostgresqlServer], None], Callable[[PostgresqlServer], None]]]] = {
    "down": (PostgresqlServer.stop, PostgresqlServer.start),
    "frozen": (PostgresqlServer.freeze, PostgresqlServer.thaw),
}
"""The ways to stop a server, each with the way to bring it back."""


@pytest.mark.parametrize(("go", "come_back"), EVENTS.values(), ids=EVENTS)
async def test_a_store_whose_server_has_gone_says_so_for_reads_and_writes_and_works_when_it_is_back(
    server: PostgresqlServer, database: Database, go, come_back
) -> None:
    async with opened(database) as stores:
        ann = await add_user(stores.accounts, f"{time.monotonic()}@example.com")
        go(server)
        async with refused_within_the_limit():
            await names(stores.strategies, ann.id)
        async with refused_within_the_limit():
            await add_strategy(stores.strategies, ann.id, "a")
        come_back(server)
        await add_strategy(stores.strategies, ann.id, "b")
        assert await names(stores.strategies, ann.id) == ["b"]


@pytest.mark.parametrize(("go", "come_back"), EVENTS.values(), ids=EVENTS)
async def test_a_block_whose_server_goes_before_the_commit_is_refused_and_not_kept(
    server: PostgresqlServer, database: Database, go, come_back
) -> None:
    async with opened(database) as stores:
        ann = await add_user(stores.accounts, f"{time.monotonic()}@example.com")
        async with refused_within_the_limit(), stores.strategies.write(ann.id) as work:
            await work.strategies.add(StrategyContent(name="a"), at=CREATED)
            go(server)
        come_back(server)
        await add_strategy(stores.strategies, ann.id, "b")
        # A request to a frozen server may still arrive there: the result is "a" or nothing, never a half.
        assert await names(stores.strategies, ann.id) in (["b"], ["a", "b"])


@pytest.mark.parametrize(("go", "come_back"), EVENTS.values(), ids=EVENTS)
async def test_a_block_whose_server_goes_in_the_middle_is_refused_and_leaves_nothing(
    server: PostgresqlServer, database: Database, go, come_back
) -> None:
    async with opened(database) as stores:
        ann = await add_user(stores.accounts, f"{time.monotonic()}@example.com")
        async with refused_within_the_limit(), stores.strategies.write(ann.id) as work:
            await work.strategies.add(StrategyContent(name="a"), at=CREATED)
            go(server)
            await work.strategies.get(1)
        come_back(server)
        await add_strategy(stores.strategies, ann.id, "b")
        assert await names(stores.strategies, ann.id) == ["b"]


async def test_a_caller_that_is_cancelled_while_the_server_is_frozen_leaves_nothing_behind(
    server: PostgresqlServer, database: Database
) -> None:
    async with opened(database) as stores:
        ann = await add_user(stores.accounts, f"{time.monotonic()}@example.com")
        server.freeze()
        writing = asyncio.ensure_future(add_strategy(stores.strategies, ann.id, "a"))
        await asyncio.wait({writing}, timeout=0.1)
        writing.cancel()
        await asyncio.wait({writing}, timeout=LIMIT)
        server.thaw()
        assert writing.cancelled()
        await add_strategy(stores.strategies, ann.id, "b")
        assert await names(stores.strategies, ann.id) == ["b"]
