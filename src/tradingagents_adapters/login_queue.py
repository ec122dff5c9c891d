"""The queue of logins in this process: users who have logged in before come first; sources take turns."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Final

from tradingagents_core.domain.login_throttle import (
    QUEUED_OF_A_SOURCE,
    QUEUED_ON_AN_ACCOUNT_FROM_ONE_SOURCE,
    TURN_SECONDS,
    LoginAttempt,
)
from tradingagents_core.errors import PasswordHasherBusy, TooManyAttempts
from tradingagents_core.ports import LoginQueue

WAITING_FOR_EACH_TURN: Final = 100
"""How many attempts may wait for each of the turns granted at once: about two seconds of work."""

REMEMBERED_MAX: Final = 10_000
"""How many sources and networks with a recent turn are remembered, and how many recent successes."""

_LEVELS: Final = 9
"""The number of levels: one for attempts that have succeeded before, the others by the failures of the source.

These are none, 1, 2 or more, 4 or more, 8 or more, up to 64 or more.
"""

_RETRY_SECONDS: Final = 1


@dataclass(eq=False, slots=True)
class _Waiter:
    attempt: LoginAttempt
    level: int
    turn: "asyncio.Future[bool]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Whether the attempt gets a turn. Done when the attempt has left the queue, or its caller has been cancelled."""
    is_queued: bool = True


class _MostRecent:
    """The `REMEMBERED_MAX` keys that were noted most recently."""

    def __init__(self) -> None:
        self._keys: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def note(self, *keys: str) -> None:
        for key in keys:
            self._keys[key] = None
            self._keys.move_to_end(key)
        while len(self._keys) > REMEMBERED_MAX:
            self._keys.popitem(last=False)


class _Rounds:
    """The waiting attempts of one level. Networks take turns, and within a network, sources take turns.

    A network or source without a recent turn starts at the front: a newcomer does not wait for a whole round of a
    crowd. A network or source with a recent turn starts at the end, and does not get a second turn before the others.
    """

    def __init__(self, served: _MostRecent) -> None:
        self._served = served
        self._networks: OrderedDict[str, OrderedDict[str, dict[_Waiter, None]]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._networks)

    def size(self, network: str) -> int:
        """How many attempts of a network wait."""
        return sum(map(len, self._networks.get(network, {}).values()))

    def add(self, waiter: _Waiter) -> None:
        network, source = waiter.attempt.network, waiter.attempt.source
        sources = self._networks.get(network)
        if sources is None:
            sources = self._networks[network] = OrderedDict()
            self._networks.move_to_end(network, last=network in self._served)
        waiters = sources.get(source)
        if waiters is None:
            waiters = sources[source] = {}
            sources.move_to_end(source, last=source in self._served)
        waiters[waiter] = None

    def remove(self, waiter: _Waiter) -> None:
        network, source = waiter.attempt.network, waiter.attempt.source
        sources = self._networks[network]
        del sources[source][waiter]
        if not sources[source]:
            del sources[source]
        if not sources:
            del self._networks[network]

    def pop(self) -> _Waiter:
        """Remove and return the next attempt."""
        network, sources = next(iter(self._networks.items()))
        source, waiters = next(iter(sources.items()))
        waiter = next(iter(waiters))
        self._networks.move_to_end(network)
        sources.move_to_end(source)
        self.remove(waiter)
        self._served.note(network, source)
        return waiter

    def most_crowded(self) -> _Waiter:
        """The last attempt of the source with the most attempts, in the network with the most attempts."""
        sources = self._networks[max(self._networks, key=self.size)]
        source = max(sources, key=lambda key: len(sources[key]))
        return next(reversed(sources[source]))


class RoundRobinLoginQueue(LoginQueue):
    """Grants `turns` turns at once. An attempt waits at most `seconds` for its turn.

    Attempts that have succeeded before come first. The others are ordered by the failures of their source; among
    equals, networks (`LoginAttempt.network`) take turns, then sources. At most `WAITING_FOR_EACH_TURN` attempts wait
    for each turn. In a full queue, a newcomer with fewer failures, or from a less crowded network, replaces one of the
    last attempts.
    """

    def __init__(self, *, turns: int, seconds: float = TURN_SECONDS) -> None:
        self._free = turns
        self._waiting_max = turns * WAITING_FOR_EACH_TURN
        self._seconds = seconds
        served = _MostRecent()
        self._levels = [_Rounds(served) for _ in range(_LEVELS)]
        self._served = served
        self._succeeded = _MostRecent()
        self._waiting = 0
        self._waiting_under: Counter[str] = Counter()
        self._under_way: Counter[str] = Counter()

    def under_way(self, keys: Sequence[str]) -> Mapping[str, int]:
        return {key: self._under_way[key] for key in keys if key in self._under_way}

    @contextmanager
    def entered(self, attempt: LoginAttempt) -> Iterator[None]:
        self._under_way.update(attempt.keys)
        try:
            yield
        finally:
            _subtract(self._under_way, attempt.keys)

    @asynccontextmanager
    async def turn(self, attempt: LoginAttempt, *, failures: int) -> AsyncIterator[None]:
        if self._free:
            self._free -= 1
            self._served.note(attempt.network, attempt.source)
        else:
            await self._wait(attempt, self._level(attempt, failures))
        try:
            yield
        finally:
            self._pass_on()

    def note_success(self, attempt: LoginAttempt) -> None:
        self._succeeded.note(attempt.account_from_source)

    def _level(self, attempt: LoginAttempt, failures: int) -> int:
        if attempt.account_from_source in self._succeeded:
            return 0
        return min(1 + failures.bit_length(), _LEVELS - 1)

    async def _wait(self, attempt: LoginAttempt, level: int) -> None:
        if (
            self._waiting_under[attempt.source] >= QUEUED_OF_A_SOURCE
            or self._waiting_under[attempt.account_from_source] >= QUEUED_ON_AN_ACCOUNT_FROM_ONE_SOURCE
        ):
            raise TooManyAttempts(retry_after=_RETRY_SECONDS)
        self._make_room(attempt, level)
        waiter = _Waiter(attempt, level)
        self._levels[level].add(waiter)
        self._waiting += 1
        self._waiting_under.update((attempt.source, attempt.account_from_source))
        gets_a_turn = False
        try:
            async with asyncio.timeout(self._seconds):
                gets_a_turn = await waiter.turn
        except TimeoutError:
            raise PasswordHasherBusy from None
        finally:
            if waiter.is_queued:
                self._levels[level].remove(waiter)
                self._forget(waiter)
            elif not gets_a_turn and not waiter.turn.cancelled() and waiter.turn.result():
                # The turn was granted just as the wait timed out or was cancelled.
                self._pass_on()
        if not gets_a_turn:
            raise PasswordHasherBusy

    def _make_room(self, attempt: LoginAttempt, level: int) -> None:
        if self._waiting < self._waiting_max:
            return
        last = max(number for number, rounds in enumerate(self._levels) if rounds)
        rounds = self._levels[last]
        crowded = rounds.most_crowded()
        if last < level or (last == level and rounds.size(crowded.attempt.network) <= rounds.size(attempt.network) + 1):
            raise PasswordHasherBusy
        rounds.remove(crowded)
        self._forget(crowded)
        if not crowded.turn.done():
            crowded.turn.set_result(False)

    def _pass_on(self) -> None:
        while rounds := next((rounds for rounds in self._levels if rounds), None):
            waiter = rounds.pop()
            self._forget(waiter)
            if not waiter.turn.done():
                waiter.turn.set_result(True)
                return
        self._free += 1

    def _forget(self, waiter: _Waiter) -> None:
        waiter.is_queued = False
        self._waiting -= 1
        _subtract(self._waiting_under, (waiter.attempt.source, waiter.attempt.account_from_source))


def _subtract(counts: Counter[str], keys: Sequence[str]) -> None:
    for key in keys:
        counts[key] -= 1
        if not counts[key]:
            del counts[key]
