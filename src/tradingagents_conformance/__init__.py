"""The test kit for authors of adapters: one test for each sentence that a port promises.

Subclass a contract, give its one fixture, and run pytest:

    class TestMyStore(StoreContract):
        @pytest.fixture
        def open_store(self):
            return open_my_store  # an async context manager that opens a fresh, empty store

Only the ports are used. It needs the extra `conformance` (pytest, hypothesis, anyio).
"""

from tradingagents_conformance.store import OpenStore, StoreContract

__all__ = ["OpenStore", "StoreContract"]
