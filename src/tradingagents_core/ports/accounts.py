"""Where accounts are kept, and how their passwords are hashed."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime

from tradingagents_core.domain.accounts import User


class UserReader(ABC):
    """Reads users that have been committed.

    What is read equals what was stored, microseconds included. What has been read stays as it is, whatever is stored
    later.
    """

    @abstractmethod
    async def find(self, user_id: int) -> User | None:
        """The user with this id; None for any integer that is nobody's."""

    @abstractmethod
    async def find_by_email(self, email: str) -> User | None:
        """The user with this e-mail, given in the form of `normalize_email`; None where there is none."""

    @abstractmethod
    async def list(self) -> Sequence[User]:
        """All users, oldest first (by id)."""


class UserRepository(ABC):
    """The user whose row a writing block has taken; reads see the block's own changes.

    Once an error has come out of a method, nothing more may be asked of the block: the error has to leave it.
    """

    @abstractmethod
    async def get(self, user_id: int) -> User:
        """The user of the block, as of now.

        Raises:
            UserNotFound: this is another user's id.
        """

    @abstractmethod
    async def replace(self, user: User) -> None:
        """Store this state of the user in place of the one before.

        Raises:
            UserNotFound: it is another user's.
            EmailTaken: another user has this e-mail.
        """


@dataclass(frozen=True, slots=True)
class AccountView:
    """What can be read in a reading block."""

    users: UserReader


@dataclass(frozen=True, slots=True)
class AccountWork:
    """What can be read and changed in a writing block."""

    users: UserRepository


class AccountStore(ABC):
    """Keeps the users who may log in.

    Every block and every method may raise `StoreUnavailable`. A cancelled caller leaves nothing half done, locked or
    open: the block it was in has either been kept whole or not at all.
    """

    @abstractmethod
    def read(self) -> AbstractAsyncContextManager[AccountView]:
        """A block that sees what has been committed, and makes no writer wait.

        Two reads in it may be of different moments.
        """

    @abstractmethod
    def write(self, user_id: int) -> AbstractAsyncContextManager[AccountWork]:
        """A block that is one transaction: left normally everything in it is kept, with an exception nothing is.

        It takes the user's row until it ends: blocks of one user follow each other.

        Raises:
            UserNotFound: there is no such user, whatever integer it is; the block is not entered.
        """

    @abstractmethod
    async def add_user(self, *, email: str, password_hash: str, at: datetime) -> User:
        """Store a new, active user, created and updated `at`, in a transaction of its own.

        The user's id is greater than that of every earlier user, and no other user ever had it.

        Raises:
            EmailTaken: another user has this e-mail.
        """


class PasswordHasher(ABC):
    """Turns passwords into hashes that tell nothing, without holding up the event loop.

    Passwords are given in the form of `normalize_password`; every character of them counts. `hash` and `verify`
    may raise `PasswordHasherBusy`.
    """

    @abstractmethod
    async def hash(self, password: str) -> str:
        """A new salted hash: two of the same password differ."""

    @abstractmethod
    async def verify(self, *, password: str, password_hash: str | None) -> bool:
        """Whether this hash was made from this password; a hash that cannot be read was not.

        None stands for a user who does not exist: the answer is no, and takes as much work as a yes. A hash that was
        made with weaker parameters than hashes are made with now, or that cannot be read, takes as much work, too.
        """

    @abstractmethod
    def needs_rehash(self, password_hash: str) -> bool:
        """Whether a hash that `verify` has recognised was made with weaker parameters than hashes are made with now."""
