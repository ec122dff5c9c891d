"""What an author of an adapter gives to the kit."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

from tradingagents_core.ports import AccountStore, Clock, StrategyStore, TokenService

OpenStrategyStore: TypeAlias = Callable[[], AbstractAsyncContextManager[StrategyStore]]
"""Opens a fresh, empty store of strategies, and closes it when the block ends.

It is called many times, in more than one event loop; no two stores share anything.
"""

OpenAccountStore: TypeAlias = Callable[[], AbstractAsyncContextManager[AccountStore]]
"""Opens a fresh, empty store of accounts, and closes it when the block ends.

It is called many times, in more than one event loop; no two stores share anything.
"""

IssueCredential: TypeAlias = Callable[[], Awaitable[tuple[str, int]]]
"""Makes an account for a new user, and a credential with which this user may use the service.

Returns the credential and the user's id.
"""

EndAccount: TypeAlias = Callable[[int], Awaitable[None]]
"""Ends the account of the user with this id, so that this user may no longer use the service.

It makes the change only, as another program would; the tests of the kit call `Callers.forget` afterwards.
"""

OpenTokenService: TypeAlias = Callable[[Clock], TokenService]
"""Makes a token service that takes the time from this clock."""
