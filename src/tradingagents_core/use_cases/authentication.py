"""Who is calling: e-mail and password become a token, a token becomes a caller."""

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
"""How long it may take until a password is found to be right or wrong, the wait for the turn included."""

WRITE_SECONDS: Final = 0.5
"""How long somebody whose password is right waits for what the login has to write."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    """What came of checking a password."""

    user: User | None
    """The user with this e-mail, if there is one."""
    is_right: bool
    """Whether the user may log in with this password."""
    new_hash: str | None = None
    """What is to replace a hash that was made with weaker parameters than today's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Give an active user a token for e-mail and password.

    `source` is the address that the try comes from. A hash that was made with weaker parameters than today's is
    replaced on the way, and the failures of the account are forgotten; a user with the right password is let in also
    where neither can be written. The answer comes within five seconds, `DECISION_SECONDS` and `WRITE_SECONDS` and what
    the machine needs besides.

    Raises:
        TooManyAttempts: too many logins have failed for this account or from this source, or too many are under way
            (`login_throttle`).
        InvalidCredentials: unknown e-mail, wrong password or inactive user; all three take the same work.
        PasswordHasherBusy: too many logins at once.
        LoginTookTooLong: the password could not be checked in time.
        StoreUnavailable: the store is away or busy.
    """

    accounts: AccountStore
    failures: LoginFailures
    queue: LoginQueue
    tokens: TokenService
    passwords: PasswordHasher
    clock: Clock
    _unfinished: set["asyncio.Task[None]"] = field(default_factory=set, init=False, repr=False, compare=False)
    """What logins have left to be written after their answer."""

    async def __call__(self, *, email: str, password: str, source: str) -> IssuedToken:
        email = email.lower()
        password = normalize_password(password)
        attempt = LoginAttempt.of(email=email, source=source)
        deadline = asyncio.get_running_loop().time() + DECISION_SECONDS
        async with _until(deadline):
            failures = await self._find_failures(attempt)
        # Nothing is awaited from here until the attempt is entered, so that no two of them overlook each other.
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
        await self._write_what_follows(attempt, failures, user, checked.new_hash)
        _log.info("Login from %s: user %d", source, user.id)
        return IssuedToken(access_token=self.tokens.issue(user_id=user.id), lifetime=self.tokens.lifetime)

    async def _find_failures(self, attempt: LoginAttempt) -> Mapping[str, FailureCount]:
        failures = await self.failures.find(attempt.keys)
        now = self.clock()
        ahead = [key for key, count in failures.items() if count.is_from_another_clock(now=now)]
        if not ahead:
            return failures
        # The wait begins now, with one failure more; by the old time it would last until the clock comes to it again.
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
        """Check the password when the turn has come, with the failures and the user as they are then."""
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
            # Hashing takes its time; what has been changed meanwhile counts.
            current = await self._find_user(email)
            if current is not None and current.id == user.id and current.password_hash == user.password_hash:
                return _Checked(user=current, is_right=current.is_active, new_hash=new_hash)
            # Another password, or another hash of this one.
            user = current

    async def _find_user(self, email: str) -> User | None:
        if not is_email(email):
            return None
        async with self.accounts.read() as view:
            return await view.users.find_by_email(email)

    async def _write_what_follows(
        self, attempt: LoginAttempt, failures: Mapping[str, FailureCount], user: User, new_hash: str | None
    ) -> None:
        """Forget the account's failures and renew its hash; neither keeps its user out, nor waiting for long."""
        writes = []
        if any(key in failures for key in attempt.keys_of_account):
            writes.append(self._try(self.failures.clear(attempt.keys_of_account), "the failed logins", user))
        if new_hash is not None:
            writes.append(self._try(self._replace_hash(user, new_hash), "the renewed password hash", user))
        if not writes:
            return
        tasks = {asyncio.create_task(each) for each in writes}
        self._unfinished.update(tasks)
        for task in tasks:
            task.add_done_callback(self._unfinished.discard)
        _, late = await asyncio.wait(tasks, timeout=WRITE_SECONDS)
        if late:
            _log.warning("Login of user %d: the database is slow; the user is let in meanwhile", user.id)

    async def _try(self, write: Coroutine[Any, Any, None], what: str, user: User) -> None:
        try:
            await write
        except TradingAgentsError as error:
            _log.warning("Login of user %d: could not write %s: %s", user.id, what, explained(error))

    async def _replace_hash(self, user: User, new_hash: str) -> None:
        async with self.accounts.write(user.id) as work:
            current = await work.users.get(user.id)
            if current.password_hash == user.password_hash:
                await work.users.replace(current.with_password_hash(new_hash, at=self.clock()))


@asynccontextmanager
async def _until(deadline: float) -> AsyncIterator[None]:
    """End the block when the loop's clock has come to the deadline.

    Raises:
        LoginTookTooLong: it has.
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
    """Find the caller who sends a credential, such as the token of a login.

    Raises:
        InvalidToken: nobody may use the service with this credential.
        StoreUnavailable: the store is away or busy.
    """

    callers: Callers

    async def __call__(self, *, credential: str) -> Caller:
        caller = await self.callers.find(credential)
        if caller is None:
            raise InvalidToken
        return caller


class AccountCallers(Callers):
    """Callers who have an active account here, and send a token that was issued to them."""

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
        # Each search looks at the account as it is.
        pass


class LoginCall(Protocol):
    """How `Login` is called."""

    async def __call__(self, *, email: str, password: str, source: str) -> IssuedToken: ...


class AuthenticateCall(Protocol):
    """How `Authenticate` is called."""

    async def __call__(self, *, credential: str) -> Caller: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticationUseCases:
    """How callers become known. Any field can be another function that is called alike."""

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
