"""A mistake of the program that embeds the core has a name, the same on every store."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from postgresql import Database

from tradingagents_adapters.clock import utc_now
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.strategies import StrategyContent
from tradingagents_core.errors import (
    BlockEnded,
    BlockFailed,
    BlockOfAnotherOwner,
    EmailTaken,
    Misuse,
    NestedBlock,
    NotRunning,
    StrategyNameTaken,
    StrategyNotFound,
    TradingAgentsError,
    WrongEventLoop,
)
from tradingagents_core.ports import AccountStore
from tradingagents_core.use_cases import UseCases
from tradingagents_service import open_core

pytestmark = pytest.mark.anyio

KEY = "k" * 32
SECONDS = 60
"""How long a test waits for what should happen at once."""

ANN = Caller(user_id=1009)
BOB = Caller(user_id=4)
PASSWORD = "SecurePassword123"


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        database: Database = request.getfixturevalue("database")
        return database.setting
    return "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/core.db"


@pytest.fixture
async def core(url: str) -> AsyncIterator[UseCases]:
    async with open_core(url, secret_key=KEY) as core:
        yield core


def accounts_of(core: UseCases) -> AccountStore:
    """The store of the accounts, which a host has where he makes the parts himself."""
    return core.accounts.list.store  # type: ignore[attr-defined, no-any-return]


USES: dict[str, Callable[[UseCases], Awaitable[object]]] = {
    "list": lambda core: core.strategies.list(caller=ANN),
    "get": lambda core: core.strategies.get(caller=ANN, strategy_id=1),
    "create": lambda core: core.strategies.create(caller=ANN, content=StrategyContent(name="a")),
    "users": lambda core: core.accounts.list(),
    "new user": lambda core: core.accounts.create(email="ann@example.com", password=PASSWORD),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_a_use_after_the_end_is_refused(url: str, use: Callable[[UseCases], Awaitable[object]]) -> None:
    async with open_core(url) as core:
        await core.strategies.list(caller=ANN)
    with pytest.raises(NotRunning):
        await use(core)


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_a_use_from_another_event_loop_is_refused(
    core: UseCases, use: Callable[[UseCases], Awaitable[object]]
) -> None:
    await core.strategies.list(caller=ANN)

    def in_another_loop() -> None:
        async def run() -> None:
            await use(core)

        asyncio.run(run())

    with pytest.raises(WrongEventLoop):
        await asyncio.to_thread(in_another_loop)


NESTED: dict[str, Callable[[UseCases], Awaitable[object]]] = {
    "of the same owner": lambda core: core.strategies.create(caller=ANN, content=StrategyContent(name="b")),
    "of another owner": lambda core: core.strategies.create(caller=BOB, content=StrategyContent(name="b")),
    "of an account": lambda core: core.accounts.deactivate(email="ann@example.com"),
    "of a new account": lambda core: core.accounts.create(email="bob@example.com", password=PASSWORD),
}


@pytest.mark.parametrize("nested", NESTED.values(), ids=NESTED)
async def test_a_nested_block_is_refused_and_spoils_nothing(
    core: UseCases, nested: Callable[[UseCases], Awaitable[object]]
) -> None:
    await core.accounts.create(email="ann@example.com", password=PASSWORD)
    async with asyncio.timeout(SECONDS), core.strategies.store.write(ANN.user_id) as work:
        await work.strategies.add(StrategyContent(name="a"), at=utc_now())
        with pytest.raises(NestedBlock, match=r"core\.within"):
            await nested(core)

    assert [strategy.name for strategy in (await core.strategies.list(caller=ANN)).items] == ["a"]
    await core.strategies.create(caller=ANN, content=StrategyContent(name="b"))


async def test_a_nested_block_of_the_same_account_is_refused(core: UseCases) -> None:
    user = await core.accounts.create(email="ann@example.com", password=PASSWORD)
    async with asyncio.timeout(SECONDS), accounts_of(core).write(user.id):
        with pytest.raises(NestedBlock):
            await core.accounts.deactivate(email="ann@example.com")


async def test_a_block_of_another_task_is_no_nested_block(core: UseCases) -> None:
    async with asyncio.timeout(SECONDS):
        async with core.strategies.store.write(ANN.user_id) as work:
            later = asyncio.ensure_future(core.strategies.create(caller=ANN, content=StrategyContent(name="later")))
            await asyncio.sleep(0)
            await work.strategies.add(StrategyContent(name="sooner"), at=utc_now())
        await later

    assert [strategy.name for strategy in (await core.strategies.list(caller=ANN)).items] == ["sooner", "later"]


async def test_a_task_may_open_one_block_after_another_whatever_became_of_the_first(core: UseCases) -> None:
    for error in (ValueError("the host's own"), StrategyNotFound(1)):
        with pytest.raises(type(error)):
            async with core.strategies.store.write(ANN.user_id):
                raise error
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), core.strategies.store.write(ANN.user_id):
            await asyncio.Event().wait()
    await core.strategies.create(caller=ANN, content=StrategyContent(name="a"))


async def test_reading_within_a_block_is_no_nested_block(core: UseCases) -> None:
    async with core.strategies.store.write(ANN.user_id) as work:
        await work.strategies.add(StrategyContent(name="a"), at=utc_now())
        assert (await core.strategies.list(caller=ANN)).total == 0


async def test_a_block_that_catches_a_refused_change_and_goes_on_keeps_nothing(core: UseCases) -> None:
    await core.strategies.create(caller=ANN, content=StrategyContent(name="a"))
    with pytest.raises(BlockFailed, match="nothing was kept"):
        async with core.strategies.store.write(ANN.user_id) as work:
            await core.within(work).strategies.create(caller=ANN, content=StrategyContent(name="b"))
            with pytest.raises(StrategyNameTaken):
                await core.within(work).strategies.create(caller=ANN, content=StrategyContent(name="a"))

    assert [strategy.name for strategy in (await core.strategies.list(caller=ANN)).items] == ["a"]


async def test_a_block_of_an_account_that_catches_a_refused_change_keeps_nothing(core: UseCases) -> None:
    ann = await core.accounts.create(email="ann@example.com", password=PASSWORD)
    bob = await core.accounts.create(email="bob@example.com", password=PASSWORD)
    with pytest.raises(BlockFailed):
        async with accounts_of(core).write(ann.id) as work:
            await work.users.replace(ann.deactivated(at=utc_now()))
            with pytest.raises(EmailTaken):
                await work.users.replace(type(ann)(**{**_fields(ann), "email": bob.email}))

    assert list(await core.accounts.list()) == [ann, bob]


async def test_a_block_may_catch_that_a_strategy_does_not_exist(core: UseCases) -> None:
    async with core.strategies.store.write(ANN.user_id) as work:
        within = core.within(work).strategies
        for call in (
            within.get(caller=ANN, strategy_id=1),
            within.update(caller=ANN, strategy_id=1, changes={"name": "b"}),
            within.delete(caller=ANN, strategy_id=1),
        ):
            with pytest.raises(StrategyNotFound):
                await call
        await within.create(caller=ANN, content=StrategyContent(name="a"))

    assert (await core.strategies.list(caller=ANN)).total == 1


async def test_a_block_cannot_be_used_after_its_end(core: UseCases) -> None:
    async with core.strategies.store.write(ANN.user_id) as work:
        stored = await work.strategies.add(StrategyContent(name="a"), at=utc_now())
    uses: list[Callable[[], Awaitable[object]]] = [
        lambda: work.strategies.get(stored.id),
        lambda: work.strategies.list(skip=0, limit=1, active_only=False),
        lambda: work.strategies.add(StrategyContent(name="b"), at=utc_now()),
        lambda: work.strategies.replace(stored),
        lambda: work.strategies.remove(stored.id),
        lambda: core.within(work).strategies.list(caller=ANN),
    ]
    for use in uses:
        with pytest.raises(BlockEnded):
            await use()
    assert list((await core.strategies.list(caller=ANN)).items) == [stored]


async def test_a_block_of_an_account_cannot_be_used_after_its_end(core: UseCases) -> None:
    user = await core.accounts.create(email="ann@example.com", password=PASSWORD)
    async with accounts_of(core).write(user.id) as work:
        pass
    uses: list[Callable[[], Awaitable[object]]] = [
        lambda: work.users.get(user.id),
        lambda: work.users.replace(user.deactivated(at=utc_now())),
    ]
    for use in uses:
        with pytest.raises(BlockEnded):
            await use()


async def test_a_caller_who_is_not_the_owner_of_the_block_is_refused(core: UseCases) -> None:
    stored = await core.strategies.create(caller=BOB, content=StrategyContent(name="of Bob"))
    async with core.strategies.store.write(ANN.user_id) as work:
        within = core.within(work).strategies
        for call in (
            within.list(caller=BOB),
            within.get(caller=BOB, strategy_id=stored.id),
            within.create(caller=BOB, content=StrategyContent(name="b")),
            within.update(caller=BOB, strategy_id=stored.id, changes={"name": "c"}),
            within.delete(caller=BOB, strategy_id=stored.id),
        ):
            with pytest.raises(BlockOfAnotherOwner) as refused:
                await call
            assert refused.value.owner_id == ANN.user_id

    assert list((await core.strategies.list(caller=BOB)).items) == [stored]


def test_a_mistake_is_no_refusal() -> None:
    assert not issubclass(Misuse, TradingAgentsError)
    assert not issubclass(TradingAgentsError, Misuse)


def _fields(user: Any) -> dict[str, Any]:
    return {name: getattr(user, name) for name in user.__dataclass_fields__}
