"""Joins the core with its adapters, from settings: where a composition root gets its parts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from dependency_injector import containers, providers

from tradingagents_adapters.argon2_passwords import Argon2PasswordHasher
from tradingagents_adapters.clock import utc_now
from tradingagents_adapters.jwt_tokens import JwtTokenService
from tradingagents_adapters.settings import DatabaseSettings
from tradingagents_adapters.sql.engine import open_engine
from tradingagents_adapters.sql.login_failures import SqlLoginFailures
from tradingagents_adapters.sql.schema import check_schema, migrate
from tradingagents_adapters.sql.store import SqlStore
from tradingagents_core.use_cases import UseCases


class Container(containers.DeclarativeContainer):
    """Every part of the service, made when it is first asked for. Any part can be overridden with another adapter.

    `tokens` and `use_cases` need all `Settings`, `passwords` needs `AccountSettings`; the other parts make do with
    `DatabaseSettings`.
    """

    settings = providers.Dependency(instance_of=DatabaseSettings)

    clock = providers.Object(utc_now)
    engine = providers.Singleton(open_engine, settings)
    store = providers.Singleton(SqlStore, engine, read_in_transactions=settings.provided.database_pgbouncer)
    failures = providers.Singleton(SqlLoginFailures, engine, in_transactions=settings.provided.database_pgbouncer)
    passwords = providers.Singleton(
        Argon2PasswordHasher,
        memory_kib=settings.provided.password_hash_memory_kib,
        time_cost=settings.provided.password_hash_time_cost,
        parallelism=settings.provided.password_hash_parallelism,
        threads=settings.provided.password_hash_threads,
    )
    tokens = providers.Singleton(
        JwtTokenService,
        secret_key=settings.provided.jwt_secret_key.get_secret_value.call(),
        algorithm=settings.provided.jwt_algorithm,
        lifetime=providers.Factory(timedelta, minutes=settings.provided.jwt_expiration_minutes),
        clock=clock,
    )
    use_cases = providers.Singleton(
        UseCases.over, store=store, failures=failures, tokens=tokens, passwords=passwords, clock=clock
    )


@asynccontextmanager
async def running(container: Container) -> AsyncIterator[None]:
    """The time in which the parts of a container are used: the schema is brought up to date first, or found to be so,
    and at the end connections are closed.

    Raises:
        ConfigurationError: the schema is not the one of this version, and a start is not to change it.
        StoreUnavailable: the database is away or busy.
    """
    settings = container.settings()
    engine = container.engine()
    try:
        if settings.migrates_on_start:
            await migrate(settings)
        await check_schema(engine)
        yield
    finally:
        await engine.dispose()
