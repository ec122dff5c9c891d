"""Composes the core and its adapters from options."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from operator import add

from dependency_injector import containers, providers

from tradingagents_adapters.argon2_passwords import Argon2PasswordHasher
from tradingagents_adapters.clock import utc_now
from tradingagents_adapters.fallback_login_failures import FallbackLoginFailures
from tradingagents_adapters.jwt_tokens import JwtTokenService
from tradingagents_adapters.keyless_tokens import KeylessTokenService
from tradingagents_adapters.login_queue import RoundRobinLoginQueue
from tradingagents_adapters.memory import MemoryAccountStore, MemoryLoginFailures, MemoryStrategyStore
from tradingagents_adapters.remembered_callers import RememberedCallers
from tradingagents_adapters.sql import Database, open_checked_database
from tradingagents_adapters.sql.accounts import SqlAccountStore
from tradingagents_adapters.sql.login_failures import SqlLoginFailures
from tradingagents_adapters.sql.strategies import SqlStrategyStore
from tradingagents_core.errors import StoreUnavailable
from tradingagents_core.ports import Blocks, Clock, TokenService
from tradingagents_core.use_cases import AccountCallers, UseCases
from tradingagents_service.options import CoreOptions


def _database(options: CoreOptions) -> Database:
    assert options.database is not None
    if isinstance(options.database, Database):
        return options.database
    # Starts by itself, because a server without lifespan events does not start the application.
    return open_checked_database(options.database, migrates=options.migrates, starts_by_itself=True)


def _tokens(options: CoreOptions, clock: Clock) -> TokenService:
    if options.secret_key is None:
        return KeylessTokenService()
    return JwtTokenService(
        secret_key=options.secret_key,
        algorithm=options.algorithm,
        previous_keys=options.previous_keys,
        lifetime=options.token_lifetime,
        clock=clock,
    )


class Container(containers.DeclarativeContainer):
    """Every part of the core, made at its first use. Any part can be overridden with another adapter."""

    options = providers.Dependency(instance_of=CoreOptions)

    clock = providers.Object(utc_now)
    database = providers.Singleton(_database, options)
    memory_blocks = providers.Singleton(Blocks)
    strategies = providers.Selector(
        options.provided.kind,
        sql=providers.Singleton(SqlStrategyStore, database),
        memory=providers.Singleton(MemoryStrategyStore, blocks=memory_blocks),
    )
    accounts = providers.Selector(
        options.provided.kind,
        sql=providers.Singleton(SqlAccountStore, database),
        memory=providers.Singleton(MemoryAccountStore, blocks=memory_blocks),
    )
    failures = providers.Selector(
        options.provided.kind,
        sql=providers.Singleton(FallbackLoginFailures, providers.Singleton(SqlLoginFailures, database)),
        memory=providers.Singleton(MemoryLoginFailures),
    )
    passwords = providers.Singleton(
        Argon2PasswordHasher,
        memory_kib=options.provided.hash_memory_kib,
        time_cost=options.provided.hash_time_cost,
        parallelism=options.provided.hash_parallelism,
        threads=options.provided.hash_threads,
    )
    login_queue = providers.Singleton(
        RoundRobinLoginQueue,
        # One turn more than threads: one login reads from the database while the others use the threads.
        turns=providers.Callable(add, options.provided.hash_threads, 1),
    )
    tokens = providers.Singleton(_tokens, options, clock)
    callers = providers.Singleton(
        RememberedCallers,
        providers.Singleton(AccountCallers, store=accounts, tokens=tokens, clock=clock),
        seconds=options.provided.identity_cache_seconds,
        clock=clock,
    )
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
        refresh=options.provided.refresh,
        registration_enabled=options.provided.registration_enabled,
    )


@asynccontextmanager
async def running(container: Container, *, waits_for_database: bool = False) -> AsyncIterator[UseCases]:
    """Start the core in this event loop, and end it with the block.

    The start migrates or checks the schema, and the end closes the connections.

    With `waits_for_database`, the start succeeds even if the database is unavailable. Operations on the database then
    raise `StoreUnavailable` until the database is available and its schema has been migrated or checked.

    Raises:
        ConfigurationError: the schema does not fit this version, and a start may not migrate it.
        StoreUnavailable: the database is unavailable or busy.
    """
    core: UseCases = container.use_cases()
    async with AsyncExitStack() as stack:
        for store in (container.strategies(), container.accounts()):
            if isinstance(store, MemoryStrategyStore | MemoryAccountStore):
                await stack.enter_async_context(store)
        if container.options().database is not None:
            database = await stack.enter_async_context(container.database())
            try:
                await database.readiness.prepare()
            except StoreUnavailable:
                if not waits_for_database:
                    raise
                await stack.enter_async_context(database.readiness.prepared_in_background())
        yield core
