"""Authentication: a user logs in and gets a token; a token identifies a caller."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self

from tradingagents_core.domain.accounts import User, is_email, normalize_password
from tradingagents_core.domain.authentication import Caller, IssuedToken
from tradingagents_core.domain.login_throttle import FailureCount, LoginAttempt
from tradingagents_core.domain.plain_types import plain_str
from tradingagents_core.errors import (
    InvalidCredentials,
    InvalidToken,
    LoginTookTooLong,
    TooManyAttempts,
    TradingAgentsError,
    explained,
)
from tradingagents_core.ports import (
    AccountStore,
    Callers,
    Clock,
    LoginFailures,
    LoginQueue,
    PasswordHasher,
    TokenService,
)

DECISION_SECONDS: Final = 4
"""How long the check of a password may take, including the wait in the queue."""

WRITE_SECONDS: Final = 0.5
"""How long a user with the right password waits for the writes of the login."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    """The result of a password check."""

    user: User | None
    """The user with this e-mail, if any."""
    is_right: bool
    """Whether the user may log in with this password."""
    new_hash: str | None = None
    """The replacement of a hash with weaker parameters than new hashes have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Give an active user a token for an e-mail and a password.

    `source` is the address of the client. A login replaces a hash with weaker parameters than new hashes have, and
    clears the failures of the account; it succeeds even if these writes fail. A login takes at most five seconds:
    `DECISION_SECONDS`, `WRITE_SECONDS`, and half a second for everything else.

    Raises:
        InvalidInput: the e-mail, the password or the source is not text.
        TooManyAttempts: too many logins have failed for this account or from this source, or too many are under way
            (`login_throttle`).
        InvalidCredentials: unknown e-mail, wrong password or inactive user; all three take the same work.
        PasswordHasherBusy: too many logins at once.
        LoginTookTooLong: the password could not be checked in time.
        StoreUnavailable: the store is unavailable or busy.
    """

    accounts: AccountStore
    failures: LoginFailures
    queue: LoginQueue
    tokens: TokenService
    passwords: PasswordHasher
    clock: Clock
    _unfinished: set["asyncio.Task[None]"] = field(default_factory=set, init=False, repr=False, compare=False)
    """Writes that go on after their logins have returned."""

    async def __call__(self, *, email: str, password: str, source: str) -> IssuedToken:
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
        await self._write_success(attempt, failures, user, checked.new_hash)
        _log.info("Login from %s: user %d", source, user.id)
        return IssuedToken(access_token=self.tokens.issue(user_id=user.id), lifetime=self.tokens.lifetime)

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

    async def _write_success(
        self, attempt: LoginAttempt, failures: Mapping[str, FailureCount], user: User, new_hash: str | None
    ) -> None:
        """Clear the account's failures and replace a weak hash. The login succeeds even if a write fails or is slow."""
        writes = []
        if any(key in failures for key in attempt.keys_of_account):
            writes.append(self._try(self.failures.clear(attempt.keys_of_account), "clear the failed logins", user))
        if new_hash is not None:
            writes.append(self._try(self._replace_hash(user, new_hash), "replace the weak password hash", user))
        if not writes:
            return
        tasks = {asyncio.create_task(each) for each in writes}
        self._unfinished.update(tasks)
        for task in tasks:
            task.add_done_callback(self._unfinished.discard)
        _, late = await asyncio.wait(tasks, timeout=WRITE_SECONDS)
        if late:
            _log.warning(
                "Login of user %d: the database takes more than %s s to write; the login does not wait longer",
                user.id,
                WRITE_SECONDS,
            )

    async def _try(self, write: Coroutine[Any, Any, None], what: str, user: User) -> None:
        try:
            await write
        except TradingAgentsError as error:
            _log.warning("Login of user %d: could not %s: %s", user.id, what, explained(error))

    async def _replace_hash(self, user: User, new_hash: str) -> None:
        async with self.accounts.write(user.id) as work:
            current = await work.users.get(user.id)
            if current.password_hash == user.password_hash:
                await work.users.replace(current.with_password_hash(new_hash, at=self.clock()))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticate:
    """Find the caller with this credential, such as the token of a login.

    Raises:
        InvalidInput: the credential is not text.
        InvalidToken: no caller may use the service with this credential.
        StoreUnavailable: the store is unavailable or busy.
    """

    callers: Callers

    async def __call__(self, *, credential: str) -> Caller:
        caller = await self.callers.find(plain_str("credential", credential))
        if caller is None:
            raise InvalidToken
        return caller


class AccountCallers(Callers):
    """Callers with an active account, who send a valid token of this service."""

    def __init__(self, *, store: AccountStore, tokens: TokenService) -> None:
        self._store = store
        self._tokens = tokens

    async def find(self, credential: str) -> Caller | None:
        try:
            claims = self._tokens.verify(credential)
        except InvalidToken:
            return None
        async with self._store.read() as view:
            user = await view.users.find(claims.user_id)
        if user is None or not user.is_active:
            return None
        return Caller(user_id=user.id, expires_at=claims.expires_at)

    async def forget(self, user_id: int) -> None:
        # `find` always reads the account.
        pass


class LoginCall(Protocol):
    """How `Login` is called."""

    async def __call__(self, *, email: str, password: str, source: str) -> IssuedToken: ...


class AuthenticateCall(Protocol):
    """How `Authenticate` is called."""

    async def __call__(self, *, credential: str) -> Caller: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticationUseCases:
    """How callers are identified. Each field can be another function with the same parameters."""

    login: LoginCall
    authenticate: AuthenticateCall

    @classmethod
    def over(
        cls,
        *,
        accounts: AccountStore,
        callers: Callers,
        failures: LoginFailures,
        login_queue: LoginQueue,
        tokens: TokenService,
        passwords: PasswordHasher,
        clock: Clock,
    ) -> Self:
        """The use cases over these adapters."""
        return cls(
            login=Login(
                accounts=accounts, failures=failures, queue=login_queue, tokens=tokens, passwords=passwords, clock=clock
            ),
            authenticate=Authenticate(callers=callers),
        )
