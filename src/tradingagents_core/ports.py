"""What the rules ask of the outside world. Each docstring is the contract that every adapter keeps."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime, timedelta
from typing import TypeAlias

from tradingagents_core.domain.login_throttle import FailureCount, LoginAttempt
from tradingagents_core.domain.page import Page
from tradingagents_core.domain.strategy import Strategy, StrategyContent
from tradingagents_core.domain.token import TokenClaims
from tradingagents_core.domain.user import User

Clock: TypeAlias = Callable[[], datetime]
"""Tells the time now, aware and in UTC."""


class StoreView(ABC):
    """What can be read in a block of a store.

    What is read equals what was stored, microseconds and key order included. What has been read stays as it is,
    whatever is stored later.
    """

    @abstractmethod
    async def find_user(self, user_id: int) -> User | None:
        """The user with this id; None for any integer that is nobody's."""

    @abstractmethod
    async def find_user_by_email(self, email: str) -> User | None:
        """The user with this e-mail, given in the form of `normalize_email`; None where there is none."""

    @abstractmethod
    async def list_users(self) -> Sequence[User]:
        """All users, oldest first (by id)."""

    @abstractmethod
    async def get_strategy(self, *, owner_id: int, strategy_id: int) -> Strategy:
        """One strategy of this owner.

        Raises:
            StrategyNotFound: the owner has none with this id, whatever integer it is and whoever else may have it.
        """

    @abstractmethod
    async def list_strategies(self, *, owner_id: int, skip: int, limit: int, active_only: bool) -> Page[Strategy]:
        """A page of this owner's strategies, oldest first (by id), at most `limit` of them after the first `skip`.

        `active_only` leaves inactive ones out. `total` counts what the list holds without paging, as of the same moment
        as the items. Nobody else's strategies are in it or counted. An unknown owner has an empty list.
        """


class StoreWork(StoreView):
    """What can be read and changed in a writing block; its reads see its own changes.

    The caller's part: take a user's row (`lock_user`) before a change to that user or to that owner's strategies; and
    once an error has come out of a method, ask nothing more of the block, but let the error leave it.
    """

    @abstractmethod
    async def lock_user(self, user_id: int) -> None:
        """Take this user's row until the block ends; other blocks that take the same row wait for this.

        Raises:
            UserNotFound: there is no such user.
        """

    @abstractmethod
    async def add_user(self, *, email: str, password_hash: str, at: datetime) -> User:
        """Store a new, active user, created and updated `at`, under an id that nobody ever had.

        Raises:
            EmailTaken: another user has this e-mail.
        """

    @abstractmethod
    async def replace_user(self, user: User) -> None:
        """Store this state of a user in place of the one with the same id.

        Raises:
            UserNotFound: there is no user with this id; none is created.
            EmailTaken: another user has this e-mail.
        """

    @abstractmethod
    async def add_strategy(self, *, owner_id: int, content: StrategyContent, at: datetime) -> Strategy:
        """Store a new strategy of this owner, created and updated `at`, under an id that none ever had.

        Raises:
            UserNotFound: the owner does not exist.
            StrategyNameTaken: the owner has a strategy of exactly this name; another owner's does not matter.
        """

    @abstractmethod
    async def replace_strategy(self, strategy: Strategy) -> None:
        """Store this state of a strategy in place of the one with the same id and owner.

        Raises:
            StrategyNotFound: this owner has none with this id; none is created.
            StrategyNameTaken: the owner has another strategy of exactly this name.
        """

    @abstractmethod
    async def remove_strategy(self, *, owner_id: int, strategy_id: int) -> None:
        """Remove one of this owner's strategies; its name is free again, its id is not.

        Raises:
            StrategyNotFound: this owner has none with this id.
        """


class Store(ABC):
    """Keeps users and strategies.

    Every block and every method in it may raise `StoreUnavailable`. A cancelled caller leaves nothing half done, locked
    or open: the block it was in has either been kept whole or not at all.
    """

    @abstractmethod
    def read(self) -> AbstractAsyncContextManager[StoreView]:
        """A block that sees what has been committed, and makes no writer wait.

        Two reads in it may be of different moments.
        """

    @abstractmethod
    def write(self) -> AbstractAsyncContextManager[StoreWork]:
        """A block that is one transaction: left normally everything in it is kept, with an exception nothing is."""


class LoginFailures(ABC):
    """Counts failed logins under keys, for all processes of the service alike.

    Keys are those of `LoginAttempt`. Every method may raise `StoreUnavailable`.
    """

    @abstractmethod
    async def find(self, keys: Sequence[str]) -> Mapping[str, FailureCount]:
        """The counts under those of the keys that have one."""

    @abstractmethod
    async def add(self, keys: Sequence[str], *, at: datetime) -> None:
        """Count one more failure `at` this time under each key; two at once are counted as two, in any order of keys.

        A count whose last failure is more than `FORGOTTEN_AFTER` ago starts anew. Counts under other keys that are as
        old are removed by and by, so that keys that are never used again do not pile up.
        """

    @abstractmethod
    async def clear(self, keys: Sequence[str]) -> None:
        """Forget the counts under these keys, and no others."""


class LoginQueue(ABC):
    """Says which attempt to log in may have its password checked next, in this process.

    Hashes are slow on purpose, and few are computed at once; whoever waits for one should not have to wait for
    everybody who guesses.
    """

    @abstractmethod
    def under_way(self, keys: Sequence[str]) -> Mapping[str, int]:
        """How many attempts are under way under those of the keys that have any."""

    @abstractmethod
    def entered(self, attempt: LoginAttempt) -> AbstractContextManager[None]:
        """A block in which this attempt is under way under each of its `keys`."""

    @abstractmethod
    def turn(self, attempt: LoginAttempt, *, failures: int) -> AbstractAsyncContextManager[None]:
        """A block that is entered when it is this attempt's turn, and that passes the turn on when it ends.

        Attempts whose account and source are those of a `note_success` come first. Of the others, sources with fewer
        recent failures come first; `failures` is how many the attempt's source has. Among equals turns go round by
        source, not by arrival. An attempt whose caller is cancelled leaves the queue.

        Raises:
            TooManyAttempts: of this source `QUEUED_OF_A_SOURCE` attempts wait already, or
                `QUEUED_ON_AN_ACCOUNT_FROM_ONE_SOURCE` of this source on this account; it is raised at once.
            PasswordHasherBusy: the turn has not come within `TURN_SECONDS`, or too many others wait.
        """

    @abstractmethod
    def note_success(self, attempt: LoginAttempt) -> None:
        """Remember that this attempt's password was right, among a limited number of the most recent ones."""


class TokenService(ABC):
    """Issues bearer tokens (RFC 6750) and recognises its own."""

    @property
    @abstractmethod
    def lifetime(self) -> timedelta:
        """How long a token that is issued now is valid, in whole seconds."""

    @abstractmethod
    def issue(self, *, user_id: int) -> str:
        """A new token for this user: ASCII, different from every other, valid from now on and for a limited time.

        Its id, too, is different from every other.
        """

    @abstractmethod
    def verify(self, token: str) -> TokenClaims:
        """What was vouched for when this token was issued.

        Raises:
            InvalidToken: the text is anything but an unexpired token of this service.
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
