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
from tradingagents_core.ports.api_keys import ApiKeyReader, ApiKeyRepository
from tradingagents_core.ports.authentication import (
    Callers,
    LoginFailures,
    LoginQueue,
    TokenService,
)
from tradingagents_core.ports.blocks import Blocks, Lifetime
from tradingagents_core.ports.clock import Clock
from tradingagents_core.ports.sessions import RefreshTokenRepository, SessionReader, SessionRepository
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
    "ApiKeyReader",
    "ApiKeyRepository",
    "Blocks",
    "Callers",
    "Clock",
    "Lifetime",
    "LoginFailures",
    "LoginQueue",
    "PasswordHasher",
    "RefreshTokenRepository",
    "SessionReader",
    "SessionRepository",
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
