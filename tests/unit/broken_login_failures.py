"""Counts of failed logins with one fault each. A test of the kit has to find each fault.

pytest collects this file only on request: see `test_conformance_kit.py`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest
from faults import Fault

from tradingagents_conformance import LoginFailuresContract
from tradingagents_core.domain.login_throttle import FailureCount
from tradingagents_core.ports import LoginFailures


class PlainLoginFailures(LoginFailures):
    """Counts without faults, in a dictionary."""

    def __init__(self) -> None:
        self.counts: dict[str, FailureCount] = {}

    async def find(self, keys: Sequence[str]) -> Mapping[str, FailureCount]:
        return {key: self.counts[key] for key in keys if key in self.counts}

    async def add(self, keys: Sequence[str], *, at: datetime) -> None:
        for key in keys:
            before = self.counts.get(key)
            goes_on = before is not None and not self.starts_anew(before, at)
            self.counts[key] = FailureCount(count=before.count + 1 if before and goes_on else 1, last_at=at)
        self.counts = {key: count for key, count in self.counts.items() if not self.is_old(count, at)}

    async def clear(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.counts.pop(key, None)

    def starts_anew(self, count: FailureCount, at: datetime) -> bool:
        return count.is_forgotten(now=at)

    def is_old(self, count: FailureCount, at: datetime) -> bool:
        return count.is_forgotten(now=at)


FAULTS: dict[str, Fault] = {}
"""All broken counts, by the name of their fault."""


def named_by(test: str) -> Callable[[type[Any]], type[Any]]:
    def note(broken: type[Any]) -> type[Any]:
        FAULTS[broken.__name__] = Fault(broken, test)
        return broken

    return note


@named_by("test_a_key_without_failures_has_no_count")
class KeysWithoutFailuresHaveACountOfNone(PlainLoginFailures):
    async def find(self, keys):
        return {key: self.counts.get(key) for key in keys}


@named_by("test_no_keys_have_no_counts")
class NoKeysAreEveryKey(PlainLoginFailures):
    async def find(self, keys):
        return await super().find(keys or ["none"])

    async def add(self, keys, *, at):
        await super().add(keys or ["none"], at=at)


@named_by("test_each_failure_is_counted_under_each_key")
class OnlyTheFirstKeyIsCounted(PlainLoginFailures):
    async def add(self, keys, *, at):
        await super().add(keys[:1], at=at)


@named_by("test_each_failure_is_counted_under_each_key")
class TheFirstFailureSaysTheTime(PlainLoginFailures):
    async def find(self, keys):
        found = await super().find(keys)
        first = vars(self).setdefault("first", {})
        return {key: FailureCount(count.count, first.setdefault(key, count.last_at)) for key, count in found.items()}

    async def add(self, keys, *, at):
        await super().add(keys, at=at)
        await self.find(keys)


@named_by("test_failures_at_once_are_all_counted_in_any_order_of_keys")
class OfTwoAtOnceOneCounts(PlainLoginFailures):
    async def add(self, keys, *, at):
        before = await self.find(keys)
        await asyncio.sleep(0)
        self.counts = {key: count for key, count in self.counts.items() if key not in keys} | before
        await super().add(keys, at=at)


@named_by("test_failures_at_once_are_all_counted_in_any_order_of_keys")
class KeysInTwoOrdersWaitForEachOther(PlainLoginFailures):
    def __init__(self):
        super().__init__()
        self.rows = {}

    async def add(self, keys, *, at):
        for key in keys:
            await asyncio.wait_for(self.rows.setdefault(key, asyncio.Lock()).acquire(), 0.1)
            await asyncio.sleep(0)
        await super().add(keys, at=at)
        for key in keys:
            self.rows[key].release()


@named_by("test_an_old_count_starts_again")
class CountsNeverStartAnew(PlainLoginFailures):
    def starts_anew(self, count, at):
        return False


@named_by("test_a_count_grows_until_it_is_old")
class CountsStartAnewTooEarly(PlainLoginFailures):
    def starts_anew(self, count, at):
        return at != count.last_at and count.last_at < at


@named_by("test_a_count_grows_although_the_clock_was_set_back")
class CountsOfTheFutureStartAnew(PlainLoginFailures):
    def starts_anew(self, count, at):
        return super().starts_anew(count, at) or at < count.last_at


@named_by("test_counts_under_keys_that_are_not_used_again_are_removed")
class CountsPileUp(PlainLoginFailures):
    def is_old(self, count, at):
        return False


@named_by("test_counts_under_keys_that_are_not_used_again_are_removed")
class CountsAreRemovedTooEarly(PlainLoginFailures):
    def is_old(self, count, at):
        return count.last_at < at


@named_by("test_cleared_keys_have_no_count_and_other_keys_keep_theirs")
class ClearingClearsAll(PlainLoginFailures):
    async def clear(self, keys):
        if keys:
            self.counts.clear()


@named_by("test_cleared_keys_have_no_count_and_other_keys_keep_theirs")
class ClearingWhatHasNoCountIsAnError(PlainLoginFailures):
    async def clear(self, keys):
        for key in keys:
            del self.counts[key]


def contract_of(broken: type[PlainLoginFailures]) -> type[LoginFailuresContract]:
    class Contract(LoginFailuresContract):
        @pytest.fixture
        def login_failures(self) -> LoginFailures:
            return broken()

    return Contract


TestPlainLoginFailures = contract_of(PlainLoginFailures)
globals().update({f"Test{name}": contract_of(fault.adapter) for name, fault in FAULTS.items()})
