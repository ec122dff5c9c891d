"""How guessing passwords is slowed down, without locking anybody out who knows theirs.

Failures are counted for an account as tried from one source, for the account from everywhere, and for the source. Once
a count exceeds what everyday mistakes need, the next try has to wait, twice as long after each further failure. The
count from everywhere slows down only sources that have failed on the account themselves, so that its owner can log in
from elsewhere whatever others do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, Self

FREE_FAILURES_FROM_ONE_SOURCE: Final = 10
"""Failures on one account from one source that cost no waiting."""

FREE_FAILURES_OF_AN_ACCOUNT: Final = 100
FREE_FAILURES_OF_A_SOURCE: Final = 50

LONGEST_WAIT: Final = timedelta(minutes=15)

FORGOTTEN_AFTER: Final = timedelta(hours=1)
"""How long after the last failure a count starts anew."""


@dataclass(frozen=True, slots=True)
class FailureCount:
    """How many logins have failed under one key, and when the last did."""

    count: int
    last_at: datetime

    def wait(self, *, free: int, now: datetime) -> timedelta:
        """How long the next try still has to wait."""
        if self.count < free or now - self.last_at > FORGOTTEN_AFTER:
            return timedelta(0)
        # From some exponent on it is the longest wait anyway.
        wait = min(timedelta(seconds=2 ** min(self.count - free, 20)), LONGEST_WAIT)
        return max(self.last_at + wait - now, timedelta(0))


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """A try to log in, as what it is counted under: keys of equal length that tell nothing about account and source."""

    account_from_source: str
    account: str
    source: str

    @classmethod
    def of(cls, *, email: str, source: str) -> Self:
        """The try of this source (an address) on this account, which need not exist."""
        return cls(_key("both", email, source), _key("account", email), _key("source", source))

    @property
    def keys(self) -> tuple[str, str, str]:
        """All that this try is counted under."""
        return self.account_from_source, self.account, self.source

    def wait(self, failures: Mapping[str, FailureCount], *, now: datetime) -> timedelta:
        """How long this try has to wait after these failures, by key."""
        waits = [timedelta(0)]
        if own := failures.get(self.account_from_source):
            waits.append(own.wait(free=FREE_FAILURES_FROM_ONE_SOURCE, now=now))
            if everybodys := failures.get(self.account):
                waits.append(everybodys.wait(free=FREE_FAILURES_OF_AN_ACCOUNT, now=now))
        if of_source := failures.get(self.source):
            waits.append(of_source.wait(free=FREE_FAILURES_OF_A_SOURCE, now=now))
        return max(waits)


def _key(*parts: str) -> str:
    return sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()
