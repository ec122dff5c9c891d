"""Fixtures: the API over every store, called in this process, and the PostgreSQL servers of the tests."""

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import pytest
from in_process import PASSWORD, Api, MovableClock, OpenStores, Stores, bearer, core_over
from postgresql import EMPTY_THE_STORES, Database, Databases, PostgresqlServer, external_databases, running_server
from sqlalchemy.engine import URL

from tradingagents_adapters.database_url import read_database_url
from tradingagents_adapters.sql import open_database
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.schema import migrate
from tradingagents_http.app import create_app

PATIENT: Final[dict[str, Any]] = dict.fromkeys(
    ("pool_timeout", "connect_timeout", "statement_timeout", "answer_timeout"), 30
)
"""Limits for tests of what a store answers: a busy machine is no reason for a refusal."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def numbers(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Records measured numbers: for the report of `--junit-xml`, and for the screen with `--log-cli-level=INFO`."""

    def note(**measured: object) -> None:
        for name, value in measured.items():
            record_property(name, value)
        logging.getLogger(__name__).info("%s: %s", request.node.name, measured)

    return note


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """A server that all tests share, and that no test stops. Its TCP port requires passwords."""
    with running_server(host_authentication="scram-sha-256") as server:
        yield server


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest) -> Databases:
    """The databases of ordinary tests: on the shared server, or on the server of TEST_DATABASE_URL."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        return external_databases(url)
    return request.getfixturevalue("postgresql_server").databases


@pytest.fixture(scope="session")
def migrated(databases: Databases) -> Iterator[Database]:
    """A database with the newest tables, used only as a template."""
    with databases.fresh() as database:
        asyncio.run(migrate(DatabaseOptions(url=read_database_url(database.setting))))
        yield database


@pytest.fixture(scope="session")
def migrated_on_server(postgresql_server: PostgresqlServer) -> Iterator[Database]:
    """The same on the shared server, also with TEST_DATABASE_URL."""
    with postgresql_server.databases.fresh() as database:
        asyncio.run(migrate(DatabaseOptions(url=read_database_url(database.setting))))
        yield database


@pytest.fixture
def empty_database(databases: Databases) -> Iterator[Database]:
    with databases.fresh() as database:
        yield database


@pytest.fixture
def database(databases: Databases, migrated: Database) -> Iterator[Database]:
    """A database with the newest tables, empty."""
    with databases.fresh(migrated) as database:
        yield database


@pytest.fixture(scope="session")
def database_of_stores(databases: Databases, migrated: Database) -> Iterator[Database]:
    """A database that one store after another uses alone."""
    with databases.fresh(migrated) as database:
        yield database


@pytest.fixture
def open_memory_stores() -> OpenStores:
    @asynccontextmanager
    async def open_stores() -> AsyncIterator[Stores]:
        yield Stores.in_memory()

    return open_stores


def sqlite_settings(file: Path) -> DatabaseOptions:
    return DatabaseOptions(url=URL.create("sqlite+aiosqlite", database=str(file)))


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the newest tables, empty."""
    file = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    asyncio.run(migrate(sqlite_settings(file)))
    return file


def fresh_copy(migrated: Path, file: Path) -> Path:
    """A copy of the migrated file at this path, in place of an existing file."""
    for left in file.parent.glob(f"{file.name}*"):
        left.unlink()
    return Path(shutil.copyfile(migrated, file))


@pytest.fixture
def open_sqlite_stores(tmp_path: Path, migrated_sqlite: Path) -> OpenStores:
    @asynccontextmanager
    async def open_stores() -> AsyncIterator[Stores]:
        async with open_database(sqlite_settings(fresh_copy(migrated_sqlite, tmp_path / "store.db"))) as database:
            yield Stores.over(database)

    return open_stores


@pytest.fixture
def open_postgresql_stores(database_of_stores: Database) -> OpenStores:
    @asynccontextmanager
    async def open_stores() -> AsyncIterator[Stores]:
        connection = await asyncpg.connect(database_of_stores.dsn)
        await connection.execute(EMPTY_THE_STORES)
        await connection.close()
        async with open_database(DatabaseOptions(url=database_of_stores.setting, **PATIENT)) as database:
            yield Stores.over(database)

    return open_stores


@asynccontextmanager
async def open_api(stores: Stores, *, registration_enabled: bool = False) -> AsyncIterator[Api]:
    clock = MovableClock()
    core = core_over(stores, clock, registration_enabled=registration_enabled)
    app = create_app(core, cors_origins=["https://app.example.com"])

    @asynccontextmanager
    async def client(email: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        headers = {}
        if email:
            await core.accounts.create(email=email, password=PASSWORD)
            token = await core.authentication.login(email=email, password=PASSWORD, source="127.0.0.1")
            headers = bearer(token.access_token)
        # The client raises every exception that the application does not handle, so that the test fails.
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as opened:
            yield opened

    async with client() as stranger, client("ann@example.com") as ann, client("bob@example.com") as bob:
        yield Api(core=core, stranger=stranger, ann=ann, bob=bob, stores=stores, clock=clock)


@pytest.fixture
def api_over() -> Callable[..., AbstractAsyncContextManager[Api]]:
    """The API over given stores, without accounts."""
    return open_api


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def open_stores(request: pytest.FixtureRequest) -> OpenStores:
    """Opens stores of each kind, one after another."""
    return request.getfixturevalue(f"open_{request.param}_stores")


@pytest.fixture
async def api(open_stores: OpenStores) -> AsyncIterator[Api]:
    async with open_stores() as stores, open_api(stores) as opened:
        yield opened


@pytest.fixture
async def apis(
    open_memory_stores: OpenStores, open_sqlite_stores: OpenStores, open_postgresql_stores: OpenStores
) -> AsyncIterator[dict[str, Api]]:
    """The API over stores of each kind, all at the same time."""
    async with (
        open_memory_stores() as memory,
        open_sqlite_stores() as sqlite,
        open_postgresql_stores() as postgresql,
        open_api(memory) as over_memory,
        open_api(sqlite) as over_sqlite,
        open_api(postgresql) as over_postgresql,
    ):
        yield {"memory": over_memory, "sqlite": over_sqlite, "postgresql": over_postgresql}
