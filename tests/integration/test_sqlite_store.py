import pytest

from tradingagents_conformance import OpenStore, StoreContract


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def open_store(self, open_sqlite_store: OpenStore) -> OpenStore:
        return open_sqlite_store
