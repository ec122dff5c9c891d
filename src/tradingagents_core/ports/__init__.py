"""The interfaces that the core needs. Each docstring is a contract that every adapter keeps."""

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
from tradingagents_core.ports.clock import (
    Clock,
)
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
    "Callers",
    "Clock",
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
]
