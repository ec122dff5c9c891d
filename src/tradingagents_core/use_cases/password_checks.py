"""The check of a password, with the throttle of those who guess passwords. Used by the use cases that ask for one."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from tradingagents_core.domain.accounts import User, is_email, normalize_password
from tradingagents_core.domain.login_throttle import FailureCount, LoginAttempt
from tradingagents_core.domain.plain_types import plain_str
from tradingagents_core.errors import (
    InvalidCredentials,
    LoginTookTooLong,
    TooManyAttempts,
    TradingAgentsError,
    explained,
)
from tradingagents_core.ports import AccountStore, Clock, LoginFailures, LoginQueue, PasswordHasher

DECISION_SECONDS: Final = 4
"""How long the check of a password may take, including the wait in the queue."""

WRITE_SECONDS: Final = 0.5
"""How long a user with the right password waits until the failures are cleared."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedPassword:
    """The result of a check that has succeeded."""

    user: User
    new_hash: str | None
    """The replacement of a hash with weaker parameters than new hashes have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    user: User | None
    is_right: bool
    new_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordChecks:
    """Checks passwords. A wrong password is counted, a right one clears the failures of the account.

    A check takes at most `DECISION_SECONDS` and `WRITE_SECONDS`. It succeeds even if the failures cannot be cleared.

    Raises:
        InvalidInput: the e-mail, the password or the source is not text.
        TooManyAttempts: too many checks have failed for this account or from this source, or too many are under way
            (`login_throttle`).
        InvalidCredentials: unknown e-mail, wrong password or inactive user; all three take the same work.
        PasswordHasherBusy: too many checks at once.
        LoginTookTooLong: the password could not be checked in time.
        StoreUnavailable: the store is unavailable or busy.
    """

    accounts: AccountStore
    failures: LoginFailures
    queue: LoginQueue
    passwords: PasswordHasher
    clock: Clock
    _unfinished: set["asyncio.Task[None]"] = field(default_factory=set, init=False, repr=False, compare=False)
    """Writes that go on after their checks have returned."""

    async def __call__(self, *, email: str, password: str, source: str) -> CheckedPassword:
        email = plain_str("email", email).lower()
        password = normalize_password(password)
        attempt = LoginAttempt.of(email=email, source=source)
        deadline = asyncio.get_running_loop().time() + DECISION_SECONDS
        async with _until(deadline):
            failures = await self._find_failures(attempt)
        # No `await` between this check and `entered`, so that attempts at the same time count each other.
        self._check_wait(attempt, failures, self.queue.under_way(attempt.keys), source)
        with self.queue.entered(attempt):
            async with _until(deadline):
                checked = await self._take_turn(attempt, failures, email, password, source)
            user = checked.user
            if user is None or not checked.is_right:
                await self.failures.add(attempt.keys, at=self.clock())
                _log.warning("Login from %s: refused for %s", source, f"user {user.id}" if user else "an unknown user")
                raise InvalidCredentials
        self.queue.note_success(attempt)
        if any(key in failures for key in attempt.keys_of_account):
            await self._clear_failures(attempt, user)
        return CheckedPassword(user=user, new_hash=checked.new_hash)

    async def _find_failures(self, attempt: LoginAttempt) -> Mapping[str, FailureCount]:
        failures = await self.failures.find(attempt.keys)
        now = self.clock()
        ahead = [key for key, count in failures.items() if count.is_from_another_clock(now=now)]
        if not ahead:
            return failures
        # One more failure gives the count the present time. With the old time, the wait would last until that time.
        await self.failures.add(ahead, at=now)
        return await self.failures.find(attempt.keys)

    def _check_wait(
        self, attempt: LoginAttempt, failures: Mapping[str, FailureCount], under_way: Mapping[str, int], source: str
    ) -> None:
        if wait := attempt.wait(failures, now=self.clock(), under_way=under_way):
            _log.warning("Login from %s: too many failures, or too many attempts at once", source)
            raise TooManyAttempts(retry_after=math.ceil(wait.total_seconds()))

    async def _take_turn(
        self, attempt: LoginAttempt, failures: Mapping[str, FailureCount], email: str, password: str, source: str
    ) -> _Checked:
        """Wait for the turn, then check the password against the present failures and the present user."""
        async with self.queue.turn(attempt, failures=attempt.failures_of_source(failures, now=self.clock())):
            self._check_wait(attempt, await self._find_failures(attempt), {}, source)
            return await self._check_password(email, password)

    async def _check_password(self, email: str, password: str) -> _Checked:
        user = await self._find_user(email)
        while True:
            matches = await self.passwords.verify(password=password, password_hash=user.password_hash if user else None)
            if user is None or not matches or not user.is_active:
                return _Checked(user=user, is_right=False)
            is_weak = self.passwords.needs_rehash(user.password_hash)
            new_hash = await self.passwords.hash(password) if is_weak else None
            # Hashing is slow: the user may have changed meanwhile, and the present state counts.
            current = await self._find_user(email)
            if current is not None and current.id == user.id and current.password_hash == user.password_hash:
                return _Checked(user=current, is_right=current.is_active, new_hash=new_hash)
            # The password or its hash has changed: check again.
            user = current

    async def _find_user(self, email: str) -> User | None:
        if not is_email(email):
            return None
        async with self.accounts.read() as view:
            return await view.users.find_by_email(email)

    async def _clear_failures(self, attempt: LoginAttempt, user: User) -> None:
        task = asyncio.create_task(self._try_to_clear(attempt, user))
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        _, late = await asyncio.wait({task}, timeout=WRITE_SECONDS)
        if late:
            _log.warning(
                "Login of user %d: the database takes more than %s s to write; the login does not wait longer",
                user.id,
                WRITE_SECONDS,
            )

    async def _try_to_clear(self, attempt: LoginAttempt, user: User) -> None:
        try:
            await self.failures.clear(attempt.keys_of_account)
        except TradingAgentsError as error:
            _log.warning("Login of user %d: could not clear the failed logins: %s", user.id, explained(error))


@asynccontextmanager
async def _until(deadline: float) -> AsyncIterator[None]:
    """A block that is cancelled at the deadline, a time of the event loop.

    Raises:
        LoginTookTooLong: the deadline has passed.
    """
    limit = asyncio.timeout_at(deadline)
    try:
        async with limit:
            yield
    except TimeoutError:
        if limit.expired():
            raise LoginTookTooLong from None
        raise
