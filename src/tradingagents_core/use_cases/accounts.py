"""Accounts of users."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from tradingagents_core.domain.accounts import User, is_email, new_password, normalize_email
from tradingagents_core.domain.plain_types import plain_str
from tradingagents_core.errors import EmailTaken, UserNotFound
from tradingagents_core.ports import AccountStore, Callers, Clock, PasswordHasher


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateUser:
    """Create an account. Its user can log in at once.

    Raises:
        InvalidInput: the e-mail or the password breaks a rule of the domain.
        EmailTaken: another account has this e-mail, compared in lower case.
        StoreUnavailable: the store is unavailable or busy; the account may or may not have been stored.
    """

    store: AccountStore
    passwords: PasswordHasher
    clock: Clock

    async def __call__(self, *, email: str, password: str) -> User:
        email = normalize_email(email)
        password = new_password(password)
        async with self.store.read() as view:
            if await view.users.find_by_email(email):
                raise EmailTaken(email)
        password_hash = await self.passwords.hash(password)
        return await self.store.add_user(email=email, password_hash=password_hash, at=self.clock())


@dataclass(frozen=True, slots=True, kw_only=True)
class ListUsers:
    """Read all accounts, oldest first.

    Raises:
        StoreUnavailable: the store is unavailable or busy.
    """

    store: AccountStore

    async def __call__(self) -> Sequence[User]:
        async with self.store.read() as view:
            return await view.users.list()


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPassword:
    """Replace a user's password.

    Raises:
        InvalidInput: the password breaks a rule of the domain, or the e-mail is not text.
        UserNotFound: no user has this e-mail.
        StoreUnavailable: the store is unavailable or busy; the password may or may not have been stored.
    """

    store: AccountStore
    callers: Callers
    passwords: PasswordHasher
    clock: Clock

    async def __call__(self, *, email: str, password: str) -> User:
        email = plain_str("email", email)
        password = new_password(password)
        found = await _find(self.store, email)
        password_hash = await self.passwords.hash(password)
        return await _change(
            self.store, self.callers, found.id, lambda user: user.with_password_hash(password_hash, at=self.clock())
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivateUser:
    """Let a user log in again.

    Raises:
        InvalidInput: the e-mail is not text.
        UserNotFound: no user has this e-mail.
        StoreUnavailable: the store is unavailable or busy; the change may or may not have been stored.
    """

    store: AccountStore
    callers: Callers
    clock: Clock

    async def __call__(self, *, email: str) -> User:
        found = await _find(self.store, email)
        return await _change(self.store, self.callers, found.id, lambda user: user.activated(at=self.clock()))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeactivateUser:
    """Stop a user from logging in, and refuse the user's tokens.

    Another process that caches callers refuses the tokens when its cache entries expire.

    Raises:
        InvalidInput: the e-mail is not text.
        UserNotFound: no user has this e-mail.
        StoreUnavailable: the store is unavailable or busy; the change may or may not have been stored.
    """

    store: AccountStore
    callers: Callers
    clock: Clock

    async def __call__(self, *, email: str) -> User:
        found = await _find(self.store, email)
        return await _change(self.store, self.callers, found.id, lambda user: user.deactivated(at=self.clock()))


async def _find(store: AccountStore, email: str) -> User:
    address = plain_str("email", email).lower()
    if is_email(address):
        async with store.read() as view:
            user = await view.users.find_by_email(address)
            if user is not None:
                return user
    raise UserNotFound(email)


async def _change(store: AccountStore, callers: Callers, user_id: int, change: Callable[[User], User]) -> User:
    """Store a change of a user, and forget the user's callers at the end, whether it was committed or not."""
    try:
        async with store.write(user_id) as work:
            changed = change(await work.users.get(user_id))
            await work.users.replace(changed)
    finally:
        await callers.forget(user_id)
    return changed


class NoCallers(Callers):
    """The callers of a process that serves no requests, such as a command: none to find, none to forget."""

    async def find(self, credential: str) -> None:
        return None

    async def forget(self, user_id: int) -> None:
        pass


class CreateUserCall(Protocol):
    """How `CreateUser` is called."""

    async def __call__(self, *, email: str, password: str) -> User: ...


class ListUsersCall(Protocol):
    """How `ListUsers` is called."""

    async def __call__(self) -> Sequence[User]: ...


class SetPasswordCall(Protocol):
    """How `SetPassword` is called."""

    async def __call__(self, *, email: str, password: str) -> User: ...


class SetActiveCall(Protocol):
    """How `ActivateUser` and `DeactivateUser` are called."""

    async def __call__(self, *, email: str) -> User: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUseCases:
    """What operators do with accounts. Each field can be another function with the same parameters."""

    create: CreateUserCall
    list: ListUsersCall
    set_password: SetPasswordCall
    activate: SetActiveCall
    deactivate: SetActiveCall

    @classmethod
    def over(
        cls, *, store: AccountStore, passwords: PasswordHasher, clock: Clock, callers: Callers | None = None
    ) -> Self:
        """The use cases over these adapters. A process that serves no requests needs no `callers`."""
        callers = callers or NoCallers()
        return cls(
            create=CreateUser(store=store, passwords=passwords, clock=clock),
            list=ListUsers(store=store),
            set_password=SetPassword(store=store, callers=callers, passwords=passwords, clock=clock),
            activate=ActivateUser(store=store, callers=callers, clock=clock),
            deactivate=DeactivateUser(store=store, callers=callers, clock=clock),
        )
