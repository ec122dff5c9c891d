"""Callers who are remembered for a few seconds."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cachetools import Cache, LRUCache

from tradingagents_core.domain.authentication import Caller
from tradingagents_core.ports import Callers, Clock

REMEMBERED_MAX: Final = 10_000
"""How many credentials a process remembers at once."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    caller: Caller
    since: datetime
    until: datetime


class RememberedCallers(Callers):
    """Asks other `callers`, and remembers for `seconds` those who were found, by their credentials.

    A change counts at once in the process that calls `forget`. A change in another process counts within that time: so
    long, a user who has been deactivated there is still a caller here. Nobody is remembered longer than the credential
    is valid.
    """

    def __init__(self, callers: Callers, *, seconds: float, clock: Clock) -> None:
        self._callers = callers
        self._time = timedelta(seconds=seconds)
        self._clock = clock
        self._remembered: LRUCache[str, _Remembered] = LRUCache(REMEMBERED_MAX)
        self._changes = 0
        """How often an account has been changed."""

    async def find(self, credential: str) -> Caller | None:
        now = self._clock()
        known = self._remembered.get(credential)
        # The clock may have stepped back since.
        if known is not None and known.since <= now < known.until:
            return known.caller
        changes = self._changes
        caller = await self._callers.find(credential)
        # What was read while a change was being committed may be what was before it.
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
                # `Cache` looks only; `LRUCache` would note a use, and no longer know which were used last.
                if Cache.__getitem__(self._remembered, credential).caller.user_id == user_id:
                    del self._remembered[credential]
