"""Accounts in memory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import count
from typing import Self

from tradingagents_core.domain.accounts import User
from tradingagents_core.domain.plain_types import utc_time
from tradingagents_core.errors import BlockEnded, BlockFailed, EmailTaken, UserNotFound
from tradingagents_core.ports import (
    AccountStore,
    AccountView,
    AccountWork,
    Blocks,
    Lifetime,
    UserReader,
    UserRepository,
)


class _Users:
    """The committed users."""

    def __init__(self) -> None:
        self.by_id: dict[int, User] = {}
        self.by_email: dict[str, User] = {}

    def put(self, user: User) -> None:
        """Store this state of a user."""
        before = self.by_id.get(user.id)
        if before is not None:
            del self.by_email[before.email]
        self.by_id[user.id] = self.by_email[user.email] = user

    def check_email(self, user_id: int, email: str) -> None:
        """Refuse an e-mail that another user has."""
        other = self.by_email.get(email)
        if other is not None and other.id != user_id:
            raise EmailTaken(email)


class _MemoryReader(UserReader):
    def __init__(self, users: _Users) -> None:
        self._users = users

    async def find(self, user_id: int) -> User | None:
        return self._users.by_id.get(user_id)

    async def find_by_email(self, email: str) -> User | None:
        return self._users.by_email.get(email)

    async def list(self) -> Sequence[User]:
        return list(self._users.by_id.values())


class _MemoryRepository(UserRepository):
    """The user of a block. The committed user does not change before the end of the block."""

    def __init__(self, users: _Users, user: User) -> None:
        self._users = users
        self._user = user
        self._has_failed = False
        self._has_ended = False

    async def get(self, user_id: int) -> User:
        if self._has_ended:
            raise BlockEnded
        if user_id != self._user.id:
            raise UserNotFound(user_id)
        return self._user

    async def replace(self, user: User) -> None:
        await self.get(user.id)
        try:
            self._users.check_email(user.id, user.email)
        except EmailTaken:
            self._has_failed = True
            raise
        self._user = user

    def end(self) -> None:
        """Refuse every further use."""
        self._has_ended = True

    def commit(self) -> None:
        """Store the user's state.

        Raises:
            BlockFailed: a change was refused, and the block has caught the error.
        """
        if self._has_failed:
            raise BlockFailed
        self._users.put(self._user)


class MemoryAccountStore(AccountStore):
    """Stores accounts in memory, for one event loop. Changes run one at a time.

    The first use starts the store. A block `async with store:` is not needed, but ends the store. Stores that share
    `blocks` refuse nested blocks like stores over one database.
    """

    def __init__(self, *, blocks: Blocks | None = None) -> None:
        self._lifetime = Lifetime(starts_by_itself=True)
        self._blocks = blocks or Blocks()
        self._users = _Users()
        self._ids = count(1)
        self._writing = asyncio.Lock()
        self._view = AccountView(_MemoryReader(self._users))

    async def __aenter__(self) -> Self:
        self._lifetime.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._lifetime.end()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AccountView]:
        self._lifetime.check()
        yield self._view

    @asynccontextmanager
    async def write(self, user_id: int) -> AsyncIterator[AccountWork]:
        async with self._one_writer():
            user = self._users.by_id.get(user_id)
            if user is None:
                raise UserNotFound(user_id)
            repository = _MemoryRepository(self._users, user)
            try:
                yield AccountWork(repository)
            finally:
                repository.end()
            repository.commit()

    async def add_user(self, *, email: str, password_hash: str, at: datetime) -> User:
        at = utc_time("at", at)
        async with self._one_writer():
            user_id = next(self._ids)
            self._users.check_email(user_id, email)
            user = User(id=user_id, email=email, password_hash=password_hash, created_at=at, updated_at=at)
            self._users.put(user)
        return user

    @asynccontextmanager
    async def _one_writer(self) -> AsyncIterator[None]:
        self._lifetime.check()
        with self._blocks.entered():
            async with self._writing:
                yield
