"""A core in one line, as another Python program opens it: on SQLite, on PostgreSQL and in memory."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from postgresql import Database

from tradingagents_adapters.argon2_passwords import Argon2PasswordHasher
from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.jwt_tokens import JwtTokenService
from tradingagents_adapters.login_queue import RoundRobinLoginQueue
from tradingagents_adapters.memory import MemoryAccountStore, MemoryLoginFailures, MemoryStrategyStore
from tradingagents_adapters.sql import Database as SqlDatabase
from tradingagents_adapters.sql import open_database
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.strategies import StrategyContent
from tradingagents_core.errors import InvalidToken, KeyMissing, RegistrationDisabled, TradingAgentsError
from tradingagents_core.ports import Callers
from tradingagents_core.use_cases import RefreshOptions, UseCases
from tradingagents_service import open_core

pytestmark = pytest.mark.anyio

KEY = "k" * 32
EMAIL = "ann@example.com"
PASSWORD = "SecurePassword123"
ANN = Caller(user_id=1009)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What a person would write for each kind of store."""
    if request.param == "postgresql":
        database: Database = request.getfixturevalue("database")
        return database.setting
    return "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/core.db"


async def test_a_core_is_all_that_an_embedder_has_to_open(url: str) -> None:
    async with open_core(url, secret_key=KEY) as core:
        user = await core.accounts.create(email=EMAIL, password=PASSWORD)
        token = await core.authentication.login(email=EMAIL, password=PASSWORD, source="203.0.113.7")
        caller = await core.authentication.authenticate(credential=token.access_token)
        assert caller.user_id == user.id
        stored = await core.strategies.create(caller=caller, content=StrategyContent(name="Crossover"))
        assert await core.strategies.get(caller=caller, strategy_id=stored.id) == stored


async def test_what_one_core_has_stored_a_later_one_reads(url: str) -> None:
    async with open_core(url) as core:
        stored = await core.strategies.create(caller=ANN, content=StrategyContent(name="Crossover"))
    async with open_core(url) as core:
        page = await core.strategies.list(caller=ANN)
    assert list(page.items) == ([] if url == "memory:" else [stored])


async def test_two_cores_live_side_by_side(url: str, tmp_path: Path) -> None:
    async with open_core(url) as one, open_core(f"sqlite:///{tmp_path}/other.db") as other, open_core(url) as again:
        stored = await one.strategies.create(caller=ANN, content=StrategyContent(name="Crossover"))
        assert (await other.strategies.list(caller=ANN)).total == 0
        await other.strategies.create(caller=ANN, content=StrategyContent(name="Crossover"))
        seen = await again.strategies.list(caller=ANN)
        assert list(seen.items) == ([] if url == "memory:" else [stored])


async def test_a_core_needs_a_key_only_for_tokens(url: str) -> None:
    async with open_core(url) as core:
        await core.accounts.create(email=EMAIL, password=PASSWORD)
        with pytest.raises(KeyMissing, match="pass `secret_key`"):
            await core.authentication.login(email=EMAIL, password=PASSWORD, source="203.0.113.7")
        with pytest.raises(KeyMissing):
            await core.authentication.authenticate(credential="a.b.c")


async def test_a_caller_of_a_token_with_another_key_is_refused() -> None:
    async with open_core("memory:", secret_key=KEY) as core, open_core("memory:", secret_key=KEY[::-1] + "x") as other:
        await core.accounts.create(email=EMAIL, password=PASSWORD)
        token = await core.authentication.login(email=EMAIL, password=PASSWORD, source="203.0.113.7")
        with pytest.raises(InvalidToken):
            await other.authentication.authenticate(credential=token.access_token)


async def test_an_old_schema_on_postgresql_is_migrated_only_on_request(empty_database: Database) -> None:
    with pytest.raises(ConfigurationError, match="run `tradingagents migrate`"):
        async with open_core(empty_database.setting):
            pass
    async with open_core(empty_database.setting, migrate=True) as core:
        assert (await core.strategies.list(caller=ANN)).total == 0


async def test_an_old_schema_on_sqlite_is_migrated_unless_the_embedder_forbids_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        async with open_core(f"sqlite:///{tmp_path}/core.db", migrate=False):
            pass
    async with open_core(f"sqlite:///{tmp_path}/core.db") as core:
        assert (await core.strategies.list(caller=ANN)).total == 0


async def test_a_database_says_itself_whether_it_migrates(tmp_path: Path) -> None:
    options = DatabaseOptions(url=f"sqlite:///{tmp_path}/core.db")
    with pytest.raises(ValueError, match="leave `migrate` out"):
        async with open_core(open_database(options), migrate=True):
            pass


@pytest.mark.parametrize("wrong", ["memory", "mysql://host/db", "sqlite:///x.db?secret=swordfish", ""])
async def test_a_url_that_cannot_be_used_is_refused_in_one_line_without_its_secrets(wrong: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        async with open_core(wrong):
            pass
    message = str(refused.value)
    assert "\n" not in message
    assert "swordfish" not in message
    assert "DATABASE_URL" not in message


async def test_a_misspelt_name_is_refused() -> None:
    with pytest.raises(TypeError, match="secret_kye"):
        open_core("memory:", secret_kye=KEY)  # type: ignore[call-arg]


@pytest.mark.parametrize("wrong", [{"secret_key": "short"}, {"algorithm": "none"}, {"token_lifetime": timedelta(0)}])
async def test_options_of_tokens_that_cannot_be_used_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^the (key is too short|algorithm should be|lifetime should be)"):
        async with open_core("memory:", **{"secret_key": KEY, **wrong}):
            pass


def test_nothing_but_the_arguments_has_an_effect(tmp_path: Path) -> None:
    """Every variable of the service holds nonsense, and so does a `.env` in the working directory."""
    variables = ("DATABASE_URL", "JWT_SECRET_KEY", "JWT_ALGORITHM", "IDENTITY_CACHE_SECONDS", "MIGRATE_ON_START")
    (tmp_path / ".env").write_text("".join(f"{name}=from the file\n" for name in variables))
    program = (
        "import asyncio\n"
        "from tradingagents_service import open_core\n"
        "async def main():\n"
        "    async with open_core('sqlite:///here.db', secret_key='k' * 32) as core:\n"
        "        print(await core.accounts.list())\n"
        "asyncio.run(main())\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, **dict.fromkeys(variables, "from the environment")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (run.returncode, run.stdout.strip()) == (0, "[]"), run.stderr
    assert (tmp_path / "here.db").exists()


class OfAnIdentityProvider(Callers):
    async def find(self, credential: str) -> Caller | None:
        return ANN if credential == "ann" else None

    async def forget(self, user_id: int) -> None:
        pass


def clock() -> datetime:
    return datetime(2024, 1, 15, 10, 30, tzinfo=UTC)


PARTS: dict[str, Callable[[], Any]] = {
    "strategies": MemoryStrategyStore,
    "accounts": MemoryAccountStore,
    "failures": MemoryLoginFailures,
    "login_queue": lambda: RoundRobinLoginQueue(turns=1),
    "tokens": lambda: JwtTokenService(
        secret_key=KEY, algorithm="HS256", lifetime=timedelta(minutes=1), clock=lambda: datetime.now(UTC)
    ),
    "passwords": lambda: Argon2PasswordHasher(memory_kib=8, time_cost=1),
    "callers": OfAnIdentityProvider,
    "clock": lambda: clock,
}


def parts_of(thing: object, seen: dict[int, object]) -> Iterator[object]:
    """Everything of this project that can be reached from a core."""
    if id(thing) in seen:
        return
    seen[id(thing)] = thing
    yield thing
    if not type(thing).__module__.startswith("tradingagents"):
        return
    names = {field.name for field in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else set(vars(thing))
    for name in names:
        yield from parts_of(getattr(thing, name), seen)


def holders(core: UseCases, kind: type) -> list[object]:
    return [part for part in parts_of(core, {}) if isinstance(part, kind)]


@pytest.mark.parametrize("name", PARTS)
async def test_a_part_that_is_given_is_used_everywhere_in_place_of_the_usual_one(name: str, tmp_path: Path) -> None:
    part = PARTS[name]()
    async with open_core(f"sqlite:///{tmp_path}/core.db", **{name: part}) as core:
        reached = list(parts_of(core, {}))
        assert any(each is part for each in reached)
        # Also of the classes behind a cache or a fallback, no second one is left.
        bases = {base for base in type(part).__mro__ if base.__module__.startswith("tradingagents_core.ports")}
        others = [each for each in reached if each is not part and bases & set(type(each).__mro__)]
        assert others == []


async def test_the_usual_clock_is_used_nowhere_beside_another_one(tmp_path: Path) -> None:
    async with open_core(f"sqlite:///{tmp_path}/core.db", secret_key=KEY, clock=clock) as core:
        clocks = [each for each in parts_of(core, {}) if callable(each) and getattr(each, "__name__", "") == "utc_now"]
        assert clocks == []
        stored = await core.strategies.create(caller=ANN, content=StrategyContent(name="Crossover"))
        assert stored.created_at == clock()


async def test_a_core_whose_stores_are_all_given_opens_no_database(tmp_path: Path) -> None:
    given = {name: PARTS[name]() for name in ("strategies", "accounts", "failures")}
    async with open_core(f"sqlite:///{tmp_path}/core.db", **given) as core:
        await core.strategies.create(caller=ANN, content=StrategyContent(name="Crossover"))
        assert holders(core, SqlDatabase) == []
    assert not os.listdir(tmp_path)  # noqa: PTH208


async def test_callers_of_an_identity_provider_use_the_strategies(url: str) -> None:
    async with open_core(url, callers=OfAnIdentityProvider()) as core:
        caller = await core.authentication.authenticate(credential="ann")
        await core.strategies.create(caller=caller, content=StrategyContent(name="Crossover"))
        with pytest.raises(TradingAgentsError):
            await core.authentication.authenticate(credential="bob")


async def test_everybody_may_create_an_account_only_if_the_program_says_so() -> None:
    async with open_core("memory:", registration_enabled=True) as core:
        assert (await core.accounts.register(email="ann@example.com", password="SecurePassword123")).is_active
    async with open_core("memory:") as core:
        with pytest.raises(RegistrationDisabled):
            await core.accounts.register(email="ann@example.com", password="SecurePassword123")


async def test_a_refresh_token_is_valid_as_long_as_the_program_says() -> None:
    refresh = RefreshOptions(lifetime=timedelta(days=2), reuse=timedelta(0))
    async with open_core("memory:", secret_key="k" * 64, refresh=refresh) as core:
        await core.accounts.create(email="ann@example.com", password="SecurePassword123")
        issued = await core.authentication.login(
            email="ann@example.com", password="SecurePassword123", source="127.0.0.1", offline_access=True
        )
        caller = await core.authentication.authenticate(credential=issued.access_token)
        (session,) = (await core.sessions.list(caller=caller)).items
    assert session.expires_at - session.created_at == refresh.lifetime
