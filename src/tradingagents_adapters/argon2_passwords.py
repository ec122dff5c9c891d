"""Password hashes with argon2id (RFC 9106), made in a few threads of their own."""

import asyncio
import logging
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import argon2
from argon2.exceptions import Argon2Error, VerifyMismatchError

from tradingagents_core.ports import PasswordHasher

MEMORY_KIB: Final = 19_456
TIME_COST: Final = 2
PARALLELISM: Final = 1
"""Together with the two above: the floor that OWASP's Password Storage Cheat Sheet gives for argon2id."""

_log = logging.getLogger(__name__)


class Argon2PasswordHasher(PasswordHasher):
    """Hashes with argon2id. At most `threads` hashes are computed at once, the rest wait their turn.

    A hash takes `memory_kib` KiB of memory while it is computed.
    """

    def __init__(
        self,
        *,
        memory_kib: int = MEMORY_KIB,
        time_cost: int = TIME_COST,
        parallelism: int = PARALLELISM,
        threads: int = 2,
    ) -> None:
        self._argon2 = argon2.PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=parallelism)
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="argon2")
        self._nobodys_hash = self._argon2.hash(secrets.token_bytes(16))

    async def hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hash, password)

    async def verify(self, *, password: str, password_hash: str | None) -> bool:
        loop = asyncio.get_running_loop()
        some_hash = self._nobodys_hash if password_hash is None else password_hash
        matches = await loop.run_in_executor(self._threads, self._verify, password, some_hash)
        return matches and password_hash is not None

    def needs_rehash(self, password_hash: str) -> bool:
        made = argon2.extract_parameters(password_hash)
        now = argon2.extract_parameters(self._nobodys_hash)
        return (
            made.type is not now.type
            or made.version < now.version
            or made.memory_cost < now.memory_cost
            or made.time_cost < now.time_cost
            or made.salt_len < now.salt_len
            or made.hash_len < now.hash_len
        )

    def _hash(self, password: str) -> str:
        return self._argon2.hash(_encoded(password))

    def _verify(self, password: str, password_hash: str) -> bool:
        try:
            return self._argon2.verify(password_hash, _encoded(password))
        except VerifyMismatchError:
            return False
        except (Argon2Error, ValueError):
            _log.error("A stored password hash cannot be read; its user cannot log in until the password is set again")
            return False


def _encoded(password: str) -> bytes:
    # A lone surrogate has no UTF-8 form; no password that was set holds one, so the bytes match none.
    return password.encode(errors="surrogatepass")
