"""The contract of `LoginFailures`, as tests."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

import pytest

from tradingagents_core.domain.login_throttle import FORGOTTEN_AFTER, FailureCount, LoginAttempt
from tradingagents_core.ports import LoginFailures

_NOW: Final = datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)
_MOMENT: Final = timedelta(microseconds=1)

_ANN: Final = LoginAttempt.of(email="ann@example.com", source="203.0.113.7").keys
_BOB: Final = LoginAttempt.of(email="bob@example.com", source="198.51.100.1").keys
_A, _B, _C = _ANN


class LoginFailuresContract:
    """Every sentence of `LoginFailures`.

    A subclass defines the fixture `login_failures`, and may set the attribute below.
    """

    a_while: ClassVar[float] = 60
    """Seconds after which an operation counts as hanging."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def login_failures(self) -> LoginFailures:
        """Defined by the author of the adapter: without any counts."""
        raise NotImplementedError("a subclass of LoginFailuresContract has to define the fixture login_failures")

    async def test_a_key_without_failures_has_no_count(self, login_failures: LoginFailures) -> None:
        await login_failures.add(_ANN, at=_NOW)

        assert await login_failures.find(_BOB) == {}

    async def test_no_keys_have_no_counts(self, login_failures: LoginFailures) -> None:
        await login_failures.add([], at=_NOW)
        await login_failures.clear([])

        assert await login_failures.find([]) == {}

    async def test_each_failure_is_counted_under_each_key(self, login_failures: LoginFailures) -> None:
        await login_failures.add(_ANN, at=_NOW - timedelta(minutes=1))
        await login_failures.add([_A, _B], at=_NOW)

        assert await login_failures.find(_ANN) == {
            _A: FailureCount(2, _NOW),
            _B: FailureCount(2, _NOW),
            _C: FailureCount(1, _NOW - timedelta(minutes=1)),
        }

    async def test_failures_at_once_are_all_counted_in_any_order_of_keys(self, login_failures: LoginFailures) -> None:
        orders = [_ANN, _ANN[::-1], (_B, _C, _A)]
        adding = [login_failures.add(orders[number % len(orders)], at=_NOW) for number in range(21)]
        await asyncio.wait_for(asyncio.gather(*adding), self.a_while)

        assert await login_failures.find(_ANN) == dict.fromkeys(_ANN, FailureCount(21, _NOW))

    async def test_an_old_count_starts_again(self, login_failures: LoginFailures) -> None:
        later = _NOW + FORGOTTEN_AFTER + _MOMENT
        await login_failures.add([_A, _B], at=_NOW)
        await login_failures.add([_B], at=_NOW)
        await login_failures.add([_A], at=later)

        assert await login_failures.find([_A]) == {_A: FailureCount(1, later)}

    async def test_a_count_grows_until_it_is_old(self, login_failures: LoginFailures) -> None:
        await login_failures.add([_A], at=_NOW)
        await login_failures.add([_A], at=_NOW + FORGOTTEN_AFTER)

        assert await login_failures.find([_A]) == {_A: FailureCount(2, _NOW + FORGOTTEN_AFTER)}

    async def test_a_count_grows_although_the_clock_was_set_back(self, login_failures: LoginFailures) -> None:
        await login_failures.add([_A], at=_NOW)
        await login_failures.add([_A], at=_NOW - timedelta(days=1))

        assert await login_failures.find([_A]) == {_A: FailureCount(2, _NOW - timedelta(days=1))}

    async def test_counts_under_keys_that_are_not_used_again_are_removed(self, login_failures: LoginFailures) -> None:
        await login_failures.add(_ANN, at=_NOW)
        await login_failures.add(_BOB, at=_NOW + FORGOTTEN_AFTER)
        assert set(await login_failures.find(_ANN)) == set(_ANN)

        await login_failures.add(_BOB, at=_NOW + FORGOTTEN_AFTER + _MOMENT)
        assert await login_failures.find(_ANN) == {}
        assert set(await login_failures.find(_BOB)) == set(_BOB)

    async def test_cleared_keys_have_no_count_and_other_keys_keep_theirs(self, login_failures: LoginFailures) -> None:
        await login_failures.add([_A, _B], at=_NOW)
        await login_failures.clear([_A, _C])

        assert await login_failures.find(_ANN) == {_B: FailureCount(1, _NOW)}
