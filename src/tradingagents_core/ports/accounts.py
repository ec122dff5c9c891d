"""Storage of accounts, and hashing of their passwords."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime

from tradingagents_core.domain.accounts import User
from tradingagents_core.ports.api_keys import ApiKeyReader, ApiKeyRepository
from tradingagents_core.ports.sessions import RefreshTokenRepository, SessionReader, SessionRepository


class UserReader(ABC):
    """Reads committed users.

    Users are read exactly as they were stored, microseconds included. Users and lists that were read never change,
    whatever is stored later.
    """

    @abstractmethod
    async def find(self, user_id: int) -> User | None:
        """The user with this id; None for any integer that is no user's id."""

    @abstractmethod
    async def find_by_email(self, email: str) -> User | None:
        """The user with this e-mail, given in the form of `normalize_email`; None if no user has this e-mail."""

    @abstractmethod
    async def list(self) -> Sequence[User]:
        """All users, oldest first (by id)."""


class UserRepository(ABC):
    """The user whose row a writing block has locked; reads see the block's own changes.

    Every method of this and the other repositories of the block may raise `BlockEnded` after the end of the block. An
    error other than `UserNotFound`, `SessionNotFound` and `ApiKeyNotFound` has to leave the block: a block that catches
    the error and ends normally keeps nothing, and raises `BlockFailed`.
    """

    @abstractmethod
    async def get(self, user_id: int) -> User:
        """The user of the block, in the present state.

        Raises:
            UserNotFound: this is not the id of the block's user.
        """

    @abstractmethod
    async def replace(self, user: User) -> None:
        """Store this state of the user in place of the previous state.

        Raises:
            UserNotFound: this is not the block's user.
            EmailTaken: another user has this e-mail.
        """

    @abstractmethod
    async def remove(self, user_id: int) -> None:
        """Remove the user, with all sessions and API keys. The id is never used again.

        The block may not be used for anything else afterwards.

        Raises:
            UserNotFound: this is not the id of the block's user.
        """


@dataclass(frozen=True, slots=True)
class AccountView:
    """The accounts that a reading block can read."""

    users: UserReader
    sessions: SessionReader
    api_keys: ApiKeyReader


@dataclass(frozen=True, slots=True)
class AccountWork:
    """The account that a writing block can read and change: that of one user."""

    user_id: int
    users: UserRepository
    sessions: SessionRepository
    refresh_tokens: RefreshTokenRepository
    api_keys: ApiKeyRepository


class AccountStore(ABC):
    """Stores the users of the service, their sessions and their API keys.

    Every block and every method may raise `StoreUnavailable`. A cancelled caller leaves nothing half done, locked or
    open: its block is committed either as a whole or not at all. A commit that has begun is shielded from the
    cancellation (`shielded`): the cancelled caller waits until the commit has ended.

    A store belongs to one event loop. A store with a start and an end can be used between them.

    Raises:
        NotRunning: the store is used before its start or after its end.
        WrongEventLoop: the store is used in another event loop.
    """

    @abstractmethod
    def read(self) -> AbstractAsyncContextManager[AccountView]:
        """A block that reads committed data, and makes no writer wait.

        Two reads in one block may see the data of different moments.
        """

    @abstractmethod
    def write(self, user_id: int) -> AbstractAsyncContextManager[AccountWork]:
        """A block that is one transaction: a normal end commits every change, an exception rolls every change back.

        The block locks the user's row until it ends: blocks of one user run one after another. The lock is released by
        the time that the block has ended for its caller. It may be released earlier: as soon as a method has raised an
        error other than `UserNotFound`, `SessionNotFound` and `ApiKeyNotFound`, or the caller was cancelled.

        Raises:
            UserNotFound: no user has this id, whatever integer the id is; the block is not entered.
            NestedBlock: the present task has a writing block of this store open, of any user. Other tasks may have
                blocks open.
        """

    @abstractmethod
    async def add_user(self, *, email: str, password_hash: str, at: datetime) -> User:
        """Store a new, active user, created and updated `at`, in a transaction of its own.

        The id is greater than the id of every earlier user, and no other user ever had this id.

        Raises:
            EmailTaken: another user has this e-mail.
            NestedBlock: the present task has a writing block of this store open.
        """


class PasswordHasher(ABC):
    """Hashes passwords without blocking the event loop. A hash reveals nothing about its password.

    Passwords are given in the form of `normalize_password`; every character counts. `hash` and `verify` may
    raise `PasswordHasherBusy`.
    """

    @abstractmethod
    async def hash(self, password: str) -> str:
        """A new salted hash: two hashes of the same password differ."""

    @abstractmethod
    async def verify(self, *, password: str, password_hash: str | None) -> bool:
        """Whether this hash was made from this password; False for a hash that cannot be read.

        None stands for a user who does not exist: the result is False, and takes as much work as True. A hash with
        weaker parameters than new hashes have, or a hash that cannot be read, takes as much work, too.
        """

    @abstractmethod
    def needs_rehash(self, password_hash: str) -> bool:
        """Whether a hash that `verify` has accepted has weaker parameters than new hashes have."""
