"""Authentication: a user logs in and gets tokens; a credential identifies a caller."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol, Self

from tradingagents_core.domain.authentication import Caller, IssuedToken, JsonWebKey
from tradingagents_core.domain.plain_types import instance_of, plain_bool, plain_str
from tradingagents_core.domain.secrets import hash_of, new_secret
from tradingagents_core.domain.sessions import REFRESH_TOKEN_PREFIX, RefreshToken, Session
from tradingagents_core.errors import (
    InvalidCredentials,
    InvalidRefreshToken,
    InvalidToken,
    SessionNotFound,
    UserNotFound,
)
from tradingagents_core.ports import AccountStore, AccountWork, Callers, Clock, TokenService
from tradingagents_core.use_cases.password_checks import CheckedPassword, PasswordChecks

REFRESH_LIFETIME: Final = timedelta(days=30)
REFRESH_REUSE: Final = timedelta(seconds=10)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshOptions:
    """How long refresh tokens are valid."""

    lifetime: timedelta = REFRESH_LIFETIME
    """How long a session goes on after its last refresh."""
    reuse: timedelta = REFRESH_REUSE
    """How long after its first use a token is still answered, for clients that lose the answer or ask twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Open a session for an active user with this e-mail and password, and give the user its tokens.

    `source` is the address of the client. With `offline_access` there is a refresh token, too (OpenID Connect Core 1.0,
    11). A login replaces a hash with weaker parameters than new hashes have.

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
    checks: PasswordChecks
    tokens: TokenService
    clock: Clock
    refresh: RefreshOptions

    async def __call__(self, *, email: str, password: str, source: str, offline_access: bool = False) -> IssuedToken:
        plain_bool("offline_access", offline_access)
        issued = None
        while issued is None:
            checked = await self.checks(email=email, password=password, source=source)
            issued = await self._open_session(checked, offline_access=offline_access)
        _log.info("Login from %s: user %d", source, checked.user.id)
        return issued

    async def _open_session(self, checked: CheckedPassword, *, offline_access: bool) -> IssuedToken | None:
        """The tokens; None where the hash has changed since the check: the password has to be checked again.

        A changed hash is not always another password: another login may have replaced a weak hash.
        """
        try:
            async with self.accounts.write(checked.user.id) as work:
                user = await work.users.get(checked.user.id)
                if not user.is_active:
                    raise InvalidCredentials
                if user.password_hash != checked.user.password_hash:
                    return None
                now = self.clock()
                if checked.new_hash is not None:
                    await work.users.replace(user.with_password_hash(checked.new_hash, at=now))
                await work.sessions.remove_expired(now=now)
                lifetime = _session_lifetime(self.tokens, self.refresh) if offline_access else self.tokens.lifetime
                session = await work.sessions.add(at=now, expires_at=now + lifetime)
                refresh_token = None
                if offline_access:
                    refresh_token = await _new_refresh_token(work, session, until=now + self.refresh.lifetime)
        except UserNotFound:
            raise InvalidCredentials from None
        return IssuedToken(
            access_token=self.tokens.issue(user_id=user.id, session_id=session.id),
            lifetime=self.tokens.lifetime,
            refresh_token=refresh_token,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """Give a user new tokens for a refresh token, and retire the refresh token (RFC 6749, 6; RFC 9700, 4.14).

    A client may lose the answer, or ask twice at once: for a short time after its first use, a token is answered again,
    and all tokens that were answered are valid. A later use ends the session, because somebody else has the token.

    Raises:
        InvalidInput: the refresh token is not text.
        InvalidRefreshToken: the token is unknown, expired or retired, or its session or user may not go on.
        StoreUnavailable: the store is unavailable or busy; the tokens may or may not have been stored.
    """

    accounts: AccountStore
    callers: Callers
    tokens: TokenService
    clock: Clock
    refresh: RefreshOptions

    async def __call__(self, *, refresh_token: str) -> IssuedToken:
        token_hash = hash_of(plain_str("refresh_token", refresh_token))
        async with self.accounts.read() as view:
            session = await view.sessions.find_by_refresh_token(token_hash)
        if session is None:
            raise InvalidRefreshToken
        try:
            async with self.accounts.write(session.user_id) as work:
                issued = await self._refreshed(work, token_hash)
        except UserNotFound:
            raise InvalidRefreshToken from None
        if issued is None:
            await self.callers.forget(session.user_id)
            raise InvalidRefreshToken
        return issued

    async def _refreshed(self, work: AccountWork, token_hash: str) -> IssuedToken | None:
        """The new tokens; None where the session was ended because a retired token was used."""
        now = self.clock()
        token = await work.refresh_tokens.find(token_hash)
        user = await work.users.get(work.user_id)
        if token is None or token.expires_at <= now or not user.is_active:
            raise InvalidRefreshToken
        if token.is_reused(now=now, allowed_for=self.refresh.reuse):
            _log.warning("Session %d of user %d ended: a retired refresh token was used", token.session_id, user.id)
            await work.sessions.remove(token.session_id)
            return None
        await work.refresh_tokens.put(token.used(at=now))
        session = await work.sessions.get(token.session_id)
        session = session.prolonged(at=now, until=now + _session_lifetime(self.tokens, self.refresh))
        await work.sessions.replace(session)
        await work.sessions.remove_expired(now=now)
        return IssuedToken(
            access_token=self.tokens.issue(user_id=user.id, session_id=session.id),
            lifetime=self.tokens.lifetime,
            refresh_token=await _new_refresh_token(work, session, until=now + self.refresh.lifetime),
        )


def _session_lifetime(tokens: TokenService, refresh: RefreshOptions) -> timedelta:
    """How long a session with a refresh token goes on: until the access token and the refresh token have expired."""
    return max(tokens.lifetime, refresh.lifetime)


async def _new_refresh_token(work: AccountWork, session: Session, *, until: datetime) -> str:
    text = new_secret(REFRESH_TOKEN_PREFIX)
    await work.refresh_tokens.put(RefreshToken(token_hash=hash_of(text), session_id=session.id, expires_at=until))
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticate:
    """Find the caller with this credential: the token of a login, or an API key.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPublicKeys:
    """List the public keys with which other programs verify tokens; none if only this service can verify them."""

    tokens: TokenService

    async def __call__(self) -> Sequence[JsonWebKey]:
        return self.tokens.public_keys()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOut:
    """End the session of the caller, or with `everywhere` all sessions of the caller's user.

    Raises:
        InvalidInput: the caller is not a `Caller`.
        NotForApiKeys: the caller has an API key.
        StoreUnavailable: the store is unavailable or busy; the sessions may or may not have ended.
    """

    accounts: AccountStore
    callers: Callers

    async def __call__(self, *, caller: Caller, everywhere: bool = False) -> None:
        instance_of(Caller, "caller", caller).check_is_no_api_key()
        plain_bool("everywhere", everywhere)
        try:
            async with self.accounts.write(caller.user_id) as work:
                if everywhere:
                    await work.sessions.remove_all()
                elif caller.session_id is not None:
                    await work.sessions.remove(caller.session_id)
        except (UserNotFound, SessionNotFound):
            # Another process has ended the session meanwhile.
            pass
        finally:
            await self.callers.forget(caller.user_id)


class LoginCall(Protocol):
    """How `Login` is called."""

    async def __call__(
        self, *, email: str, password: str, source: str, offline_access: bool = False
    ) -> IssuedToken: ...


class RefreshCall(Protocol):
    """How `Refresh` is called."""

    async def __call__(self, *, refresh_token: str) -> IssuedToken: ...


class AuthenticateCall(Protocol):
    """How `Authenticate` is called."""

    async def __call__(self, *, credential: str) -> Caller: ...


class LogOutCall(Protocol):
    """How `LogOut` is called."""

    async def __call__(self, *, caller: Caller, everywhere: bool = False) -> None: ...


class ListPublicKeysCall(Protocol):
    """How `ListPublicKeys` is called."""

    async def __call__(self) -> Sequence[JsonWebKey]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticationUseCases:
    """How callers are identified. Each field can be another function with the same parameters."""

    login: LoginCall
    refresh: RefreshCall
    authenticate: AuthenticateCall
    log_out: LogOutCall
    public_keys: ListPublicKeysCall

    @classmethod
    def over(
        cls,
        *,
        accounts: AccountStore,
        callers: Callers,
        checks: PasswordChecks,
        tokens: TokenService,
        clock: Clock,
        refresh: RefreshOptions | None = None,
    ) -> Self:
        """The use cases over these adapters."""
        refresh = refresh or RefreshOptions()
        return cls(
            login=Login(accounts=accounts, checks=checks, tokens=tokens, clock=clock, refresh=refresh),
            refresh=Refresh(accounts=accounts, callers=callers, tokens=tokens, clock=clock, refresh=refresh),
            authenticate=Authenticate(callers=callers),
            log_out=LogOut(accounts=accounts, callers=callers),
            public_keys=ListPublicKeys(tokens=tokens),
        )
