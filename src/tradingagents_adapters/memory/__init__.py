"""Stores in the memory of this process, for tests, trials and services that need no persistence.

The stores fulfil the contracts of their ports: a block commits everything or nothing, and blocks that lock the same row
run one after another. The data is lost when the process ends.
"""

from tradingagents_adapters.memory.accounts import MemoryAccountStore
from tradingagents_adapters.memory.login_failures import MemoryLoginFailures
from tradingagents_adapters.memory.strategies import MemoryStrategyStore

__all__ = ["MemoryAccountStore", "MemoryLoginFailures", "MemoryStrategyStore"]
