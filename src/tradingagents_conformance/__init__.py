"""The test kit for authors of adapters: one test for each sentence that a port promises.

Subclass a contract, give its fixtures, and run pytest:

    class TestMyStore(StoreContract):
        @pytest.fixture
        def open_store(self):
            return open_my_store  # an async context manager that opens a fresh, empty store

Only the ports are used. It needs the extra `conformance` (pytest, hypothesis, anyio).
"""

import pytest

# Before they are imported: so that a failing assertion in them shows both sides, as one in the author's own tests does.
pytest.register_assert_rewrite(
    f"{__name__}.histories",
    f"{__name__}.login_failures",
    f"{__name__}.login_queue",
    f"{__name__}.passwords",
    f"{__name__}.store",
    f"{__name__}.tokens",
)

from tradingagents_conformance.login_failures import LoginFailuresContract  # noqa: E402
from tradingagents_conformance.login_queue import LoginQueueContract  # noqa: E402
from tradingagents_conformance.opening import OpenStore, OpenTokenService  # noqa: E402
from tradingagents_conformance.passwords import PasswordHasherContract  # noqa: E402
from tradingagents_conformance.store import StoreContract  # noqa: E402
from tradingagents_conformance.tokens import TokenServiceContract  # noqa: E402

__all__ = [
    "LoginFailuresContract",
    "LoginQueueContract",
    "OpenStore",
    "OpenTokenService",
    "PasswordHasherContract",
    "StoreContract",
    "TokenServiceContract",
]
