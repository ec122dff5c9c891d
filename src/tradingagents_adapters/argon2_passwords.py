"""Password hashes with argon2id (RFC 9106), made in a few threads of their own."""

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
"""Together with the two above: the least that OWASP's Password Storage Cheat Sheet accepts for argon2id."""

ARGON2_MEMORY_KIB_FOR_A_LANE: Final = 8
"""The least memory that argon2 takes (RFC 9106, 3.1)."""

WAITING_MAX: Final = 100
"""How many passwords may wait for a thread: about two seconds' work for one."""

THREADS: Final = 1
"""Passwords that are hashed at once: each takes a core and its memory from everything else."""

NICENESS: Final = 5
"""How much the threads that hash stand back behind others (`nice`, 1 to 19)."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Argon2PasswordHasher(PasswordHasher):
    """Hashes with argon2id. At most `threads` hashes are computed at once; up to `WAITING_MAX` more wait their turn.

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
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="argon2", initializer=_stand_back)
        self._under_way_max = threads + WAITING_MAX
        self._under_way = 0
        self._nobodys_hash = self._argon2.hash(secrets.token_bytes(16))
        self._parameters = argon2.extract_parameters(self._nobodys_hash)

    async def hash(self, password: str) -> str:
        return await self._in_a_thread(self._hash, password)

    async def verify(self, *, password: str, password_hash: str | None) -> bool:
        some_hash = self._nobodys_hash if password_hash is None else password_hash
        matches = await self._in_a_thread(self._verify, password, some_hash)
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

    async def _in_a_thread(self, work: Callable[..., T], *texts: str) -> T:
        if self._under_way >= self._under_way_max:
            raise PasswordHasherBusy
        self._under_way += 1
        done = asyncio.get_running_loop().run_in_executor(self._executor, work, *texts)
        # Shielded, so that what is computed for a caller who has given up counts until the thread is done with it.
        done.add_done_callback(self._note_end)
        return await asyncio.shield(done)

    def _note_end(self, done: "asyncio.Future[Any]") -> None:
        self._under_way -= 1
        if not done.cancelled():
            # Whether or not anybody still waits for it.
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
            self._do_the_rest(password, done=0)
            return False
        self._do_the_rest(password, done=_work(argon2.extract_parameters(password_hash)))
        return matches

    def _do_the_rest(self, password: str, *, done: float) -> None:
        """Do what is missing to the work of a hash that is made now.

        Otherwise an account whose hash was made with weaker parameters would answer sooner than one that does not
        exist, until its user logs in.
        """
        now = self._parameters
        share = 1 - done / _work(now)
        memory_kib = round(now.memory_cost * share)
        # Less than this argon2 does not take, and nobody notices.
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


def _stand_back() -> None:
    """Have this thread wait for others who want a core, so that logins do not hold up everybody else's requests."""
    # Only Linux counts a thread's niceness for itself; elsewhere it would be the whole process that gives way.
    if sys.platform == "linux":
        thread = threading.get_native_id()
        # A process that stands back further itself may not come forward again.
        os.setpriority(os.PRIO_PROCESS, thread, max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))


def _work(parameters: argon2.Parameters) -> float:
    """How long a hash takes with these parameters, compared with others: its lanes are computed at once."""
    cores = os.cpu_count() or 1
    return parameters.memory_cost * parameters.time_cost / min(parameters.parallelism, cores)


def _encoded(password: str) -> bytes:
    # A lone surrogate has no UTF-8 form; no password that was set holds one, so the bytes match none.
    return password.encode(errors="surrogatepass")
