"""The API over every store, called in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from in_process import PASSWORD, Api
from sqlalchemy.engine import URL

from tradingagents_adapters.argon2_passwords import Argon2PasswordHasher
from tradingagents_adapters.clock import utc_now
from tradingagents_adapters.jwt_tokens import JwtTokenService
from tradingagents_adapters.memory import MemoryStore
from tradingagents_adapters.settings import DatabaseSettings
from tradingagents_adapters.sql.engine import open_engine
from tradingagents_adapters.sql.schema import migrate
from tradingagents_adapters.sql.store import SqlStore
from tradingagents_conformance import OpenStore
from tradingagents_core.ports import Store
from tradingagents_core.use_cases import UseCases
from tradingagents_http.app import create_app


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def open_sqlite_store(tmp_path: Path) -> OpenStore:
    @asynccontextmanager
    async def open_store() -> AsyncIterator[Store]:
        settings = DatabaseSettings(database_url=URL.create("sqlite+aiosqlite", database=str(tmp_path / "store.db")))
        await migrate(settings)
        engine = open_engine(settings)
        try:
            yield SqlStore(engine)
        finally:
            await engine.dispose()

    return open_store


@asynccontextmanager
async def open_memory_store() -> AsyncIterator[Store]:
    yield MemoryStore()


@pytest.fixture(params=["memory", "sqlite"])
async def api(request: pytest.FixtureRequest, open_sqlite_store: OpenStore) -> AsyncIterator[Api]:
    open_store = {"memory": open_memory_store, "sqlite": open_sqlite_store}[request.param]
    async with open_store() as store:
        core = UseCases.over(
            store=store,
            tokens=JwtTokenService(
                secret_key="k" * 64, algorithm="HS256", lifetime=timedelta(minutes=30), clock=utc_now
            ),
            passwords=Argon2PasswordHasher(memory_kib=8, time_cost=1),
            clock=utc_now,
        )
        app = create_app(core, cors_origins=["https://app.example.com"])

        @asynccontextmanager
        async def client(email: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
            headers = {}
            if email:
                await core.create_user(email=email, password=PASSWORD)
                headers["Authorization"] = f"Bearer {await core.login(email=email, password=PASSWORD)}"
            # The client re-raises what the application lets escape, so that nothing may.
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as opened:
                yield opened

        async with client() as stranger, client("ann@example.com") as ann, client("bob@example.com") as bob:
            yield Api(core=core, stranger=stranger, ann=ann, bob=bob)
