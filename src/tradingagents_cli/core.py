"""Calls of the core on the configured database."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tradingagents_cli.messages import say_database
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.use_cases import UseCases
from tradingagents_service.container import Container, running
from tradingagents_service.schema import database_name
from tradingagents_service.settings import AccountSettings, load_settings

T = TypeVar("T")


def call(work: Callable[[UseCases], Awaitable[T]], *, says_database: bool = True) -> T:
    """Call use cases on the configured database. Its schema is migrated or checked first."""
    settings = load_settings(AccountSettings)

    async def work_while_running() -> T:
        async with running(Container(options=settings.core)) as core:
            return await work(core)

    done = asyncio.run(work_while_running())
    if says_database:
        say_database(database_name(settings))
    return done


async def caller_of(core: UseCases, email: str) -> Caller:
    """The user with this e-mail, in whose name the command calls use cases.

    Raises:
        UserNotFound: no user has this e-mail.
    """
    user = await core.accounts.find(email=email)
    return Caller(user_id=user.id)
