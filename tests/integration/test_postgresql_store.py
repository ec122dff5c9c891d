"""PostgreSQL as a store: the contract, URLs, sessions, and the statements that the server receives."""

import asyncio
import re
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import pytest
from in_process import CACHE_SECONDS, PASSWORD, Api, OpenStores, Stores, accounts_of, strategies_of
from postgresql import Database, PostgresqlServer, eventually, in_use, statements, taken
from processes import CHECKOUT, Machine
from sqlalchemy import select, text

from tradingagents_adapters.database_url import read_database_url
from tradingagents_adapters.sql import open_database
from tradingagents_adapters.sql.accounts import SqlAccountStore
from tradingagents_adapters.sql.database import Database as SqlDatabase
from tradingagents_adapters.sql.drivers import asyncpg as adapter
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.tables import users
from tradingagents_adapters.sql.transaction import RowLock
from tradingagents_conformance import (
    AccountStoreContract,
    OpenAccountStore,
    OpenStrategyStore,
    StrategyStoreContract,
)
from tradingagents_conformance.examples import CHANGED, CREATED, add_strategy, add_user, names
from tradingagents_core.domain.accounts import User
from tradingagents_core.domain.page import PAGE_LIMIT_DEFAULT
from tradingagents_core.domain.strategies import StrategyContent
from tradingagents_core.errors import StoreUnavailable
from tradingagents_core.ports import StrategyStore
from tradingagents_service.settings import DatabaseSettings, load_settings

STRATEGIES: Final = "/api/v1/strategies"
LOGIN: Final = "/api/v1/auth/login"
LIMIT: Final = 20
"""Seconds within which a refusal has to arrive."""
VARIES: Final = {"content-length", "x-request-id"}
"""Headers that differ between equal answers."""
STEPS: Final = 10
"""More steps of the event loop than reading the received data takes."""

HARD_PASSWORD: Final = "50% of @/:?#[]&= +päss%20"


KEEP_OWNERS: Final = (
    "INSERT INTO tradingagents_owners SELECT id, 0, 0 FROM tradingagents_users"
    " ON CONFLICT (id) DO UPDATE SET id = tradingagents_owners.id"
)
"""Locks the rows of all users as owners, and inserts missing rows."""


class TestPostgresqlStrategies(StrategyStoreContract):
    @pytest.fixture
    def open_store(self, open_postgresql_stores: OpenStores) -> OpenStrategyStore:
        return strategies_of(open_postgresql_stores)


class TestPostgresqlAccounts(AccountStoreContract):
    @pytest.fixture
    def open_store(self, open_postgresql_stores: OpenStores) -> OpenAccountStore:
        return accounts_of(open_postgresql_stores)


@asynccontextmanager
async def opened(database: Database, **limits: Any) -> AsyncIterator[tuple[Stores, SqlDatabase]]:
    """A store over a database, and its connections."""
    async with open_database(DatabaseOptions(url=read_database_url(database.setting), **limits)) as connections:
        yield Stores.over(connections), connections


@asynccontextmanager
async def session(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A connection of another session."""
    connection = await asyncpg.connect(database.dsn)
    try:
        yield connection
    finally:
        await connection.close()


# URLs


@pytest.mark.anyio
@pytest.mark.parametrize("scheme", ["postgresql+asyncpg", "postgresql", "postgres"])
async def test_every_way_to_write_the_scheme_is_taken_as_asyncpg(
    database: Database, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.setting.replace("postgresql+asyncpg", scheme, 1))
    options = load_settings(DatabaseSettings).database
    async with open_database(options) as connections:
        await add_user(SqlAccountStore(connections), "ann@example.com")
    assert options.url.drivername == "postgresql+asyncpg"
    assert database.sql("SELECT email FROM tradingagents_users") == ["ann@example.com"]


@pytest.fixture
def hard_to_write(postgresql_server: PostgresqlServer) -> Iterator[Database]:
    """An empty database. Its owner's password has special characters of URLs, configurations and format strings."""
    databases = postgresql_server.databases
    with databases.fresh() as database:
        name = database.url.database
        databases.maintenance.sql(
            f"CREATE ROLE {name} LOGIN PASSWORD '{HARD_PASSWORD}'", f"ALTER DATABASE {name} OWNER TO {name}"
        )
        yield postgresql_server.over_tcp(database, user=str(name), password=HARD_PASSWORD)
    databases.maintenance.sql(f"DROP ROLE {name}")


def test_alembic_reaches_a_database_whose_password_needs_escaping(hard_to_write: Database, tmp_path: Path) -> None:
    shutil.copy(CHECKOUT / "alembic.ini", tmp_path)
    shutil.copytree(CHECKOUT / "migrations", tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    machine = Machine(tmp_path, {"DATABASE_URL": hard_to_write.setting})
    upgraded = machine.run("alembic", "upgrade", "head")
    assert (upgraded.returncode, upgraded.stdout) == (0, ""), upgraded.stderr
    assert machine.run("alembic", "current").stdout.endswith("(head)\n")


def test_the_commands_reach_a_database_whose_password_needs_escaping(hard_to_write: Database, tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"DATABASE_URL": hard_to_write.setting, "MIGRATE_ON_START": "true"})
    listed = machine.run("tradingagents", "users", "list")
    assert (listed.returncode, listed.stdout) == (0, "")
    assert listed.stderr.startswith("database: postgresql://")
    assert HARD_PASSWORD not in listed.stderr


@pytest.mark.anyio
async def test_settings_made_from_a_url_object_keep_its_password(hard_to_write: Database) -> None:
    async with open_database(DatabaseOptions(url=read_database_url(hard_to_write.url))) as connections:
        assert (await connections.read(text("SELECT 1 AS one")))[0]["one"] == 1


@pytest.mark.anyio
async def test_a_wrong_password_is_a_store_that_is_not_available(hard_to_write: Database) -> None:
    wrong = Database(hard_to_write.url.set(password="wrong"))
    async with opened(wrong) as (stores, _):
        with pytest.raises(StoreUnavailable) as refusal:
            await add_user(stores.accounts, "ann@example.com")
    assert "wrong" not in refusal.value.reason


# The same answers as every other store

SCRIPT: Final[list[tuple[str, str, str, dict[str, Any]]]] = [
    ("stranger", "GET", "/health", {}),
    ("stranger", "POST", LOGIN, {"data": {"username": "ann@example.com", "password": PASSWORD}}),
    ("stranger", "POST", LOGIN, {"data": {"username": "ann@example.com", "password": "Wrong" + PASSWORD}}),
    ("stranger", "POST", LOGIN, {"data": {"username": "nobody@example.com", "password": PASSWORD}}),
    ("stranger", "GET", STRATEGIES, {}),
    ("ann", "GET", STRATEGIES, {}),
    ("ann", "POST", STRATEGIES, {"json": {"name": "first"}}),
    ("ann", "POST", STRATEGIES, {"json": {"name": "first"}}),
    ("bob", "POST", STRATEGIES, {"json": {"name": "first", "is_active": False}}),
    (
        "ann",
        "POST",
        STRATEGIES,
        {
            "content": '{"name": "Zweite 策略 🚀", "description": " \\r\\n\\t\\u0001\\u2028 ", "is_active": false,'
            ' "parameters": {"z": 1e22, "a": {"y": -0.0, "b": [1, 1.0, 1e-7, 5e-324, 0.1, null, true, "1"]},'
            ' "\\u0000": "\\u0000", "": {}, "big": 9223372036854775807, "low": -9223372036854775808}}',
            "headers": {"Content-Type": "application/json"},
        },
    ),
    ("ann", "POST", STRATEGIES, {"json": {"name": "n" * 255, "description": ""}}),
    ("ann", "POST", STRATEGIES, {"json": {"name": "n" * 256}}),
    ("ann", "POST", STRATEGIES, {"json": {"name": "a\x00b"}}),
    ("ann", "POST", STRATEGIES, {"json": {"description": "no name"}}),
    ("ann", "POST", STRATEGIES, {"content": "{", "headers": {"Content-Type": "application/json"}}),
    ("ann", "GET", STRATEGIES, {}),
    ("ann", "GET", STRATEGIES, {"params": {"skip": 1, "limit": 1}}),
    ("ann", "GET", STRATEGIES, {"params": {"skip": 9}}),
    ("ann", "GET", STRATEGIES, {"params": {"skip": 9223372036854775807}}),
    ("ann", "GET", STRATEGIES, {"params": {"skip": 9223372036854775808}}),
    ("ann", "GET", STRATEGIES, {"params": {"active_only": "true"}}),
    ("ann", "GET", STRATEGIES, {"params": {"limit": 0}}),
    ("ann", "GET", "{ann's second}", {}),
    ("bob", "GET", "{ann's second}", {}),
    ("bob", "PUT", "{ann's second}", {"json": {"name": "mine"}}),
    ("bob", "DELETE", "{ann's second}", {}),
    ("ann", "PUT", "{ann's second}", {"json": {"name": "first"}}),
    ("ann", "PUT", "{ann's second}", {"json": {"description": None, "is_active": True}}),
    ("ann", "PUT", "{ann's second}", {"json": {"name": None}}),
    ("ann", "PUT", "{ann's second}", {"json": {}}),
    ("ann", "GET", f"{STRATEGIES}/9223372036854775807", {}),
    ("ann", "GET", f"{STRATEGIES}/9223372036854775808", {}),
    ("ann", "GET", f"{STRATEGIES}/0", {}),
    ("ann", "GET", f"{STRATEGIES}/x", {}),
    ("ann", "PUT", f"{STRATEGIES}/2147483648", {"json": {"name": "x"}}),
    ("ann", "DELETE", f"{STRATEGIES}/2147483648", {}),
    ("ann", "DELETE", "{ann's second}", {}),
    ("ann", "DELETE", "{ann's second}", {}),
    ("ann", "GET", "{ann's second}", {}),
    ("ann", "POST", STRATEGIES, {"json": {"name": "Zweite 策略 🚀"}}),
    ("ann", "GET", STRATEGIES, {}),
    ("bob", "GET", STRATEGIES, {}),
    ("ann", "HEAD", STRATEGIES, {}),
    ("ann", "DELETE", STRATEGIES, {}),
]
"""Users and their requests: the reference's operations, values at the limits, and access to another user's data."""


async def play(api: Api) -> list[str]:
    """The answers to the script, byte for byte except for ids, times and tokens."""
    answers = []
    places: list[str] = []
    for who, method, path, request in SCRIPT:
        client: httpx.AsyncClient = getattr(api, who)
        path_asked = path.replace("{ann's second}", places[2] if len(places) > 2 else "")
        answer = await client.request(method, path_asked, **request)
        if "Location" in answer.headers:
            places.append(answer.headers["Location"])
        head = sorted(f"{name}: {value}" for name, value in answer.headers.items() if name not in VARIES)
        written = "\n".join([f"{who} {method} {path}: {answer.status_code}", *head, answer.content.decode()])
        written = re.sub(r'("id":|/strategies/)\d+', r"\g<1>ID", written)
        written = re.sub(r'"\d{4}-\d\d-\d\dT[\d:]+(\.\d{6})?Z"', '"TIME"', written)
        answers.append(re.sub(r'"access_token":"[^"]+"', '"access_token":"TOKEN"', written))
    return answers


@pytest.mark.anyio
async def test_every_store_answers_a_long_conversation_alike(apis: dict[str, Api]) -> None:
    played = {name: await play(api) for name, api in apis.items()}
    assert played["postgresql"] == played["memory"]
    assert played["sqlite"] == played["memory"]
    assert len({answer.split("\n")[0].rpartition(" ")[2] for answer in played["memory"]}) >= 8


# The statements that the server receives


@dataclass
class Heard:
    """The statements that a database received during a block."""

    statements: list[str] = field(default_factory=list)


@pytest.fixture
def listened_to(
    postgresql_server: PostgresqlServer, migrated_on_server: Database
) -> Iterator[tuple[Database, Callable[[], Any]]]:
    """A migrated database on the shared server that logs all statements, and a block that records them."""
    with postgresql_server.databases.fresh(migrated_on_server) as database:
        database.sql(f"ALTER DATABASE {database.url.database} SET log_statement = 'all'")

        @contextmanager
        def listening() -> Iterator[Heard]:
            heard = Heard()
            before = len(postgresql_server.log())
            yield heard
            heard.statements = statements(postgresql_server.log()[before:], str(database.url.database))

        yield database, listening


@pytest.mark.anyio
async def test_a_read_is_a_single_statement_without_a_surrounding_transaction(listened_to, api_over) -> None:
    database, listening = listened_to
    async with opened(database) as (stores, _):
        ann = await add_user(stores.accounts, "ann@example.com")
        await add_strategy(stores.strategies, ann.id, "a")
        with listening() as heard:
            assert await names(stores.strategies, ann.id, limit=PAGE_LIMIT_DEFAULT) == ["a"]
    [statement] = heard.statements
    assert statement.startswith("SELECT ")


@pytest.mark.anyio
async def test_a_read_of_a_larger_page_has_a_transaction_for_its_own_time_limit(listened_to) -> None:
    database, listening = listened_to
    async with opened(database) as (stores, _):
        ann = await add_user(stores.accounts, "ann@example.com")
        with listening() as heard:
            assert await names(stores.strategies, ann.id, limit=10 * PAGE_LIMIT_DEFAULT) == []
    begin, page, end = heard.statements
    assert (begin, page[:7], end) == ("BEGIN READ ONLY; SET LOCAL statement_timeout = '20000ms'", "SELECT ", "COMMIT")


@pytest.mark.anyio
async def test_a_write_is_one_transaction_that_takes_the_owners_row_first(listened_to, api_over) -> None:
    database, listening = listened_to
    async with opened(database) as (stores, _), api_over(stores) as api:
        answer = await api.ann.post(STRATEGIES, json={"name": "a"})
        api.clock.stop()
        api.clock.move(seconds=CACHE_SECONDS + 1)
        with listening() as heard:
            changed = await api.ann.put(answer.headers["Location"], json={"name": "b"})
    assert changed.status_code == 200
    look_up, *transaction = heard.statements
    assert look_up.startswith("SELECT tradingagents_users.")
    assert re.fullmatch(r"BEGIN; SELECT id FROM tradingagents_owners WHERE id = \d+ FOR UPDATE", transaction[0])
    assert [statement.split()[0] for statement in transaction[1:]] == ["SELECT", "WITH", "COMMIT"]


@pytest.mark.anyio
async def test_a_refused_write_is_rolled_back(listened_to, api_over) -> None:
    database, listening = listened_to
    async with opened(database) as (stores, _), api_over(stores) as api:
        await api.ann.post(STRATEGIES, json={"name": "a"})
        with listening() as heard:
            refused = await api.ann.post(STRATEGIES, json={"name": "a"})
    assert refused.status_code == 409
    assert heard.statements[-1] == "ROLLBACK"


# Sessions and the pool


@pytest.mark.anyio
async def test_the_sessions_have_the_documented_timeouts(database: Database) -> None:
    async with opened(database) as (_, connections), taken(connections) as connection:
        shown = {
            name: (await connection.fetch((f"SHOW {name}", ())))[0][name]
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "application_name")
        }
    assert shown == {
        "statement_timeout": "2s",
        "lock_timeout": "2s",
        "idle_in_transaction_session_timeout": f"{adapter.IDLE_IN_TRANSACTION_SECONDS}s",
        "application_name": "tradingagents",
    }


@pytest.mark.anyio
async def test_a_process_has_at_most_as_many_connections_as_the_pool_size_says(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SIZE": "3", "TIMEOUT": "0.2"}.items():
        monkeypatch.setenv(f"DATABASE_POOL_{name}", value)
    monkeypatch.setenv("DATABASE_URL", database.setting)
    async with open_database(load_settings(DatabaseSettings).database) as connections:
        async with taken(connections), taken(connections), taken(connections):
            with pytest.raises(StoreUnavailable):
                async with taken(connections):
                    pass
            with pytest.raises(StoreUnavailable):
                await add_user(SqlAccountStore(connections), "ann@example.com")
        async with taken(connections):
            pass
        kept = database.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tradingagents'")
    assert int(kept[0]) <= 3


@pytest.mark.anyio
async def test_an_exhausted_pool_is_503_with_retry_after_within_five_seconds(database: Database, api_over) -> None:
    async with (
        opened(database, pool_size=2) as (stores, connections),
        api_over(stores) as api,
    ):
        async with taken(connections), taken(connections), asyncio.timeout(LIMIT):
            listed, created, health = await asyncio.gather(
                api.ann.get(STRATEGIES), api.ann.post(STRATEGIES, json={"name": "a"}), api.ann.get("/health")
            )
        assert (listed.status_code, created.status_code, health.status_code) == (503, 503, 200)
        assert int(listed.headers["Retry-After"]) >= 1
        assert int(created.headers["Retry-After"]) >= 1
        assert (await api.ann.get(STRATEGIES)).json()["items"] == []


@pytest.mark.anyio
async def test_more_callers_than_connections_are_all_served(database: Database) -> None:
    async with opened(database, pool_size=2) as (stores, _):
        owners = [await add_user(stores.accounts, f"{number}@example.com") for number in range(20)]
        await asyncio.gather(*[add_strategy(stores.strategies, owner.id, "a") for owner in owners])
        assert [await names(stores.strategies, owner.id) for owner in owners] == [["a"]] * 20


# Busy


@asynccontextmanager
async def refused_within_the_limit() -> AsyncIterator[None]:
    """A block that has to raise `StoreUnavailable` in time."""
    with pytest.raises(StoreUnavailable) as refusal:
        async with asyncio.timeout(LIMIT):
            yield
    assert refusal.value.reason
    assert "\n" not in refusal.value.reason


async def terminate_sessions(other: asyncpg.Connection) -> None:
    await other.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'tradingagents'"
    )


@pytest.mark.anyio
async def test_a_session_that_is_ended_in_a_transaction_is_a_store_that_is_not_available(database: Database) -> None:
    async with opened(database) as (stores, connections), session(database) as other:
        ann = await add_user(stores.accounts, "ann@example.com")
        async with refused_within_the_limit(), stores.strategies.write(ann.id) as work:
            await work.strategies.add(StrategyContent(name="lost"), at=CREATED)
            await terminate_sessions(other)
            await work.strategies.add(StrategyContent(name="lost too"), at=CREATED)
        await add_strategy(stores.strategies, ann.id, "next")
        assert await names(stores.strategies, ann.id) == ["next"]
        assert in_use(connections) == 0


@pytest.mark.anyio
async def test_a_session_that_is_ended_before_the_commit_is_a_store_that_is_not_available(database: Database) -> None:
    async with opened(database) as (stores, connections), session(database) as other:
        ann = await add_user(stores.accounts, "ann@example.com")
        async with refused_within_the_limit(), stores.strategies.write(ann.id) as work:
            await work.strategies.add(StrategyContent(name="lost"), at=CREATED)
            await terminate_sessions(other)
        assert await names(stores.strategies, ann.id) == []
        assert in_use(connections) == 0


@pytest.mark.anyio
async def test_sessions_that_are_ended_while_nobody_uses_them_are_noticed_by_nobody(database: Database) -> None:
    async with opened(database) as (stores, _), session(database) as other:
        ann = await add_user(stores.accounts, "ann@example.com")
        await asyncio.gather(*[names(stores.strategies, ann.id) for _ in range(5)])
        await terminate_sessions(other)
        await asyncio.gather(*[names(stores.strategies, ann.id) for _ in range(5)])
        await terminate_sessions(other)
        await add_strategy(stores.strategies, ann.id, "a")


@asynccontextmanager
async def relayed(
    database: Database, *, seconds: float = 0, bytes_per_second: float = 1e12
) -> AsyncIterator[tuple[Database, list["asyncio.Task[None]"]]]:
    """The database behind a relay, which does not pass on that the server closed a connection.

    The relay delays the data of both sides for some seconds, and limits their rate. Beside the database: the tasks that
    pass on the server's data on each connection. A task ends with the server's data.
    """
    answers: list[asyncio.Task[None]] = []
    relays: list[asyncio.Task[None]] = []
    open_ends: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(2**16):
                await asyncio.sleep(seconds + len(data) / bytes_per_second)
                writer.write(data)

    async def relay(from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        open_ends.append(to_client)
        place = f"{database.url.query['host']}/.s.PGSQL.{database.url.query['port']}"
        from_server, to_server = await asyncio.open_unix_connection(place)
        open_ends.append(to_server)
        answers.append(asyncio.create_task(pump(from_server, to_client)))
        await pump(from_client, to_server)
        to_server.close()

    def take(from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        relays.append(asyncio.create_task(relay(from_client, to_client)))

    async with await asyncio.start_server(take, "127.0.0.1") as server:
        host, port = server.sockets[0].getsockname()
        yield Database(database.url.set(host=host, port=port, query={"ssl": "disable"})), answers
    for _ in range(STEPS):
        # Wait until the last connections have been accepted.
        await asyncio.sleep(0)
    for task in (*relays, *answers):
        task.cancel()
    await asyncio.wait((*relays, *answers))
    for writer in open_ends:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.anyio
@pytest.mark.parametrize("use", [names, partial(add_strategy, content="a")], ids=["read", "write"])
async def test_sessions_that_are_ended_are_passed_over_before_their_connections_are_closed(
    database: Database, use: Callable[[StrategyStore, int], Awaitable[object]]
) -> None:
    async with relayed(database) as (behind, answers), opened(behind) as (stores, connections):
        ann = await add_user(stores.accounts, "ann@example.com")
        await asyncio.gather(*[names(stores.strategies, ann.id) for _ in range(5)])
        async with session(database) as other:
            await terminate_sessions(other)
        await asyncio.wait(answers)
        for _ in range(STEPS):
            # Wait until the driver has read the last data of the server.
            await asyncio.sleep(0)
        await use(stores.strategies, ann.id)
        assert in_use(connections) == 0


@pytest.mark.anyio
async def test_a_database_far_away_is_reached_behind_a_host_that_is_silent(
    database: Database,
) -> None:
    with silent_server() as silent:
        async with relayed(database, seconds=0.15) as (behind, _):
            hosts = [f"{silent[0]}:{silent[1]}", f"{behind.url.host}:{behind.url.port}"]
            two = Database(behind.url.set(host=None, port=None, query={"host": hosts, "ssl": "disable"}))
            async with opened(two, connect_timeout=12) as (stores, _):
                ann = await add_user_patiently(stores)
                await add_strategy(stores.strategies, ann.id, "a")
                assert await names(stores.strategies, ann.id) == ["a"]


@contextmanager
def silent_server() -> Iterator[tuple[str, int]]:
    """The address of a host that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


async def add_user_patiently(stores: Stores) -> User:
    """Add a user, as soon as the database can be used."""
    async with asyncio.timeout(60):
        while True:
            with suppress(StoreUnavailable):
                return await add_user(stores.accounts, "ann@example.com")


@pytest.mark.anyio
async def test_a_large_page_has_more_time_than_a_small_one(database: Database) -> None:
    async with (
        relayed(database, bytes_per_second=3e6) as (behind, _),
        opened(behind, statement_timeout=0.3, answer_timeout=0.5) as (stores, connections),
    ):
        ann = await add_user_patiently(stores)
        database.sql(
            f"INSERT INTO tradingagents_owners VALUES ({ann.id}, 1000, 1000)",
            "INSERT INTO tradingagents_strategies (owner_id, name, parameters, is_active, created_at, updated_at)"
            f' SELECT {ann.id}, n, \'{{"text": "{"x" * 4000}"}}\', true, now(), now()'
            " FROM generate_series(1, 1000) AS n",
        )
        assert len(await names(stores.strategies, ann.id, limit=1000)) == 1000
        async with refused_within_the_limit():
            # The same amount of data in as many strategies as a page with the usual limit holds.
            database.sql(
                'UPDATE tradingagents_strategies SET parameters = \'{"text": "' + "x" * 40_000 + "\"}' WHERE id <= 100"
            )
            await names(stores.strategies, ann.id, limit=100)
        assert in_use(connections) == 0


@pytest.mark.anyio
async def test_a_session_that_is_ended_under_a_caller_takes_no_refusal_for_an_answer(database: Database) -> None:
    async with opened(database) as (stores, _), session(database) as other:
        ann = await add_user(stores.accounts, "ann@example.com")
        async with other.transaction():
            await other.execute(KEEP_OWNERS)
            waiting = asyncio.ensure_future(add_strategy(stores.strategies, ann.id, "a"))
            await eventually(lambda: other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))
            await terminate_sessions(other)
            async with refused_within_the_limit():
                await waiting
        await add_strategy(stores.strategies, ann.id, "a")


@pytest.mark.anyio
async def test_a_statement_that_takes_too_long_is_a_store_that_is_not_available(database: Database) -> None:
    database.sql(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_sleep(60) FROM tradingagents_users WHERE email LIKE ''slow%'' AND id = NEW.owner_id;"
        " RETURN NEW; END'",
        "CREATE TRIGGER dawdle BEFORE INSERT ON tradingagents_strategies FOR EACH ROW EXECUTE FUNCTION dawdle()",
    )
    async with opened(database) as (stores, connections):
        slow, quick = (
            await add_user(stores.accounts, "slow@example.com"),
            await add_user(stores.accounts, "quick@example.com"),
        )
        async with refused_within_the_limit():
            await add_strategy(stores.strategies, slow.id, "a")
        await add_strategy(stores.strategies, quick.id, "a")
        assert (await names(stores.strategies, slow.id), await names(stores.strategies, quick.id)) == ([], ["a"])
        assert in_use(connections) == 0


@pytest.mark.anyio
async def test_a_row_that_others_do_not_let_go_is_a_store_that_is_not_available(database: Database) -> None:
    async with opened(database) as (stores, connections), session(database) as other:
        ann, bob = (
            await add_user(stores.accounts, "ann@example.com"),
            await add_user(stores.accounts, "bob@example.com"),
        )
        async with other.transaction():
            await other.execute(f"INSERT INTO tradingagents_owners VALUES ({ann.id}, 0, 0)")
            async with refused_within_the_limit():
                await add_strategy(stores.strategies, ann.id, "a")
            await add_strategy(stores.strategies, bob.id, "a")
            assert await names(stores.strategies, ann.id) == []
        await add_strategy(stores.strategies, ann.id, "a")
        assert in_use(connections) == 0


@pytest.mark.anyio
async def test_of_two_blocks_that_wait_for_each_other_one_is_refused_and_one_is_kept(database: Database) -> None:
    async with opened(database) as (stores, connections):
        ann, bob = (
            await add_user(stores.accounts, "ann@example.com"),
            await add_user(stores.accounts, "bob@example.com"),
        )
        both_hold_one = asyncio.Barrier(2)

        async def take(first: int, second: int) -> None:
            async with connections.transaction(row=RowLock(users, first)) as transaction:
                await both_hold_one.wait()
                await transaction.lock_row(RowLock(users, second))

        async with asyncio.timeout(LIMIT):
            outcomes = await asyncio.gather(take(ann.id, bob.id), take(bob.id, ann.id), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {type(None), StoreUnavailable}
        async with asyncio.timeout(LIMIT):
            await add_strategy(stores.strategies, ann.id, "a")


@pytest.mark.anyio
async def test_transactions_that_cannot_be_put_in_order_are_a_store_that_is_not_available(database: Database) -> None:
    database.sql(f"ALTER DATABASE {database.url.database} SET default_transaction_isolation = 'repeatable read'")
    async with opened(database) as (stores, connections):
        ann = await add_user(stores.accounts, "ann@example.com")
        async with refused_within_the_limit(), connections.transaction() as transaction:
            await transaction.fetch(select(users))
            async with stores.accounts.write(ann.id) as sooner:
                await sooner.users.replace(ann.deactivated(at=CHANGED))
            await transaction.lock_row(RowLock(users, ann.id))


@pytest.mark.anyio
async def test_a_block_that_asks_nothing_for_too_long_is_a_store_that_is_not_available(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "IDLE_IN_TRANSACTION_SECONDS", 0.2)
    async with opened(database) as (stores, connections), session(database) as other:
        ann = await add_user(stores.accounts, "ann@example.com")
        idle = "SELECT count(*) = 0 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        async with refused_within_the_limit(), stores.accounts.write(ann.id) as work:
            await eventually(lambda: other.fetchval(idle))
            await work.users.get(ann.id)
        await add_strategy(stores.strategies, ann.id, "next")
        assert in_use(connections) == 0


@pytest.mark.anyio
async def test_a_server_that_takes_no_writes_is_a_store_that_is_not_available(database: Database) -> None:
    database.sql(f"ALTER DATABASE {database.url.database} SET default_transaction_read_only = on")
    async with opened(database) as (stores, _):
        async with refused_within_the_limit():
            await add_user(stores.accounts, "ann@example.com")
        async with stores.accounts.read() as view:
            assert await view.users.list() == []


@pytest.mark.anyio
async def test_hosts_none_of_which_takes_writes_are_a_store_that_is_not_available(
    postgresql_server: PostgresqlServer, hard_to_write: Database
) -> None:
    name = hard_to_write.url.database
    postgresql_server.databases.maintenance.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    host = f"127.0.0.1:{postgresql_server.port}"
    query = {"host": (host, host), "target_session_attrs": "read-write"}
    standbys = Database(hard_to_write.url.set(host=None, port=None, query=query))
    async with opened(standbys) as (stores, _), refused_within_the_limit(), stores.accounts.read() as view:
        await view.users.list()


@pytest.mark.anyio
async def test_a_server_without_a_connection_left_is_a_store_that_is_not_available(hard_to_write: Database) -> None:
    limited = Database(hard_to_write.url)
    async with opened(limited) as (stores, connections):
        async with taken(connections) as connection:
            await connection.execute(f"ALTER DATABASE {limited.url.database} CONNECTION LIMIT 1")
            async with refused_within_the_limit(), stores.accounts.read() as view:
                await view.users.list()
        assert (await connections.read(text("SELECT 1 AS one")))[0]["one"] == 1


@pytest.mark.anyio
async def test_a_database_that_does_not_exist_is_a_store_that_is_not_available(database: Database) -> None:
    missing = Database(database.url.set(database="nowhere"))
    async with opened(missing) as (stores, _), refused_within_the_limit(), stores.accounts.read() as view:
        await view.users.list()


# Cancelled callers


async def assert_nothing_is_left(other: asyncpg.Connection, connections: SqlDatabase) -> None:
    """Wait until no session of the store is in a transaction or holds a lock, and no connection is acquired."""
    await eventually(
        lambda: other.fetchval(
            "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle')"
            " AND NOT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database"
            " WHERE datname = current_database() AND pid <> pg_backend_pid())"
        )
    )
    assert in_use(connections) == 0


@pytest.mark.anyio
async def test_callers_that_are_cancelled_anywhere_in_a_block_leave_nothing_behind(database: Database) -> None:
    async with opened(database) as (stores, connections), session(database) as other:
        ann = await add_user(stores.accounts, "ann@example.com")

        async def work_on(number: int) -> None:
            async with stores.strategies.write(ann.id) as work:
                for part in ("first", "second"):
                    content = StrategyContent(name=f"{number} {part}")
                    await work.strategies.add(content, at=CREATED)

        for number in range(60):
            writer = asyncio.ensure_future(work_on(number))
            reader = asyncio.ensure_future(names(stores.strategies, ann.id))
            for _ in range(number):
                await asyncio.sleep(0)
            writer.cancel()
            reader.cancel()
            await asyncio.wait_for(asyncio.gather(writer, reader, return_exceptions=True), LIMIT)

        await assert_nothing_is_left(other, connections)
        kept = await names(stores.strategies, ann.id)
        assert kept == [
            f"{number} {part}" for number in range(60) for part in ("first", "second") if f"{number} first" in kept
        ]


@pytest.mark.anyio
async def test_a_caller_that_is_cancelled_while_it_waits_for_a_row_leaves_nothing_behind(database: Database) -> None:
    async with opened(database) as (stores, connections), session(database) as other:
        ann = await add_user(stores.accounts, "ann@example.com")
        async with other.transaction():
            await other.execute(KEEP_OWNERS)
            waiting = asyncio.ensure_future(add_strategy(stores.strategies, ann.id, "a"))
            await eventually(lambda: other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(waiting, LIMIT)
        await assert_nothing_is_left(other, connections)
        await add_strategy(stores.strategies, ann.id, "a")


@pytest.mark.anyio
async def test_callers_that_are_cancelled_while_they_wait_for_a_connection_leave_nothing_behind(
    database: Database,
) -> None:
    async with (
        opened(database, pool_size=1) as (stores, connections),
        session(database) as other,
    ):
        ann = await add_user(stores.accounts, "ann@example.com")
        async with taken(connections):
            waiting = [asyncio.ensure_future(names(stores.strategies, ann.id)) for _ in range(5)]
            await asyncio.wait(waiting, timeout=0.05)
            for caller in waiting:
                caller.cancel()
        await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), LIMIT)
        await assert_nothing_is_left(other, connections)
        await add_strategy(stores.strategies, ann.id, "a")


WIDEN = "ALTER TABLE tradingagents_strategies ALTER COLUMN name TYPE varchar({})"


@pytest.mark.anyio
async def test_a_column_that_is_widened_under_a_running_service_costs_nobody_an_answer(database: Database) -> None:
    async with opened(database) as (stores, _), session(database) as other:
        ann = await add_user(stores.accounts, "ann@example.com")
        await add_strategy(stores.strategies, ann.id, "a")
        assert await names(stores.strategies, ann.id, limit=PAGE_LIMIT_DEFAULT) == ["a"]
        for width in (300, 400):
            await other.execute(WIDEN.format(width))
            assert (await names(stores.strategies, ann.id, limit=PAGE_LIMIT_DEFAULT))[0] == "a"
            await other.execute(WIDEN.format(width + 1))
            await add_strategy(stores.strategies, ann.id, f"after {width}")


@pytest.mark.anyio
async def test_a_block_whose_statement_a_migration_has_made_invalid_is_refused_for_now(database: Database) -> None:
    async with opened(database, pool_size=1) as (stores, _):
        ann = await add_user(stores.accounts, "ann@example.com")
        strategy = await add_strategy(stores.strategies, ann.id, "a")
        async with session(database) as other:
            async with stores.strategies.write(ann.id) as work:
                await work.strategies.get(strategy.id)
            await other.execute(WIDEN.format(500))
            with pytest.raises(StoreUnavailable):
                async with stores.strategies.write(ann.id) as work:
                    await work.strategies.get(strategy.id)
        assert await names(stores.strategies, ann.id) == ["a"]
