"""Stores in this process's memory, for tests, trials and services that need not remember.

They keep every promise of their ports: blocks are whole or nothing, and follow each other where they take one row. What
they hold ends with the process.
"""

from tradingagents_adapters.memory.accounts import MemoryAccountStore
from tradingagents_adapters.memory.login_failures import MemoryLoginFailures
from tradingagents_adapters.memory.strategies import MemoryStrategyStore

__all__ = ["MemoryAccountStore", "MemoryLoginFailures", "MemoryStrategyStore"]
