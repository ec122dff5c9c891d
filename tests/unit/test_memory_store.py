from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tradingagents_adapters.memory import MemoryStore
from tradingagents_conformance import OpenStore, StoreContract
from tradingagents_core.ports import Store


@asynccontextmanager
async def open_memory_store() -> AsyncIterator[Store]:
    yield MemoryStore()


class TestMemoryStore(StoreContract):
    histories = 100

    @pytest.fixture
    def open_store(self) -> OpenStore:
        return open_memory_store
