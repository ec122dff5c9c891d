"""A cache of callers for a few seconds."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cachetools import Cache, LRUCache

from tradingagents_core.domain.authentication import Caller
from tradingagents_core.ports import Callers, Clock

REMEMBERED_MAX: Final = 10_000
"""How many credentials a process caches at once."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    caller: Caller
    since: datetime
    until: datetime


class RememberedCallers(Callers):
    """Finds callers in other `callers`, and caches them by their credentials for `seconds`.

    A change takes effect at once in the process that calls `forget`. In other processes, it takes effect when the cache
    entry expires; until then, a deactivated user is still a caller there. No entry outlives the validity of its
    credential.
    """

    def __init__(self, callers: Callers, *, seconds: float, clock: Clock) -> None:
        self._callers = callers
        self._time = timedelta(seconds=seconds)
        self._clock = clock
        self._remembered: LRUCache[str, _Remembered] = LRUCache(REMEMBERED_MAX)
        self._changes = 0
        """How many changes of accounts `forget` was called for."""

    async def find(self, credential: str) -> Caller | None:
        now = self._clock()
        known = self._remembered.get(credential)
        # The clock may have been set back since.
        if known is not None and known.since <= now < known.until:
            return known.caller
        changes = self._changes
        caller = await self._callers.find(credential)
        # A caller that was read during a change may be outdated.
        if caller is not None and self._time and changes == self._changes:
            until = now + self._time
            if caller.expires_at is not None:
                until = min(until, caller.expires_at)
            self._remembered[credential] = _Remembered(caller, now, until)
        return caller

    async def forget(self, user_id: int) -> None:
        try:
            await self._callers.forget(user_id)
        finally:
            self._changes += 1
            for credential in list(self._remembered):
                # `Cache` only reads; `LRUCache` would count a use, and lose the order of recent uses.
                if Cache.__getitem__(self._remembered, credential).caller.user_id == user_id:
                    del self._remembered[credential]
