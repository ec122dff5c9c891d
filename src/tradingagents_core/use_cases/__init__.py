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
from tradingagents_core.use_cases.authentication import AccountCallers, AuthenticationUseCases
from tradingagents_core.use_cases.strategies import StrategyUseCases

__all__ = ["AccountCallers", "AccountUseCases", "AuthenticationUseCases", "StrategyUseCases", "UseCases"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCases:
    """All use cases, ready for a driving adapter to call."""

    strategies: StrategyUseCases
    accounts: AccountUseCases
    authentication: AuthenticationUseCases

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
    ) -> Self:
        """All use cases over these adapters. By default, callers are users of `accounts` who send `tokens`."""
        callers = callers or AccountCallers(store=accounts, tokens=tokens)
        return cls(
            strategies=StrategyUseCases.over(store=strategies, clock=clock),
            accounts=AccountUseCases.over(store=accounts, passwords=passwords, clock=clock, callers=callers),
            authentication=AuthenticationUseCases.over(
                accounts=accounts,
                callers=callers,
                failures=failures,
                login_queue=login_queue,
                tokens=tokens,
                passwords=passwords,
                clock=clock,
            ),
        )
