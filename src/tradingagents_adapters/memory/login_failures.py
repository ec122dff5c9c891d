"""Counts of failed logins in memory."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from tradingagents_core.domain.login_throttle import FailureCount
from tradingagents_core.domain.plain_types import utc_time
from tradingagents_core.ports import LoginFailures

FAILURE_COUNTS_MAX: Final = 100_000
"""The maximum number of counts of failed logins, about 30 MB."""


class MemoryLoginFailures(LoginFailures):
    """Counts failed logins in memory, for one process.

    At most `FAILURE_COUNTS_MAX` counts are kept; beyond that, the count with the oldest last failure is dropped.
    """

    def __init__(self) -> None:
        self._counts: OrderedDict[str, FailureCount] = OrderedDict()
        """Counts by key, in the order of their last failures."""

    async def find(self, keys: Sequence[str]) -> Mapping[str, FailureCount]:
        return {key: self._counts[key] for key in keys if key in self._counts}

    async def add(self, keys: Sequence[str], *, at: datetime) -> None:
        at = utc_time("at", at)
        for key in keys:
            before = self._counts.pop(key, None)
            goes_on = before is not None and not before.is_forgotten(now=at)
            self._counts[key] = FailureCount(count=before.count + 1 if before and goes_on else 1, last_at=at)
        while self._counts and (
            len(self._counts) > FAILURE_COUNTS_MAX or next(iter(self._counts.values())).is_forgotten(now=at)
        ):
            self._counts.popitem(last=False)

    def take_back(self, keys: Sequence[str]) -> None:
        """Subtract one failure from the counts under these keys."""
        for key in keys:
            count = self._counts.get(key)
            if count is not None and count.count > 1:
                self._counts[key] = replace(count, count=count.count - 1)
            elif count is not None:
                del self._counts[key]

    async def clear(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._counts.pop(key, None)
