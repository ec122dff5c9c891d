"""Who is calling, and how guessing passwords is slowed down."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime, timedelta

from tradingagents_core.domain.authentication import Caller, TokenClaims
from tradingagents_core.domain.login_throttle import FailureCount, LoginAttempt


class Callers(ABC):
    """Knows who sends a credential: a token, or whatever else an identity provider hands out."""

    @abstractmethod
    async def find(self, credential: str) -> Caller | None:
        """The caller who may use the service with this credential; None for any other text.

        Raises:
            StoreUnavailable: who it is cannot be found out at the moment.
        """

    @abstractmethod
    async def forget(self, user_id: int) -> None:
        """Have a change of this user's account count from now on: whoever changes one calls this after the commit.

        Credentials of other users are found as before. An id that is nobody's changes nothing.
        """


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
