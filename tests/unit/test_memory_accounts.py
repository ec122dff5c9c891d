from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tradingagents_adapters.memory import MemoryAccountStore
from tradingagents_conformance import AccountStoreContract, OpenAccountStore
from tradingagents_core.ports import AccountStore


@asynccontextmanager
async def open_memory_store() -> AsyncIterator[AccountStore]:
    yield MemoryAccountStore()


class TestMemoryAccountStore(AccountStoreContract):
    histories = 100

    @pytest.fixture
    def open_store(self) -> OpenAccountStore:
        return open_memory_store
