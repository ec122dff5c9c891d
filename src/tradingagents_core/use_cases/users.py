"""Accounts: who may log in."""

from collections.abc import Sequence
from dataclasses import dataclass

from tradingagents_core.domain.password import new_password
from tradingagents_core.domain.user import User, is_email, normalize_email
from tradingagents_core.errors import EmailTaken, UserNotFound
from tradingagents_core.ports import Clock, PasswordHasher, Store, StoreView, StoreWork


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateUser:
    """Give somebody an account that can be used at once.

    Raises:
        InvalidInput: e-mail or password break a rule of the domain.
        EmailTaken: there is an account with this e-mail, compared in lower case.
        StoreUnavailable: the store is away or busy; the account may have been stored or not.
    """

    store: Store
    passwords: PasswordHasher
    clock: Clock

    async def __call__(self, *, email: str, password: str) -> User:
        email = normalize_email(email)
        password = new_password(password)
        async with self.store.read() as view:
            if await view.find_user_by_email(email):
                raise EmailTaken(email)
        password_hash = await self.passwords.hash(password)
        async with self.store.write() as work:
            return await work.add_user(email=email, password_hash=password_hash, at=self.clock())


@dataclass(frozen=True, slots=True, kw_only=True)
class ListUsers:
    """Read all accounts, oldest first.

    Raises:
        StoreUnavailable: the store is away or busy.
    """

    store: Store

    async def __call__(self) -> Sequence[User]:
        async with self.store.read() as view:
            return await view.list_users()


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPassword:
    """Replace a user's password.

    Raises:
        InvalidInput: the password breaks a rule of the domain.
        UserNotFound: nobody has this e-mail.
        StoreUnavailable: the store is away or busy; the password may have been stored or not.
    """

    store: Store
    passwords: PasswordHasher
    clock: Clock

    async def __call__(self, *, email: str, password: str) -> User:
        password = new_password(password)
        async with self.store.read() as view:
            await _get_user(view, email)
        password_hash = await self.passwords.hash(password)
        async with self.store.write() as work:
            user = await _take_user(work, email)
            changed = user.with_password_hash(password_hash, at=self.clock())
            await work.replace_user(changed)
        return changed


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivateUser:
    """Let a user log in again.

    Raises:
        UserNotFound: nobody has this e-mail.
        StoreUnavailable: the store is away or busy; the change may have been stored or not.
    """

    store: Store
    clock: Clock

    async def __call__(self, *, email: str) -> User:
        async with self.store.write() as work:
            user = await _take_user(work, email)
            changed = user.activated(at=self.clock())
            await work.replace_user(changed)
        return changed


@dataclass(frozen=True, slots=True, kw_only=True)
class DeactivateUser:
    """Keep a user from logging in, and refuse the tokens that were issued to that user.

    A process that remembers whom it has identified refuses them once it looks again.

    Raises:
        UserNotFound: nobody has this e-mail.
        StoreUnavailable: the store is away or busy; the change may have been stored or not.
    """

    store: Store
    clock: Clock

    async def __call__(self, *, email: str) -> User:
        async with self.store.write() as work:
            user = await _take_user(work, email)
            changed = user.deactivated(at=self.clock())
            await work.replace_user(changed)
        return changed


async def _take_user(work: StoreWork, email: str) -> User:
    """Take the row of the user with this e-mail, and read it as it is now that nobody else changes it."""
    await work.lock_user((await _get_user(work, email)).id)
    return await _get_user(work, email)


async def _get_user(view: StoreView, email: str) -> User:
    address = email.lower()
    user = await view.find_user_by_email(address) if is_email(address) else None
    if user is None:
        raise UserNotFound(email)
    return user
