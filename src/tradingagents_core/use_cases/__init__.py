"""The use cases of the service, one class each."""

from dataclasses import dataclass, replace
from typing import Self

from tradingagents_core.ports import (
    AccountStore,
    Callers,
    Clock,
    LoginFailures,
    LoginQueue,
    PasswordHasher,
    StrategyStore,
    StrategyWork,
    TokenService,
)
from tradingagents_core.use_cases.accounts import AccountUseCases
from tradingagents_core.use_cases.api_keys import ApiKeyUseCases
from tradingagents_core.use_cases.authentication import AuthenticationUseCases, RefreshOptions
from tradingagents_core.use_cases.callers import AccountCallers
from tradingagents_core.use_cases.password_checks import PasswordChecks
from tradingagents_core.use_cases.sessions import SessionUseCases
from tradingagents_core.use_cases.strategies import StrategyUseCases

__all__ = [
    "AccountCallers",
    "AccountUseCases",
    "ApiKeyUseCases",
    "AuthenticationUseCases",
    "PasswordChecks",
    "RefreshOptions",
    "SessionUseCases",
    "StrategyUseCases",
    "UseCases",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCases:
    """All use cases, ready for a driving adapter to call."""

    strategies: StrategyUseCases
    accounts: AccountUseCases
    authentication: AuthenticationUseCases
    sessions: SessionUseCases
    api_keys: ApiKeyUseCases

    def within(self, work: StrategyWork) -> Self:
        """The same use cases, those about strategies within an open writing block (`StrategyUseCases.within`).

        Those about accounts open blocks of their own, and are refused (`NestedBlock`) where the store does not allow
        that.
        """
        return replace(self, strategies=self.strategies.within(work))

    @classmethod
    def over(
        cls,
        *,
        strategies: StrategyStore,
        accounts: AccountStore,
        failures: LoginFailures,
        login_queue: LoginQueue,
        tokens: TokenService,
        passwords: PasswordHasher,
        clock: Clock,
        callers: Callers | None = None,
        refresh: RefreshOptions | None = None,
        registration_enabled: bool = False,
    ) -> Self:
        """All use cases over these adapters. By default, callers are users of `accounts` who send `tokens` or keys."""
        callers = callers or AccountCallers(store=accounts, tokens=tokens, clock=clock)
        checks = PasswordChecks(
            accounts=accounts, failures=failures, queue=login_queue, passwords=passwords, clock=clock
        )
        return cls(
            strategies=StrategyUseCases.over(store=strategies, clock=clock),
            accounts=AccountUseCases.over(
                store=accounts,
                strategies=strategies,
                callers=callers,
                checks=checks,
                passwords=passwords,
                clock=clock,
                registration_enabled=registration_enabled,
            ),
            authentication=AuthenticationUseCases.over(
                accounts=accounts, callers=callers, checks=checks, tokens=tokens, clock=clock, refresh=refresh
            ),
            sessions=SessionUseCases.over(store=accounts, callers=callers, clock=clock),
            api_keys=ApiKeyUseCases.over(store=accounts, callers=callers, clock=clock),
        )
