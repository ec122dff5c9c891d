"""Throttles the guessing of passwords, without locking out users who know their password.

Failures are counted for an account from one source, for an account from all sources, and for a source. When a count
exceeds the number of everyday mistakes, the next attempt has to wait, and each further failure doubles the wait. The
count of an account from all sources throttles only sources that have failed on this account themselves. The owner of
the account can log in from another source, whatever attackers do.

An attempt that is under way counts as a failure until its outcome is known. Otherwise, all guesses sent at the same
time would be checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import IPv6Network, ip_network
from typing import Final, Self

from tradingagents_core.domain.plain_types import plain_int, plain_str, utc_time

FREE_FAILURES_FROM_ONE_SOURCE: Final = 10
"""Failures on one account from one source that cause no wait."""

FREE_FAILURES_OF_AN_ACCOUNT: Final = 100
FREE_FAILURES_OF_A_SOURCE: Final = 50

LONGEST_WAIT: Final = timedelta(minutes=15)

FORGOTTEN_AFTER: Final = timedelta(hours=1)
"""How long a count is valid after its last failure."""

CLOCKS_DIFFER_BY: Final = timedelta(minutes=1)
"""How far in the future the last failure may be, because the clock of another server is ahead."""

QUEUED_OF_A_SOURCE: Final = 8
"""How many attempts of one source may wait in the queue at once."""

QUEUED_ON_AN_ACCOUNT_FROM_ONE_SOURCE: Final = 4
"""How many attempts of one source on one account may wait in the queue at once."""

TURN_SECONDS: Final = 3
"""How long an attempt may wait in the queue."""

_NETWORK_PREFIX_LENGTHS: Final = {4: 24, 6: 48}
"""The size of a network that one customer of a provider may have, by version of IP."""


@dataclass(frozen=True, slots=True)
class FailureCount:
    """How many logins have failed under one key, and when the last login failed. The time is converted to UTC.

    Raises:
        InvalidInput: the count is not an integer; the time has no time zone, or cannot be converted to UTC.
    """

    count: int
    last_at: datetime

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "count", plain_int("count", self.count))
        put(self, "last_at", utc_time("last_at", self.last_at))

    def wait(self, *, free: int, now: datetime) -> timedelta:
        """How long the next attempt still has to wait: at most `LONGEST_WAIT`, even if the clock has been set back."""
        if self.count < free or self.is_forgotten(now=now):
            return timedelta(0)
        # The cap keeps the number small: 2**20 seconds are longer than `LONGEST_WAIT` anyway.
        wait = min(timedelta(seconds=2 ** min(self.count - free, 20)), LONGEST_WAIT)
        return min(max(self.last_at + wait - now, timedelta(0)), wait)

    def is_forgotten(self, *, now: datetime) -> bool:
        """Whether the last failure is too old to count."""
        return now - self.last_at > FORGOTTEN_AFTER

    def is_from_another_clock(self, *, now: datetime) -> bool:
        """Whether the last failure is so far in the future that the clock must have been set back.

        The true time of the failure is unknown then.
        """
        return self.last_at - now > CLOCKS_DIFFER_BY


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """An attempt to log in, as the keys under which its failure is counted.

    The keys have equal length, and reveal neither the account nor the source.
    """

    account_from_source: str
    account: str
    source: str
    network: str
    """The network of the source, for the queue of logins. Failures are not counted under this key."""

    @classmethod
    def of(cls, *, email: str, source: str) -> Self:
        """The attempt of a source on an account, which need not exist.

        A source is an address, or a network that belongs to one client.

        Raises:
            InvalidInput: the e-mail or the source is not text.
        """
        email = plain_str("email", email)
        source = plain_str("source", source)
        return cls(
            account_from_source=_key("both", email, source),
            account=_key("account", email),
            source=_key("source", source),
            network=_key("network", _network(source)),
        )

    @property
    def keys(self) -> tuple[str, str, str]:
        """The keys under which this attempt is counted."""
        return self.account_from_source, self.account, self.source

    @property
    def keys_of_account(self) -> tuple[str, str]:
        """The keys whose counts are cleared when this attempt succeeds: those of the account.

        The count of the source stays. Otherwise, attackers with an account could clear it by logging in.
        """
        return self.account_from_source, self.account

    def wait(
        self, failures: Mapping[str, FailureCount], *, now: datetime, under_way: Mapping[str, int] | None = None
    ) -> timedelta:
        """How long this attempt has to wait, given the failures and the other attempts under way, by key."""
        counts = {
            key: count
            for key in self.keys
            if (count := _count_with_under_way(failures, under_way or {}, key, now)) is not None
        }
        waits = [timedelta(0)]
        if from_source := counts.get(self.account_from_source):
            waits.append(from_source.wait(free=FREE_FAILURES_FROM_ONE_SOURCE, now=now))
            if from_everywhere := counts.get(self.account):
                waits.append(from_everywhere.wait(free=FREE_FAILURES_OF_AN_ACCOUNT, now=now))
        if of_source := counts.get(self.source):
            waits.append(of_source.wait(free=FREE_FAILURES_OF_A_SOURCE, now=now))
        return max(waits)

    def failures_of_source(self, failures: Mapping[str, FailureCount], *, now: datetime) -> int:
        """How many recent failures the source of this attempt has."""
        count = failures.get(self.source)
        return 0 if count is None or count.is_forgotten(now=now) else count.count


def _count_with_under_way(
    failures: Mapping[str, FailureCount], under_way: Mapping[str, int], key: str, now: datetime
) -> FailureCount | None:
    """The count under a key as if all attempts under way failed now."""
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
    # The length of each part makes the text unambiguous.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return sha256(text.encode(errors="surrogatepass")).hexdigest()
