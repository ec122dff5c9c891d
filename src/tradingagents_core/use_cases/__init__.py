"""What the service can do, one small class a use case."""

from dataclasses import dataclass
from typing import Self

from tradingagents_core.ports import Clock, LoginFailures, LoginQueue, PasswordHasher, Store, TokenService
from tradingagents_core.use_cases.authentication import IdentifyUser, Login
from tradingagents_core.use_cases.strategies import (
    CreateStrategy,
    DeleteStrategy,
    GetStrategy,
    ListStrategies,
    UpdateStrategy,
)
from tradingagents_core.use_cases.users import ActivateUser, CreateUser, DeactivateUser, ListUsers, SetPassword


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCases:
    """Everything the service can do, ready to call: what a driving adapter is given."""

    login: Login
    identify_user: IdentifyUser

    list_strategies: ListStrategies
    create_strategy: CreateStrategy
    get_strategy: GetStrategy
    update_strategy: UpdateStrategy
    delete_strategy: DeleteStrategy

    create_user: CreateUser
    list_users: ListUsers
    set_password: SetPassword
    activate_user: ActivateUser
    deactivate_user: DeactivateUser

    @classmethod
    def over(
        cls,
        *,
        store: Store,
        failures: LoginFailures,
        login_queue: LoginQueue,
        tokens: TokenService,
        passwords: PasswordHasher,
        clock: Clock,
    ) -> Self:
        """All use cases over these adapters."""
        return cls(
            login=Login(
                store=store, failures=failures, queue=login_queue, tokens=tokens, passwords=passwords, clock=clock
            ),
            identify_user=IdentifyUser(store=store, tokens=tokens),
            list_strategies=ListStrategies(store=store),
            create_strategy=CreateStrategy(store=store, clock=clock),
            get_strategy=GetStrategy(store=store),
            update_strategy=UpdateStrategy(store=store, clock=clock),
            delete_strategy=DeleteStrategy(store=store),
            create_user=CreateUser(store=store, passwords=passwords, clock=clock),
            list_users=ListUsers(store=store),
            set_password=SetPassword(store=store, passwords=passwords, clock=clock),
            activate_user=ActivateUser(store=store, clock=clock),
            deactivate_user=DeactivateUser(store=store, clock=clock),
        )
