"""The types of the fixtures that the author of an adapter defines."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

from tradingagents_core.ports import AccountStore, Clock, StrategyStore, TokenService

OpenStrategyStore: TypeAlias = Callable[[], AbstractAsyncContextManager[StrategyStore]]
"""Opens a fresh, empty store of strategies, and closes it when the block ends.

The kit calls this function many times, in several event loops. The stores share no data.
"""

OpenAccountStore: TypeAlias = Callable[[], AbstractAsyncContextManager[AccountStore]]
"""Opens a fresh, empty store of accounts, and closes it when the block ends.

The kit calls this function many times, in several event loops. The stores share no data.
"""

IssueCredential: TypeAlias = Callable[[], Awaitable[tuple[str, int]]]
"""Makes an account for a new user, and a credential with which this user may use the service.

Returns the credential and the user's id.
"""

EndAccount: TypeAlias = Callable[[int], Awaitable[None]]
"""Ends the account of the user with this id, so that this user may no longer use the service.

This function only makes the change, as another program would. The tests call `Callers.forget` afterwards.
"""

OpenTokenService: TypeAlias = Callable[[Clock], TokenService]
"""Makes a token service with this clock."""
