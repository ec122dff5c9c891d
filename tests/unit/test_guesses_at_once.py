"""Guesses that are sent at once, where many passwords may be checked at once."""

import asyncio
from datetime import timedelta

import pytest

from tradingagents_adapters.argon2_passwords import Argon2PasswordHasher
from tradingagents_adapters.clock import utc_now
from tradingagents_adapters.jwt_tokens import JwtTokenService
from tradingagents_adapters.login_queue import RoundRobinLoginQueue
from tradingagents_adapters.memory import MemoryAccountStore, MemoryLoginFailures, MemoryStrategyStore
from tradingagents_core.domain.login_throttle import FREE_FAILURES_FROM_ONE_SOURCE
from tradingagents_core.errors import InvalidCredentials, TooManyAttempts
from tradingagents_core.use_cases import UseCases

GUESSES = 100


@pytest.mark.anyio
async def test_no_more_guesses_are_checked_at_once_than_are_free() -> None:
    core = UseCases.over(
        strategies=MemoryStrategyStore(),
        accounts=MemoryAccountStore(),
        failures=MemoryLoginFailures(),
        login_queue=RoundRobinLoginQueue(turns=GUESSES),
        tokens=JwtTokenService(secret_key="k" * 64, algorithm="HS256", lifetime=timedelta(minutes=30), clock=utc_now),
        passwords=Argon2PasswordHasher(memory_kib=8, time_cost=1, threads=4),
        clock=utc_now,
    )
    outcomes = await asyncio.gather(
        *[
            core.authentication.login(email="ann@example.com", password=f"guess {number}", source="203.0.113.7")
            for number in range(GUESSES)
        ],
        return_exceptions=True,
    )
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds.count(InvalidCredentials) <= FREE_FAILURES_FROM_ONE_SOURCE
    assert kinds.count(InvalidCredentials) + kinds.count(TooManyAttempts) == GUESSES
