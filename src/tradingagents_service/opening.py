"""The core for other Python programs, in one line."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from dependency_injector import providers

from tradingagents_adapters.sql import Database
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_core.ports import (
    AccountStore,
    Callers,
    Clock,
    LoginFailures,
    LoginQueue,
    PasswordHasher,
    StrategyStore,
    TokenService,
)
from tradingagents_core.use_cases import RefreshOptions, UseCases
from tradingagents_service.container import Container, running
from tradingagents_service.options import CoreOptions

MEMORY: Final = "memory:"
"""In the place of a URL: stores in the memory of this process, empty at first and lost at the end."""


@asynccontextmanager
async def open_core(
    database: str | DatabaseOptions | Database,
    *,
    migrate: bool | None = None,
    secret_key: str | None = None,
    algorithm: str = CoreOptions.algorithm,
    previous_keys: str = "",
    token_lifetime: timedelta = CoreOptions.token_lifetime,
    refresh: RefreshOptions | None = None,
    registration_enabled: bool = CoreOptions.registration_enabled,
    identity_cache_seconds: float = CoreOptions.identity_cache_seconds,
    strategies: StrategyStore | None = None,
    accounts: AccountStore | None = None,
    failures: LoginFailures | None = None,
    login_queue: LoginQueue | None = None,
    tokens: TokenService | None = None,
    passwords: PasswordHasher | None = None,
    callers: Callers | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[UseCases]:
    """A core that runs while the block does, over the database at this URL, or over `"memory:"`.

    The arguments are all there is: nothing is read from the environment, and no part is shared with another core.
    `database` may also be options with limits of their own, or a database such as `EngineDatabase`.

    `migrate` says whether the start migrates the schema; by default on SQLite only. `secret_key` signs tokens with
    `algorithm` for `token_lifetime`, and is needed only for logins and tokens. `previous_keys` are keys that only
    verify tokens, each after the name of its algorithm. `refresh` says how long refresh tokens are valid. With
    `registration_enabled`, everybody may create an account. A caller is cached for `identity_cache_seconds`.

    Each part can be replaced by its name. A part that is given is used everywhere in place of the usual one; its start
    and its end are yours. Where `strategies`, `accounts` and `failures` are given, no database is opened.

    Raises:
        ConfigurationError: the URL or the schema cannot be used.
        StoreUnavailable: the database is unavailable or busy.
        ValueError: a key cannot be used with its algorithm, a number is out of range, or `migrate` is given beside a
            database that says itself whether it migrates.
    """
    if migrate is not None and isinstance(database, Database):
        raise ValueError("leave `migrate` out: the database that you pass says itself whether it migrates")
    given = {
        "strategies": strategies,
        "accounts": accounts,
        "failures": failures,
        "login_queue": login_queue,
        "tokens": tokens,
        "passwords": passwords,
        "callers": callers,
        "clock": clock,
    }
    parts = {name: providers.Object(part) for name, part in given.items() if part is not None}
    used = None if {"strategies", "accounts", "failures"} <= parts.keys() else _database(database)
    container = Container(
        options=CoreOptions(
            database=used,
            migrates=isinstance(used, DatabaseOptions) and used.is_sqlite if migrate is None else migrate,
            secret_key=secret_key,
            algorithm=algorithm,
            previous_keys=previous_keys,
            token_lifetime=token_lifetime,
            refresh=refresh or RefreshOptions(),
            registration_enabled=registration_enabled,
            identity_cache_seconds=identity_cache_seconds,
        )
    )
    container.override_providers(**parts)
    async with running(container) as core:
        yield core


def _database(given: str | DatabaseOptions | Database) -> DatabaseOptions | Database | None:
    if given == MEMORY:
        return None
    return DatabaseOptions(url=given) if isinstance(given, str) else given
