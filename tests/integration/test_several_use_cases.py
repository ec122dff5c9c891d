"""Several use cases in one writing block: `core.within(work)`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from in_process import OpenStores

from tradingagents_adapters.clock import utc_now
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.strategies import Strategy, StrategyContent
from tradingagents_core.errors import StrategyNameTaken
from tradingagents_core.ports import StrategyStore
from tradingagents_core.use_cases import StrategyUseCases

pytestmark = pytest.mark.anyio

ANN = Caller(user_id=1009)


@pytest.fixture
async def strategies(open_stores: OpenStores) -> AsyncIterator[StrategyUseCases]:
    """Use cases of an owner who has the strategies a, b (inactive) and c."""
    async with open_stores() as stores:
        strategies = StrategyUseCases.over(store=stores.strategies, clock=utc_now)
        for name in "abc":
            await strategies.create(caller=ANN, content=StrategyContent(name=name, is_active=name != "b"))
        yield strategies


async def names(strategies: StrategyUseCases) -> list[str]:
    return [strategy.name for strategy in (await strategies.list(caller=ANN)).items]


async def change_everything(within: StrategyUseCases) -> None:
    first, second, _ = (await within.list(caller=ANN)).items
    await within.update(caller=ANN, strategy_id=first.id, changes={"name": "A"})
    await within.delete(caller=ANN, strategy_id=second.id)
    await within.create(caller=ANN, content=StrategyContent(name="b"))


async def test_their_changes_are_committed_together(strategies: StrategyUseCases) -> None:
    async with strategies.store.write(ANN.user_id) as work:
        await change_everything(strategies.within(work))
        assert await names(strategies) == ["a", "b", "c"]

    assert await names(strategies) == ["A", "c", "b"]


async def test_their_changes_are_rolled_back_together(strategies: StrategyUseCases) -> None:
    with pytest.raises(StrategyNameTaken):
        async with strategies.store.write(ANN.user_id) as work:
            within = strategies.within(work)
            await change_everything(within)
            await within.create(caller=ANN, content=StrategyContent(name="c"))

    assert await names(strategies) == ["a", "b", "c"]


async def test_they_read_their_own_changes(strategies: StrategyUseCases) -> None:
    async with strategies.store.write(ANN.user_id) as work:
        within = strategies.within(work)
        await change_everything(within)

        page = await within.list(caller=ANN, skip=1, limit=1)
        assert ([item.name for item in page.items], page.total, page.skip, page.limit) == (["c"], 3, 1, 1)
        assert await within.get(caller=ANN, strategy_id=page.items[0].id) == page.items[0]
        active = await within.list(caller=ANN, active_only=True)
        assert ([item.name for item in active.items], active.total) == (["A", "c", "b"], 3)
        beyond = await within.list(caller=ANN, skip=2**63)
        assert (list(beyond.items), beyond.total) == ([], 3)


async def test_a_new_owner_starts_with_an_empty_list(strategies: StrategyUseCases) -> None:
    new = Caller(user_id=4)
    async with strategies.store.write(new.user_id) as work:
        within = strategies.within(work)
        assert (await within.list(caller=new)).total == 0
        stored = await within.create(caller=new, content=StrategyContent(name="first"))
        assert list((await within.list(caller=new)).items) == [stored]


async def test_a_block_within_the_block_is_that_block(strategies: StrategyUseCases) -> None:
    async with strategies.store.write(ANN.user_id) as work:
        async with strategies.within(work).store.write(ANN.user_id) as same:
            assert same is work
        await strategies.within(work).create(caller=ANN, content=StrategyContent(name="d"))

    assert await names(strategies) == ["a", "b", "c", "d"]


async def test_other_blocks_of_the_owner_wait_for_the_whole_block(strategies: StrategyUseCases) -> None:
    async with strategies.store.write(ANN.user_id) as work:
        within = strategies.within(work)
        await within.create(caller=ANN, content=StrategyContent(name="d"))
        later = asyncio.ensure_future(strategies.create(caller=ANN, content=StrategyContent(name="later")))
        await asyncio.wait({later}, timeout=0.05)
        await within.create(caller=ANN, content=StrategyContent(name="e"))
    await later

    assert await names(strategies) == ["a", "b", "c", "d", "e", "later"]


async def test_a_function_in_the_place_of_a_use_case_stays(strategies: StrategyUseCases) -> None:
    async def create_nothing(*, caller: Caller, content: StrategyContent) -> Strategy:
        raise NotImplementedError

    mine = replace(strategies, create=create_nothing)
    async with mine.store.write(ANN.user_id) as work:
        assert mine.within(work).create is create_nothing


async def test_a_block_of_a_users_own_store_serves_as_well(open_memory_stores: OpenStores) -> None:
    class Mine(StrategyStore):
        def __init__(self, store: StrategyStore) -> None:
            self.store = store
            self.blocks = 0

        def read(self):  # type: ignore[no-untyped-def]
            return self.store.read()

        @asynccontextmanager
        async def write(self, owner_id: int):  # type: ignore[no-untyped-def]
            self.blocks += 1
            async with self.store.write(owner_id) as work:
                yield work

    async with open_memory_stores() as stores:
        store = Mine(stores.strategies)
        strategies = StrategyUseCases.over(store=store, clock=utc_now)
        async with store.write(ANN.user_id) as work:
            for name in "ab":
                await strategies.within(work).create(caller=ANN, content=StrategyContent(name=name))
        assert (await names(strategies), store.blocks) == (["a", "b"], 1)
