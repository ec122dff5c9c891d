"""Counts of failed logins in memory, and those that fall back to memory."""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from tradingagents_adapters.fallback_login_failures import FallbackLoginFailures
from tradingagents_adapters.memory import MemoryLoginFailures
from tradingagents_conformance import LoginFailuresContract
from tradingagents_core.domain.login_throttle import FORGOTTEN_AFTER, FailureCount, LoginAttempt
from tradingagents_core.errors import StoreUnavailable
from tradingagents_core.ports import LoginFailures

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEYS = LoginAttempt.of(email="ann@example.com", source="203.0.113.7").keys


class TestMemoryLoginFailures(LoginFailuresContract):
    @pytest.fixture
    def login_failures(self) -> LoginFailures:
        return MemoryLoginFailures()


class TestFallbackLoginFailures(LoginFailuresContract):
    @pytest.fixture
    def login_failures(self) -> LoginFailures:
        return FallbackLoginFailures(MemoryLoginFailures())


class ReadOnly(MemoryLoginFailures):
    """Counts that can be written while `writes` is true."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = False
        self.tries = 0

    async def add(self, keys: Sequence[str], *, at: datetime) -> None:
        self.tries += 1
        if not self.writes:
            raise StoreUnavailable(reason="the disk is full")
        await super().add(keys, at=at)


def counts(found: Mapping[str, FailureCount]) -> set[int]:
    return {count.count for count in found.values()}


@pytest.mark.anyio
async def test_what_cannot_be_written_counts_in_memory_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    database = ReadOnly()
    failures = FallbackLoginFailures(database)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            await failures.add(KEYS, at=NOW)
    assert counts(await failures.find(KEYS)) == {5}
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "the disk is full" in caplog.text
    # Others do not wait for a database that has just refused.
    assert database.tries == 1


@pytest.mark.anyio
async def test_what_was_counted_in_memory_is_added_to_what_is_written_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tradingagents_adapters.fallback_login_failures.RETRY_SECONDS", 0)
    database = ReadOnly()
    failures = FallbackLoginFailures(database)
    with caplog.at_level(logging.WARNING):
        await failures.add(KEYS, at=NOW)
        database.writes = True
        await failures.add(KEYS, at=NOW + timedelta(seconds=1))
    assert counts(await database.find(KEYS)) == {1}
    assert counts(await failures.find(KEYS)) == {2}
    assert caplog.records[-1].getMessage() == "Failed logins are written again"
    later = NOW + FORGOTTEN_AFTER + timedelta(hours=1)
    await failures.add(KEYS, at=later)
    assert counts(await database.find(KEYS)) == {1}
    assert all(count.last_at == later for count in (await failures.find(KEYS)).values())


@pytest.mark.anyio
async def test_a_success_forgets_what_was_counted_in_memory() -> None:
    database = ReadOnly()
    failures = FallbackLoginFailures(database)
    await failures.add(KEYS, at=NOW)
    with pytest.raises(StoreUnavailable):
        await failures.clear(KEYS)
    assert await failures.find(KEYS) == {}


def test_no_two_attempts_are_counted_under_the_same_key_by_their_texts() -> None:
    attempts = [("a", "b\0c"), ("a\0b", "c"), ("ab", "c"), ("a", "bc"), ("both", "a"), ("1:a", "b")]
    keys = [key for email, source in attempts for key in LoginAttempt.of(email=email, source=source).keys]
    assert len(set(keys)) == len({("both", *each) for each in attempts}) + len({a for a, _ in attempts}) + len(
        {b for _, b in attempts}
    )


@pytest.mark.parametrize("stepped_back", [timedelta(minutes=20), timedelta(days=1), timedelta(days=400)])
def test_a_clock_that_steps_back_makes_no_longer_wait(stepped_back: timedelta) -> None:
    count = FailureCount(count=1000, last_at=NOW)
    assert count.wait(free=10, now=NOW - stepped_back) <= timedelta(minutes=15)
