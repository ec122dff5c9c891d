import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tradingagents_adapters.argon2_passwords import Argon2PasswordHasher
from tradingagents_adapters.jwt_tokens import JwtTokenService
from tradingagents_adapters.login_queue import RoundRobinLoginQueue
from tradingagents_adapters.memory import MemoryAccountStore, MemoryLoginFailures, MemoryStrategyStore
from tradingagents_core.domain.login_throttle import (
    FORGOTTEN_AFTER,
    FREE_FAILURES_FROM_ONE_SOURCE,
    FREE_FAILURES_OF_A_SOURCE,
    FREE_FAILURES_OF_AN_ACCOUNT,
    LONGEST_WAIT,
    FailureCount,
    LoginAttempt,
)
from tradingagents_core.errors import InvalidCredentials, TooManyAttempts
from tradingagents_core.use_cases import UseCases

HERE, ELSEWHERE = "203.0.113.7", "198.51.100.1"
EMAIL, PASSWORD = "ann@example.com", "SecurePassword123"


class World:
    """The core over memory, and a clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, tzinfo=UTC)
        clock: Callable[[], datetime] = lambda: self.now  # noqa: E731
        self.core = UseCases.over(
            strategies=MemoryStrategyStore(),
            accounts=MemoryAccountStore(),
            failures=MemoryLoginFailures(),
            login_queue=RoundRobinLoginQueue(turns=1),
            tokens=JwtTokenService(secret_key="k" * 64, algorithm="HS256", lifetime=timedelta(minutes=30), clock=clock),
            passwords=Argon2PasswordHasher(memory_kib=8, time_cost=1),
            clock=clock,
        )
        asyncio.run(self.core.accounts.create(email=EMAIL, password=PASSWORD))

    def log_in(self, *, source: str = HERE, email: str = EMAIL) -> str:
        return asyncio.run(self.core.authentication.login(email=email, password=PASSWORD, source=source)).access_token

    def fail(self, *, times: int = 1, source: str = HERE, email: str = EMAIL) -> None:
        for _ in range(times):
            with pytest.raises(InvalidCredentials):
                asyncio.run(self.core.authentication.login(email=email, password="wrong password", source=source))

    def retry_after(self, *, source: str = HERE, email: str = EMAIL) -> int:
        with pytest.raises(TooManyAttempts) as refusal:
            self.log_in(source=source, email=email)
        return refusal.value.retry_after


@pytest.fixture
def world() -> World:
    return World()


def test_everyday_mistakes_cost_no_waiting(world: World) -> None:
    world.fail(times=FREE_FAILURES_FROM_ONE_SOURCE - 1)
    assert world.log_in()


def test_past_the_limit_even_the_right_password_waits(world: World) -> None:
    world.fail(times=FREE_FAILURES_FROM_ONE_SOURCE)
    assert world.retry_after() == 1


def test_the_wait_grows_with_each_further_failure_up_to_the_longest(world: World) -> None:
    world.fail(times=FREE_FAILURES_FROM_ONE_SOURCE)
    waits = []
    for _ in range(12):
        waits.append(world.retry_after())
        world.now += timedelta(seconds=waits[-1])
        world.fail()
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


def test_after_the_wait_the_right_password_works_and_resets_the_count(world: World) -> None:
    world.fail(times=FREE_FAILURES_FROM_ONE_SOURCE)
    world.now += timedelta(seconds=world.retry_after())
    assert world.log_in()
    world.fail(times=FREE_FAILURES_FROM_ONE_SOURCE - 1)
    assert world.log_in()


def test_the_right_password_works_from_elsewhere_all_the_time(world: World) -> None:
    for number in range(FREE_FAILURES_OF_AN_ACCOUNT + 1):
        world.fail(source=f"203.0.113.{number}")
    assert world.log_in(source=ELSEWHERE)


def test_an_account_that_many_guess_at_slows_down_each_of_them(world: World) -> None:
    for number in range(FREE_FAILURES_OF_AN_ACCOUNT):
        world.fail(source=f"203.0.113.{number}")
    assert world.retry_after(source="203.0.113.0") == 1


def test_a_source_that_guesses_at_many_accounts_is_slowed_down(world: World) -> None:
    for number in range(FREE_FAILURES_OF_A_SOURCE):
        world.fail(email=f"{number}@example.com")
    assert world.retry_after(email="another@example.com") == 1
    assert world.retry_after() == 1
    assert world.log_in(source=ELSEWHERE)


def test_an_unknown_account_is_counted_like_a_known_one(world: World) -> None:
    world.fail(times=FREE_FAILURES_FROM_ONE_SOURCE, email="nobody@example.com")
    assert world.retry_after(email="nobody@example.com") == 1
    assert world.retry_after(email="NOBODY@example.com") == 1


def test_what_is_long_ago_is_forgotten(world: World) -> None:
    world.fail(times=FREE_FAILURES_FROM_ONE_SOURCE)
    world.now += FORGOTTEN_AFTER + timedelta(microseconds=1)
    world.fail(times=FREE_FAILURES_FROM_ONE_SOURCE - 1)
    assert world.log_in()


def test_a_refused_try_is_not_counted(world: World) -> None:
    world.fail(times=FREE_FAILURES_FROM_ONE_SOURCE)
    assert [world.retry_after() for _ in range(5)] == [1] * 5


def test_any_number_of_failures_has_a_wait(world: World) -> None:
    assert FailureCount(10**9, world.now).wait(free=10, now=world.now) == LONGEST_WAIT


def test_keys_tell_nothing_and_have_one_length() -> None:
    attempt = LoginAttempt.of(email="\ud800" * 10_000, source=HERE)
    assert len(set(attempt.keys)) == 3
    assert {len(key) for key in attempt.keys} == {64}
    assert not any(HERE in key for key in attempt.keys)
