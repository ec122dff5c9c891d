"""The service behind a real pgbouncer in transaction mode, with fewer server connections than clients."""

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import asyncpg
import httpx
import pytest
from callers import LIMIT, STRATEGIES, new_tokens
from in_process import Stores
from postgresql import Database, Databases, PostgresqlServer, eventually, running_pgbouncer, running_server
from processes import KEY, UVICORN, Machine

from tradingagents_conformance.examples import add_strategy, add_user, names
from tradingagents_core.errors import StoreUnavailable
from tradingagents_service.container import Container
from tradingagents_service.settings import DatabaseSettings

pytestmark = pytest.mark.anyio

SERVER_CONNECTIONS: Final = 3
USERS: Final = 24
PROCESSES: Final = 2


@pytest.fixture(scope="module")
def program() -> str:
    found = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    if found is None:
        pytest.skip("there is no pgbouncer on this machine")
    return found


@pytest.fixture(scope="module")
def pooled(postgresql_server: PostgresqlServer, program: str) -> Iterator[Databases]:
    """The databases of the shared server, through pgbouncer."""
    with running_pgbouncer(postgresql_server, program, server_connections=SERVER_CONNECTIONS) as databases:
        yield databases


@pytest.fixture
def direct(postgresql_server: PostgresqlServer, migrated_on_server: Database) -> Iterator[Database]:
    """A database with the newest tables, on the server itself."""
    with postgresql_server.databases.fresh(migrated_on_server) as database:
        yield database


@pytest.fixture
def database(direct: Database, pooled: Databases) -> Database:
    """The same, through pgbouncer."""
    return pooled.named(str(direct.url.database))


@asynccontextmanager
async def opened(database: Database) -> AsyncIterator[Stores]:
    """The stores as the service opens them behind pgbouncer."""
    settings = DatabaseSettings(database_url=database.setting, database_pgbouncer=True)
    container = Container(options=settings.core)
    async with container.database():
        yield Stores(container.strategies(), container.accounts())


async def live(client: httpx.AsyncClient, name: str) -> list[object]:
    """Create, change, list and delete strategies, and return what the user sees."""
    seen: list[object] = []
    places = []
    for number in range(3):
        body = {"name": f"{name} {number}", "parameters": {"z": number, "a": name}}
        created = await client.post(STRATEGIES, json=body)
        seen.append((created.status_code, created.json()["name"], created.json()["parameters"]))
        places.append(created.headers["Location"])
    taken = await client.post(STRATEGIES, json={"name": f"{name} 1"})
    changed = await client.put(places[1], json={"description": f"of {name}"})
    read = await client.get(places[1])
    removed = await client.delete(places[0])
    listed = await client.get(STRATEGIES, params={"limit": 1, "skip": 1})
    missing = await client.get(places[0])
    seen.extend([taken.status_code, changed.json()["description"], read.json() == changed.json(), removed.status_code])
    seen.extend([[item["name"] for item in listed.json()["items"]], listed.json()["total"], missing.status_code])
    return seen


def expected(name: str) -> list[object]:
    created = [(201, f"{name} {number}", {"z": number, "a": name}) for number in range(3)]
    return [*created, 409, f"of {name}", True, 204, [f"{name} 2"], 2, 404]


async def test_many_clients_on_few_server_connections_get_the_answers_to_their_own_questions(
    direct: Database, database: Database, tmp_path: Path
) -> None:
    machine = Machine(
        tmp_path,
        {
            "DATABASE_URL": database.setting,
            "DATABASE_PGBOUNCER": "true",
            "DATABASE_POOL_SIZE": str(USERS),
            "JWT_SECRET_KEY": KEY,
        },
    )
    people = {f"user {number}": token for number, token in enumerate(new_tokens(direct, USERS))}
    async with AsyncExitStack() as stack:
        servers = [stack.enter_context(machine.serving(*UVICORN)) for _ in range(PROCESSES)]
        urls = itertools.cycle(server.client.base_url for server in servers)
        clients = {
            name: await stack.enter_async_context(
                httpx.AsyncClient(
                    base_url=next(urls), headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=30
                )
            )
            for name, token in people.items()
        }
        lives = await asyncio.gather(*[live(client, name) for name, client in clients.items()])
        connections = direct.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    assert dict(zip(clients, lives, strict=True)) == {name: expected(name) for name in clients}
    assert 1 <= int(connections[0]) <= SERVER_CONNECTIONS


async def test_every_block_is_one_transaction_on_one_server_connection(database: Database) -> None:
    async with opened(database) as stores:
        ann = await add_user(stores.accounts, "ann@example.com")
        await asyncio.gather(*[add_strategy(stores.strategies, ann.id, str(number)) for number in range(20)])
        assert sorted(await names(stores.strategies, ann.id)) == sorted(str(number) for number in range(20))


async def test_transactions_in_a_pooled_session_have_the_timeouts(direct: Database, database: Database) -> None:
    async with opened(database) as stores:
        ann = await add_user(stores.accounts, "ann@example.com")
        other = await asyncpg.connect(direct.dsn)
        try:
            async with other.transaction():
                await other.execute("INSERT INTO tradingagents_owners VALUES ($1, 0, 0)", ann.id)
                with pytest.raises(StoreUnavailable):
                    async with asyncio.timeout(LIMIT):
                        await add_strategy(stores.strategies, ann.id, "a")
        finally:
            await other.close()
        await add_strategy(stores.strategies, ann.id, "a")


async def test_a_server_that_has_gone_behind_pgbouncer_is_refused_in_time_and_works_when_it_is_back(
    program: str, tmp_path: Path
) -> None:
    with running_server() as server, running_pgbouncer(server, program, server_connections=2) as pooled:
        server.databases.maintenance.sql("CREATE DATABASE service")
        variables = {"DATABASE_URL": pooled.named("service").setting, "DATABASE_PGBOUNCER": "true"}
        migrated = Machine(tmp_path, variables).run("tradingagents", "migrate")
        assert migrated.returncode == 0, migrated.stderr
        async with opened(pooled.named("service")) as stores:
            ann = await add_user(stores.accounts, "ann@example.com")
            server.stop()
            with pytest.raises(StoreUnavailable):
                async with asyncio.timeout(LIMIT):
                    await names(stores.strategies, ann.id)
            with pytest.raises(StoreUnavailable):
                async with asyncio.timeout(LIMIT):
                    await add_strategy(stores.strategies, ann.id, "a")
            server.start()

            # pgbouncer waits a second before it retries a server that refused a connection.
            async def works_again() -> bool:
                with suppress(StoreUnavailable):
                    await names(stores.strategies, ann.id)
                    return True
                return False

            await eventually(works_again, LIMIT)
            await add_strategy(stores.strategies, ann.id, "b")
            assert await names(stores.strategies, ann.id) == ["b"]
