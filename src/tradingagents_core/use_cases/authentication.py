"""Who is calling: e-mail and password become a token, a token becomes a user."""

import logging
import math
from dataclasses import dataclass

from tradingagents_core.domain.login_throttle import LoginAttempt
from tradingagents_core.domain.password import normalize_password
from tradingagents_core.domain.user import User, is_email
from tradingagents_core.errors import InvalidCredentials, InvalidToken, TooManyAttempts
from tradingagents_core.ports import Clock, LoginFailures, PasswordHasher, Store, TokenService

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Give an active user a token for e-mail and password.

    `source` is the address that the try comes from. A hash that was made with weaker parameters than today's is
    replaced on the way.

    Raises:
        TooManyAttempts: too many logins have failed for this account or from this source (`login_throttle`).
        InvalidCredentials: unknown e-mail, wrong password or inactive user; all three take the same work.
        PasswordHasherBusy: too many logins at once.
        StoreUnavailable: the store is away or busy.
    """

    store: Store
    failures: LoginFailures
    tokens: TokenService
    passwords: PasswordHasher
    clock: Clock

    async def __call__(self, *, email: str, password: str, source: str) -> str:
        email = email.lower()
        password = normalize_password(password)
        attempt = LoginAttempt.of(email=email, source=source)
        failures = await self.failures.find(attempt.keys)
        if wait := attempt.wait(failures, now=self.clock()):
            _log.warning("Login from %s: too many failures", source)
            raise TooManyAttempts(retry_after=math.ceil(wait.total_seconds()))
        async with self.store.read() as view:
            user = await view.find_user_by_email(email) if is_email(email) else None
        matches = await self.passwords.verify(password=password, password_hash=user.password_hash if user else None)
        if user is None or not matches or not user.is_active:
            await self.failures.add(attempt.keys, at=self.clock())
            _log.warning("Login from %s: refused for %s", source, f"user {user.id}" if user else "an unknown user")
            raise InvalidCredentials
        if failures:
            await self.failures.clear(attempt.keys)
        if self.passwords.needs_rehash(user.password_hash):
            await self._rehash(user, password)
        _log.info("Login from %s: user %d", source, user.id)
        return self.tokens.issue(user_id=user.id)

    async def _rehash(self, user: User, password: str) -> None:
        password_hash = await self.passwords.hash(password)
        async with self.store.write() as work:
            await work.lock_user(user.id)
            current = await work.find_user(user.id)
            if current is not None and current.password_hash == user.password_hash:
                await work.replace_user(current.with_password_hash(password_hash, at=self.clock()))


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifyUser:
    """Find the active user whom a token was issued to.

    Raises:
        InvalidToken: the token is not valid, or its user is inactive or gone.
        StoreUnavailable: the store is away or busy.
    """

    store: Store
    tokens: TokenService

    async def __call__(self, *, token: str) -> User:
        claims = self.tokens.verify(token)
        async with self.store.read() as view:
            user = await view.find_user(claims.user_id)
        if user is None or not user.is_active:
            raise InvalidToken
        return user
