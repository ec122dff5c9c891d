"""What the contracts of users, sessions and API keys share."""

from collections.abc import AsyncIterator

import pytest

from tradingagents_conformance.blocks import BlocksContract
from tradingagents_conformance.examples import add_user
from tradingagents_conformance.opening import OpenAccountStore
from tradingagents_core.domain.accounts import User
from tradingagents_core.ports import AccountStore


class AccountFixtures(BlocksContract):
    """A fresh store of accounts, and two users."""

    @pytest.fixture
    def open_store(self) -> OpenAccountStore:
        """Defined by the author of the store."""
        raise NotImplementedError("a subclass of AccountStoreContract has to define the fixture open_store")

    @pytest.fixture
    async def store(self, open_store: OpenAccountStore) -> AsyncIterator[AccountStore]:
        async with open_store() as store:
            yield store

    @pytest.fixture
    async def ann(self, store: AccountStore) -> User:
        return await add_user(store, "ann@example.com")

    @pytest.fixture
    async def bob(self, store: AccountStore) -> User:
        return await add_user(store, "bob@example.com")
