"""What an author of an adapter gives to the kit."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

from tradingagents_core.ports import Clock, Store, TokenService

OpenStore: TypeAlias = Callable[[], AbstractAsyncContextManager[Store]]
"""Opens a fresh, empty store, and closes it when the block ends.

It is called many times, in more than one event loop; no two stores share anything.
"""

OpenTokenService: TypeAlias = Callable[[Clock], TokenService]
"""Makes a token service that takes the time from this clock."""
