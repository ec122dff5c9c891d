"""The test kit for authors of adapters: one test for each sentence of a port.

Subclass a contract, define its fixtures, and run pytest:

    class TestMyStore(StrategyStoreContract):
        @pytest.fixture
        def open_store(self):
            return open_my_store  # an async context manager that opens a fresh, empty store

The tests use only the ports. The kit needs the extra `conformance` (pytest, hypothesis, anyio).
"""

import pytest

# Before the import, so that a failing assertion of the kit shows both sides, as in the author's own tests.
# A package stands for all its modules.
pytest.register_assert_rewrite(
    f"{__name__}.account_fixtures",
    f"{__name__}.accounts",
    f"{__name__}.api_keys",
    f"{__name__}.callers",
    f"{__name__}.examples",
    f"{__name__}.histories",
    f"{__name__}.login_failures",
    f"{__name__}.login_queue",
    f"{__name__}.passwords",
    f"{__name__}.sessions",
    f"{__name__}.strategies",
    f"{__name__}.tokens",
)

from tradingagents_conformance.accounts import AccountStoreContract  # noqa: E402
from tradingagents_conformance.callers import CallersContract  # noqa: E402
from tradingagents_conformance.login_failures import LoginFailuresContract  # noqa: E402
from tradingagents_conformance.login_queue import LoginQueueContract  # noqa: E402
from tradingagents_conformance.opening import (  # noqa: E402
    EndAccount,
    IssueCredential,
    OpenAccountStore,
    OpenStrategyStore,
    OpenTokenService,
)
from tradingagents_conformance.passwords import PasswordHasherContract  # noqa: E402
from tradingagents_conformance.strategies import StrategyStoreContract  # noqa: E402
from tradingagents_conformance.tokens import TokenServiceContract  # noqa: E402

__all__ = [
    "AccountStoreContract",
    "CallersContract",
    "EndAccount",
    "IssueCredential",
    "LoginFailuresContract",
    "LoginQueueContract",
    "OpenAccountStore",
    "OpenStrategyStore",
    "OpenTokenService",
    "PasswordHasherContract",
    "StrategyStoreContract",
    "TokenServiceContract",
]
