"""Composes the core and its adapters from settings."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from operator import add

from dependency_injector import containers, providers

from tradingagents_adapters.argon2_passwords import Argon2PasswordHasher
from tradingagents_adapters.clock import utc_now
from tradingagents_adapters.fallback_login_failures import FallbackLoginFailures
from tradingagents_adapters.jwt_tokens import JwtTokenService
from tradingagents_adapters.login_queue import RoundRobinLoginQueue
from tradingagents_adapters.remembered_callers import RememberedCallers
from tradingagents_adapters.sql import open_checked_database
from tradingagents_adapters.sql.accounts import SqlAccountStore
from tradingagents_adapters.sql.login_failures import SqlLoginFailures
from tradingagents_adapters.sql.strategies import SqlStrategyStore
from tradingagents_core.errors import StoreUnavailable
from tradingagents_core.use_cases import AccountCallers, AccountUseCases, UseCases
from tradingagents_service.settings import DatabaseSettings


class Container(containers.DeclarativeContainer):
    """Every part of the service, made at its first use. Any part can be overridden with another adapter.

    `tokens`, `callers` and `use_cases` need all `Settings`; `passwords`, `login_queue` and `account_use_cases` need
    `AccountSettings`; the other parts need only `DatabaseSettings`.
    """

    settings = providers.Dependency(instance_of=DatabaseSettings)

    clock = providers.Object(utc_now)
    database = providers.Singleton(
        open_checked_database,
        settings.provided.database,
        migrates=settings.provided.migrates_on_start,
        # A server without lifespan events does not start the application.
        starts_by_itself=True,
    )
    strategies = providers.Singleton(SqlStrategyStore, database)
    accounts = providers.Singleton(SqlAccountStore, database)
    failures = providers.Singleton(FallbackLoginFailures, providers.Singleton(SqlLoginFailures, database))
    passwords = providers.Singleton(
        Argon2PasswordHasher,
        memory_kib=settings.provided.password_hash_memory_kib,
        time_cost=settings.provided.password_hash_time_cost,
        parallelism=settings.provided.password_hash_parallelism,
        threads=settings.provided.password_hash_threads,
    )
    login_queue = providers.Singleton(
        RoundRobinLoginQueue,
        # One turn more than threads: one login reads from the database while the others use the threads.
        turns=providers.Callable(add, settings.provided.password_hash_threads, 1),
    )
    tokens = providers.Singleton(
        JwtTokenService,
        secret_key=settings.provided.jwt_secret_key.get_secret_value.call(),
        algorithm=settings.provided.jwt_algorithm,
        lifetime=providers.Factory(timedelta, minutes=settings.provided.jwt_expiration_minutes),
        clock=clock,
    )
    callers = providers.Singleton(
        RememberedCallers,
        providers.Singleton(AccountCallers, store=accounts, tokens=tokens),
        seconds=settings.provided.identity_cache_seconds,
        clock=clock,
    )
    account_use_cases = providers.Singleton(AccountUseCases.over, store=accounts, passwords=passwords, clock=clock)
    use_cases = providers.Singleton(
        UseCases.over,
        strategies=strategies,
        accounts=accounts,
        callers=callers,
        failures=failures,
        login_queue=login_queue,
        tokens=tokens,
        passwords=passwords,
        clock=clock,
    )


@asynccontextmanager
async def running(container: Container, *, waits_for_database: bool = False) -> AsyncIterator[None]:
    """Migrate or check the schema, make the parts of the container usable in the block, and close connections after it.

    With `waits_for_database`, the start succeeds even if the database is unavailable. Operations on the database then
    raise `StoreUnavailable` until the database is available and its schema has been migrated or checked.

    Raises:
        ConfigurationError: the schema does not fit this version, and a start may not migrate it.
        StoreUnavailable: the database is unavailable or busy.
    """
    async with container.database() as database, AsyncExitStack() as stack:
        try:
            await database.readiness.prepare()
        except StoreUnavailable:
            if not waits_for_database:
                raise
            await stack.enter_async_context(database.readiness.prepared_in_background())
        yield
