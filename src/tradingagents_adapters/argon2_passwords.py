"""Password hashes with argon2id (RFC 9106), computed in separate threads."""

import asyncio
import logging
import os
import secrets
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import argon2
from argon2.exceptions import Argon2Error, VerifyMismatchError
from argon2.low_level import hash_secret_raw

from tradingagents_core.errors import PasswordHasherBusy
from tradingagents_core.ports import PasswordHasher

MEMORY_KIB_MIN: Final = 19_456
TIME_COST_MIN: Final = 2
PARALLELISM_MIN: Final = 1
"""These three values are the minimum for argon2id in OWASP's Password Storage Cheat Sheet."""

ARGON2_MEMORY_KIB_FOR_A_LANE: Final = 8
"""The minimum memory for each lane, in KiB (RFC 9106, 3.1)."""

WAITING_MAX: Final = 100
"""How many passwords may wait for a thread. One thread needs about two seconds for all of them."""

THREADS: Final = 1
"""How many passwords are hashed at once. Each hash occupies a core and its memory."""

NICENESS: Final = 5
"""The niceness of the threads that compute hashes, 1 to 19 (see `nice`): other threads run first."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Argon2PasswordHasher(PasswordHasher):
    """Hashes with argon2id. At most `threads` hashes are computed at once; up to `WAITING_MAX` more wait.

    A hash takes `memory_kib` KiB of memory while it is computed.
    """

    def __init__(
        self,
        *,
        memory_kib: int = MEMORY_KIB_MIN,
        time_cost: int = TIME_COST_MIN,
        parallelism: int = PARALLELISM_MIN,
        threads: int = THREADS,
    ) -> None:
        self._argon2 = argon2.PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=parallelism)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="argon2", initializer=_lower_priority)
        self._under_way_max = threads + WAITING_MAX
        self._under_way = 0
        self._dummy_hash = self._argon2.hash(secrets.token_bytes(16))
        self._parameters = argon2.extract_parameters(self._dummy_hash)

    async def hash(self, password: str) -> str:
        return await self._run_in_thread(self._hash, password)

    async def verify(self, *, password: str, password_hash: str | None) -> bool:
        some_hash = self._dummy_hash if password_hash is None else password_hash
        matches = await self._run_in_thread(self._verify, password, some_hash)
        return matches and password_hash is not None

    def needs_rehash(self, password_hash: str) -> bool:
        made = argon2.extract_parameters(password_hash)
        now = self._parameters
        return (
            made.type is not now.type
            or made.version < now.version
            or made.memory_cost < now.memory_cost
            or made.time_cost < now.time_cost
            or made.salt_len < now.salt_len
            or made.hash_len < now.hash_len
        )

    async def _run_in_thread(self, work: Callable[..., T], *texts: str) -> T:
        if self._under_way >= self._under_way_max:
            raise PasswordHasherBusy
        self._under_way += 1
        done = asyncio.get_running_loop().run_in_executor(self._executor, work, *texts)
        # Shielded from cancellation: a hash counts as under way until its thread has finished.
        done.add_done_callback(self._note_end)
        return await asyncio.shield(done)

    def _note_end(self, done: "asyncio.Future[Any]") -> None:
        self._under_way -= 1
        if not done.cancelled():
            # Marks the exception as seen: asyncio would log it if the caller was cancelled.
            done.exception()

    def _hash(self, password: str) -> str:
        return self._argon2.hash(_encoded(password))

    def _verify(self, password: str, password_hash: str) -> bool:
        matches = False
        try:
            matches = self._argon2.verify(password_hash, _encoded(password))
        except VerifyMismatchError:
            pass
        except (Argon2Error, ValueError):
            _log.error("A stored password hash cannot be read; its user cannot log in until the password is set again")
            self._do_missing_work(password, done=0)
            return False
        self._do_missing_work(password, done=_work(argon2.extract_parameters(password_hash)))
        return matches

    def _do_missing_work(self, password: str, *, done: float) -> None:
        """Do the work that a new hash takes beyond a hash with weaker parameters.

        Otherwise, a login to an account with such a hash would take less time than a login to an account that does
        not exist.
        """
        now = self._parameters
        share = 1 - done / _work(now)
        memory_kib = round(now.memory_cost * share)
        # argon2 accepts no less memory, and the difference is too small to measure.
        if memory_kib < ARGON2_MEMORY_KIB_FOR_A_LANE * now.parallelism:
            return
        hash_secret_raw(
            _encoded(password),
            b"\0" * now.salt_len,
            time_cost=now.time_cost,
            memory_cost=memory_kib,
            parallelism=now.parallelism,
            hash_len=now.hash_len,
            type=now.type,
        )


def _lower_priority() -> None:
    """Lower the priority of this thread, so that logins do not slow down other requests."""
    # Only Linux has a niceness for each thread; elsewhere, the call would change the whole process.
    if sys.platform == "linux":
        thread = threading.get_native_id()
        # A process may not lower its niceness, so a higher one stays.
        os.setpriority(os.PRIO_PROCESS, thread, max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))


def _work(parameters: argon2.Parameters) -> float:
    """The relative time of a hash with these parameters. Lanes are computed in parallel."""
    cores = os.cpu_count() or 1
    return parameters.memory_cost * parameters.time_cost / min(parameters.parallelism, cores)


def _encoded(password: str) -> bytes:
    # A lone surrogate has no UTF-8 form. No stored password contains one, so these bytes match none of them.
    return password.encode(errors="surrogatepass")
