"""How guessing passwords is slowed down, without locking anybody out who knows theirs.

Failures are counted for an account as tried from one source, for the account from everywhere, and for the source. Once
a count exceeds what everyday mistakes need, the next try has to wait, twice as long after each further failure. The
count from everywhere slows down only sources that have failed on the account themselves, so that its owner can log in
from elsewhere whatever others do.

A try that is under way counts like a failure until its outcome is known; otherwise guesses that are sent at once would
all be checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import IPv6Network, ip_network
from typing import Final, Self

FREE_FAILURES_FROM_ONE_SOURCE: Final = 10
"""Failures on one account from one source that cost no waiting."""

FREE_FAILURES_OF_AN_ACCOUNT: Final = 100
FREE_FAILURES_OF_A_SOURCE: Final = 50

LONGEST_WAIT: Final = timedelta(minutes=15)

FORGOTTEN_AFTER: Final = timedelta(hours=1)
"""How long after the last failure a count starts anew."""

CLOCKS_DIFFER_BY: Final = timedelta(minutes=1)
"""How far ahead of the clock the last failure may be, because another machine has counted it."""

QUEUED_OF_A_SOURCE: Final = 8
"""Tries of one source that may wait for their turn at once."""

QUEUED_ON_AN_ACCOUNT_FROM_ONE_SOURCE: Final = 4
"""Tries of one source on one account that may wait for their turn at once."""

TURN_SECONDS: Final = 3
"""How long a try waits for its turn."""

_NETWORK_PREFIX_LENGTHS: Final = {4: 24, 6: 48}
"""How much of an address says whose network it is: what one customer of a provider may have as a whole."""


@dataclass(frozen=True, slots=True)
class FailureCount:
    """How many logins have failed under one key, and when the last did."""

    count: int
    last_at: datetime

    def wait(self, *, free: int, now: datetime) -> timedelta:
        """How long the next try still has to wait, at most `LONGEST_WAIT`, whatever the clock says."""
        if self.count < free or self.is_forgotten(now=now):
            return timedelta(0)
        # From some exponent on it is the longest wait anyway.
        wait = min(timedelta(seconds=2 ** min(self.count - free, 20)), LONGEST_WAIT)
        return min(max(self.last_at + wait - now, timedelta(0)), wait)

    def is_forgotten(self, *, now: datetime) -> bool:
        """Whether the last failure is so long ago that it counts for nothing."""
        return now - self.last_at > FORGOTTEN_AFTER

    def is_from_another_clock(self, *, now: datetime) -> bool:
        """Whether the last failure is so far ahead that the clock must have stepped back since.

        When it really was, nobody can say any more.
        """
        return self.last_at - now > CLOCKS_DIFFER_BY


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """A try to log in, as what it is counted under: keys of equal length that tell nothing about account and source."""

    account_from_source: str
    account: str
    source: str
    network: str
    """The network that the source belongs to. Failures are not counted under it; it is for taking turns."""

    @classmethod
    def of(cls, *, email: str, source: str) -> Self:
        """The try of this source (an address, or a network that is one client's) on this account, which need not
        exist."""
        return cls(
            account_from_source=_key("both", email, source),
            account=_key("account", email),
            source=_key("source", source),
            network=_key("network", _network(source)),
        )

    @property
    def keys(self) -> tuple[str, str, str]:
        """All that this try is counted under."""
        return self.account_from_source, self.account, self.source

    @property
    def keys_of_account(self) -> tuple[str, str]:
        """What is forgotten when this try succeeds: the counts of its own account.

        The source's stays; otherwise somebody with an account would try those of others without end.
        """
        return self.account_from_source, self.account

    def wait(
        self, failures: Mapping[str, FailureCount], *, now: datetime, under_way: Mapping[str, int] | None = None
    ) -> timedelta:
        """How long this try has to wait after these failures, and other tries that are under way, by key."""
        counts = {key: count for key in self.keys if (count := _with(failures, under_way or {}, key, now)) is not None}
        waits = [timedelta(0)]
        if own := counts.get(self.account_from_source):
            waits.append(own.wait(free=FREE_FAILURES_FROM_ONE_SOURCE, now=now))
            if everybodys := counts.get(self.account):
                waits.append(everybodys.wait(free=FREE_FAILURES_OF_AN_ACCOUNT, now=now))
        if of_source := counts.get(self.source):
            waits.append(of_source.wait(free=FREE_FAILURES_OF_A_SOURCE, now=now))
        return max(waits)

    def failures_of_source(self, failures: Mapping[str, FailureCount], *, now: datetime) -> int:
        """How many recent failures this try's source has."""
        count = failures.get(self.source)
        return 0 if count is None or count.is_forgotten(now=now) else count.count


def _with(
    failures: Mapping[str, FailureCount], under_way: Mapping[str, int], key: str, now: datetime
) -> FailureCount | None:
    """The count under a key as if all that is under way failed now."""
    more = under_way.get(key, 0)
    before = failures.get(key)
    if not more:
        return before
    return FailureCount(more if before is None or before.is_forgotten(now=now) else before.count + more, now)


def _network(source: str) -> str:
    try:
        network = ip_network(source, strict=False)
    except ValueError:
        return source
    if isinstance(network, IPv6Network) and (mapped := network.network_address.ipv4_mapped):
        network = ip_network(mapped)
    length = min(network.prefixlen, _NETWORK_PREFIX_LENGTHS[network.version])
    return str(network.supernet(new_prefix=length))


def _key(*parts: str) -> str:
    # With the length of each, so that no part can pass for another's end.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return sha256(text.encode(errors="surrogatepass")).hexdigest()
