"""The interfaces that the core needs. Each docstring is a contract that every adapter keeps.

`Blocks`, `Lifetime` and `shielded` are not interfaces: they help adapters to keep the contracts of stores.
"""

from tradingagents_core.ports.accounts import (
    AccountStore,
    AccountView,
    AccountWork,
    PasswordHasher,
    UserReader,
    UserRepository,
)
from tradingagents_core.ports.authentication import (
    Callers,
    LoginFailures,
    LoginQueue,
    TokenService,
)
from tradingagents_core.ports.blocks import Blocks, Lifetime
from tradingagents_core.ports.clock import Clock
from tradingagents_core.ports.shielding import shielded
from tradingagents_core.ports.strategies import (
    StrategyReader,
    StrategyRepository,
    StrategyStore,
    StrategyView,
    StrategyWork,
)

__all__ = [
    "AccountStore",
    "AccountView",
    "AccountWork",
    "Blocks",
    "Callers",
    "Clock",
    "Lifetime",
    "LoginFailures",
    "LoginQueue",
    "PasswordHasher",
    "StrategyReader",
    "StrategyRepository",
    "StrategyStore",
    "StrategyView",
    "StrategyWork",
    "TokenService",
    "UserReader",
    "UserRepository",
    "shielded",
]
