from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tradingagents_adapters.memory import MemoryStrategyStore
from tradingagents_conformance import OpenStrategyStore, StrategyStoreContract
from tradingagents_conformance.examples import CHANGED, CREATED, add_strategy, names
from tradingagents_core.domain.strategies import StrategyContent
from tradingagents_core.ports import StrategyStore

ANN = 7


@asynccontextmanager
async def open_memory_store() -> AsyncIterator[StrategyStore]:
    yield MemoryStrategyStore()


class TestMemoryStrategyStore(StrategyStoreContract):
    histories = 100

    @pytest.fixture
    def open_store(self) -> OpenStrategyStore:
        return open_memory_store


class Unwalkable(dict):
    """Finds, adds and removes by key, and refuses to be walked through or copied."""

    def _refuse(self, *_):
        raise AssertionError("what an owner has is walked through")

    __iter__ = __reversed__ = __or__ = __ror__ = keys = values = items = copy = _refuse


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_changes_do_not_walk_through_what_an_owner_has() -> None:
    store = MemoryStrategyStore()
    strategy = await add_strategy(store, ANN, "a")
    owner = store._owners[ANN]
    owner.strategies, owner.ids = Unwalkable(owner.strategies), Unwalkable(owner.ids)
    with pytest.raises(AssertionError, match="walked through"):
        dict(owner.strategies)

    await add_strategy(store, ANN, "b")
    async with store.write(ANN) as work:
        added = await work.strategies.add(StrategyContent(name="c"), at=CREATED)
        await work.strategies.replace((await work.strategies.get(strategy.id)).changed(at=CHANGED, name="d"))
        await work.strategies.remove(added.id)

    assert store._owners[ANN] is owner
    assert isinstance(owner.strategies, Unwalkable)
    assert isinstance(owner.ids, Unwalkable)
    owner.strategies = dict(dict.items(owner.strategies))
    assert await names(store, ANN) == ["d", "b"]
