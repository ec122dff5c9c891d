"""Identification of callers, and throttling of those who guess passwords."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime, timedelta

from tradingagents_core.domain.authentication import Caller, JsonWebKey, TokenClaims
from tradingagents_core.domain.login_throttle import FailureCount, LoginAttempt


class Callers(ABC):
    """Finds callers by their credentials: tokens, or other texts that an identity provider issues."""

    @abstractmethod
    async def find(self, credential: str) -> Caller | None:
        """The caller who may use the service with this credential; None for any other text.

        Raises:
            StoreUnavailable: the caller cannot be looked up at the moment.
        """

    @abstractmethod
    async def forget(self, user_id: int) -> None:
        """Make a change of this user's account take effect now. It is called after the commit of the change.

        Callers with other users' credentials are found as before. An id of no user changes nothing.
        """


class TokenService(ABC):
    """Issues bearer tokens (RFC 6750) and verifies them."""

    @property
    @abstractmethod
    def lifetime(self) -> timedelta:
        """How long a token that is issued now is valid, in whole seconds."""

    @abstractmethod
    def issue(self, *, user_id: int, session_id: int) -> str:
        """A new token for this session of this user: ASCII, and valid from now for a limited time.

        The token and its id are different from every other token and id.
        """

    @abstractmethod
    def verify(self, token: str) -> TokenClaims:
        """The claims of a token that this service issued.

        Raises:
            InvalidToken: the text is anything but an unexpired token of this service.
        """

    def public_keys(self) -> Sequence[JsonWebKey]:
        """The public keys with which other programs verify tokens of this service; by default there are none.

        Each key has an id of its own (`kid`), its purpose (`use`, which is `sig`), its algorithm (`alg`) and its kind
        (`kty`: `RSA`, `EC` or `OKP`). A key has the public members of its kind (RFC 7518, 6; RFC 8037, 2) and no other
        members, so that a key tells nothing secret.
        """
        return ()


class LoginFailures(ABC):
    """Counts failed logins under keys, for all processes of the service together.

    The keys are those of `LoginAttempt`. Every method may raise `StoreUnavailable`.
    """

    @abstractmethod
    async def find(self, keys: Sequence[str]) -> Mapping[str, FailureCount]:
        """The counts under these keys, without keys that have no count."""

    @abstractmethod
    async def add(self, keys: Sequence[str], *, at: datetime) -> None:
        """Count one more failure `at` this time under each key. Calls at the same time all count, in any order of keys.

        A count whose last failure is more than `FORGOTTEN_AFTER` ago starts again. Counts of the same age under other
        keys are removed gradually, so that unused keys do not accumulate.
        """

    @abstractmethod
    async def clear(self, keys: Sequence[str]) -> None:
        """Remove the counts under these keys, and no others."""


class LoginQueue(ABC):
    """Decides which attempt to log in has its password checked next, in this process.

    Hashes are slow on purpose, and few are computed at once. Users who log in should not have to wait for attackers
    who guess passwords.
    """

    @abstractmethod
    def under_way(self, keys: Sequence[str]) -> Mapping[str, int]:
        """How many attempts are under way under these keys, without keys that have no attempts."""

    @abstractmethod
    def entered(self, attempt: LoginAttempt) -> AbstractContextManager[None]:
        """A block in which this attempt is under way under each of its `keys`."""

    @abstractmethod
    def turn(self, attempt: LoginAttempt, *, failures: int) -> AbstractAsyncContextManager[None]:
        """A block that is entered when it is this attempt's turn. When the block ends, the next attempt gets the turn.

        Attempts with the account and source of a `note_success` come first. The others are ordered by the recent
        failures of their source, fewest first; `failures` is the number for this attempt. Among equals, sources take
        turns, whatever the order of arrival. An attempt whose caller is cancelled leaves the queue.

        Raises:
            TooManyAttempts: `QUEUED_OF_A_SOURCE` attempts of this source wait already, or
                `QUEUED_ON_AN_ACCOUNT_FROM_ONE_SOURCE` attempts of this source on this account; raised at once.
            PasswordHasherBusy: the turn has not come within `TURN_SECONDS`, or too many other attempts wait.
        """

    @abstractmethod
    def note_success(self, attempt: LoginAttempt) -> None:
        """Remember that the password of this attempt was right. Only a limited number of recent ones is remembered."""
