"""Accounts of users."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from tradingagents_core.domain.accounts import User, is_email, normalize_email, normalize_new_password
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.plain_types import instance_of, plain_str
from tradingagents_core.errors import EmailTaken, InvalidCredentials, InvalidInput, RegistrationDisabled, UserNotFound
from tradingagents_core.ports import AccountStore, Callers, Clock, PasswordHasher, StrategyStore
from tradingagents_core.use_cases.password_checks import PasswordChecks


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
        return await _create(self.store, self.passwords, self.clock, email, password)


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
    """Replace a user's password, and end the user's sessions.

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
        password = normalize_new_password(password)
        found = await find_user(self.store, email)
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
        found = await find_user(self.store, email)
        return await _change(
            self.store,
            self.callers,
            found.id,
            lambda user: user.activated(at=self.clock()),
            ends_sessions=False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeactivateUser:
    """Stop a user from logging in, end the user's sessions, and refuse the user's API keys.

    Another process that caches callers refuses their credentials when its cache entries expire.

    Raises:
        InvalidInput: the e-mail is not text.
        UserNotFound: no user has this e-mail.
        StoreUnavailable: the store is unavailable or busy; the change may or may not have been stored.
    """

    store: AccountStore
    callers: Callers
    clock: Clock

    async def __call__(self, *, email: str) -> User:
        found = await find_user(self.store, email)
        return await _change(self.store, self.callers, found.id, lambda user: user.deactivated(at=self.clock()))


@dataclass(frozen=True, slots=True, kw_only=True)
class FindUser:
    """Read the account with this e-mail.

    Raises:
        InvalidInput: the e-mail is not text.
        UserNotFound: no user has this e-mail.
        StoreUnavailable: the store is unavailable or busy.
    """

    store: AccountStore

    async def __call__(self, *, email: str) -> User:
        return await find_user(self.store, email)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetUser:
    """Read the account of the caller.

    Raises:
        InvalidInput: the caller is not a `Caller`.
        UserNotFound: the caller has no account in the store.
        StoreUnavailable: the store is unavailable or busy.
    """

    store: AccountStore

    async def __call__(self, *, caller: Caller) -> User:
        user_id = instance_of(Caller, "caller", caller).user_id
        async with self.store.read() as view:
            user = await view.users.find(user_id)
        if user is None:
            raise UserNotFound(user_id)
        return user


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """Create an account for the person who asks, where the operator allows that.

    Raises:
        RegistrationDisabled: the operator does not allow it.
        InvalidInput: the e-mail or the password breaks a rule of the domain.
        EmailTaken: another account has this e-mail, compared in lower case.
        PasswordHasherBusy: too many passwords are waiting to be hashed.
        StoreUnavailable: the store is unavailable or busy; the account may or may not have been stored.
    """

    store: AccountStore
    passwords: PasswordHasher
    clock: Clock
    is_enabled: bool

    async def __call__(self, *, email: str, password: str) -> User:
        if not self.is_enabled:
            raise RegistrationDisabled
        return await _create(self.store, self.passwords, self.clock, email, password)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePassword:
    """Replace the password of the caller, who knows the present one, and end the caller's other sessions.

    Raises:
        InvalidInput: the present password is wrong (`current_password`), or the new one breaks a rule of the domain.
        NotForApiKeys: the caller has an API key.
        TooManyAttempts: too many wrong passwords for this account or from this source; wrong ones count like failed
            logins.
        UserNotFound: the caller has no account in the store.
        PasswordHasherBusy: too many passwords are waiting to be hashed.
        LoginTookTooLong: the present password could not be checked in time.
        StoreUnavailable: the store is unavailable or busy; the password may or may not have been stored.
    """

    store: AccountStore
    callers: Callers
    checks: PasswordChecks
    passwords: PasswordHasher
    clock: Clock

    async def __call__(self, *, caller: Caller, current_password: str, new_password: str, source: str) -> None:
        instance_of(Caller, "caller", caller).check_is_no_api_key()
        plain_str("current_password", current_password)
        password = normalize_new_password(new_password, field="new_password")
        async with self.store.read() as view:
            user = await view.users.find(caller.user_id)
        if user is None:
            raise UserNotFound(caller.user_id)
        password_hash = None
        is_changed = False
        while not is_changed:
            checked = await self._check(user, current_password, source)
            password_hash = password_hash or await self.passwords.hash(password)
            is_changed = await self._change(caller, checked, password_hash)

    async def _check(self, user: User, current_password: str, source: str) -> User:
        try:
            checked = await self.checks(email=user.email, password=current_password, source=source)
        except InvalidCredentials:
            raise InvalidInput(
                field="current_password", rule="wrong_password", message="should be your present password"
            ) from None
        return checked.user

    async def _change(self, caller: Caller, checked: User, password_hash: str) -> bool:
        """Whether the password was changed; False where the hash has changed since the check, as in `Login`."""
        try:
            async with self.store.write(caller.user_id) as work:
                user = await work.users.get(caller.user_id)
                if user.password_hash != checked.password_hash:
                    return False
                await work.users.replace(user.with_password_hash(password_hash, at=self.clock()))
                await work.sessions.remove_all(but=caller.session_id)
        finally:
            await self.callers.forget(caller.user_id)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteUser:
    """Remove an account, and all that it owns: sessions, API keys and strategies.

    The account is deactivated first. A deletion that is interrupted can be repeated.

    Raises:
        InvalidInput: the e-mail is not text.
        UserNotFound: no user has this e-mail.
        StoreUnavailable: the store is unavailable or busy; some or all may have been removed.
    """

    store: AccountStore
    strategies: StrategyStore
    callers: Callers
    clock: Clock

    async def __call__(self, *, email: str) -> User:
        found = await find_user(self.store, email)
        await _change(self.store, self.callers, found.id, lambda user: user.deactivated(at=self.clock()))
        async with self.strategies.write(found.id) as work:
            await work.strategies.remove_all()
        try:
            async with self.store.write(found.id) as account:
                await account.users.remove(found.id)
        finally:
            await self.callers.forget(found.id)
        return found


async def _create(store: AccountStore, passwords: PasswordHasher, clock: Clock, email: str, password: str) -> User:
    email = normalize_email(email)
    password = normalize_new_password(password)
    async with store.read() as view:
        if await view.users.find_by_email(email):
            raise EmailTaken(email)
    password_hash = await passwords.hash(password)
    return await store.add_user(email=email, password_hash=password_hash, at=clock())


async def find_user(store: AccountStore, email: str) -> User:
    """The user with this e-mail.

    Raises:
        InvalidInput: the e-mail is not text.
        UserNotFound: no user has this e-mail.
        StoreUnavailable: the store is unavailable or busy.
    """
    address = plain_str("email", email).lower()
    if is_email(address):
        async with store.read() as view:
            user = await view.users.find_by_email(address)
            if user is not None:
                return user
    raise UserNotFound(email)


async def _change(
    store: AccountStore,
    callers: Callers,
    user_id: int,
    change: Callable[[User], User],
    *,
    ends_sessions: bool = True,
) -> User:
    """Store a change of a user, and forget the user's callers at the end, whether it was committed or not."""
    try:
        async with store.write(user_id) as work:
            changed = change(await work.users.get(user_id))
            await work.users.replace(changed)
            if ends_sessions:
                await work.sessions.remove_all()
    finally:
        await callers.forget(user_id)
    return changed


class CreateUserCall(Protocol):
    """How `CreateUser` is called."""

    async def __call__(self, *, email: str, password: str) -> User: ...


class ListUsersCall(Protocol):
    """How `ListUsers` is called."""

    async def __call__(self) -> Sequence[User]: ...


class SetPasswordCall(Protocol):
    """How `SetPassword` is called."""

    async def __call__(self, *, email: str, password: str) -> User: ...


class GetUserCall(Protocol):
    """How `GetUser` is called."""

    async def __call__(self, *, caller: Caller) -> User: ...


class ChangePasswordCall(Protocol):
    """How `ChangePassword` is called."""

    async def __call__(self, *, caller: Caller, current_password: str, new_password: str, source: str) -> None: ...


class OfEmailCall(Protocol):
    """How the use cases that take only an e-mail are called."""

    async def __call__(self, *, email: str) -> User: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUseCases:
    """What users and operators do with accounts. Each field can be another function with the same parameters."""

    get: GetUserCall
    change_password: ChangePasswordCall
    register: CreateUserCall
    create: CreateUserCall
    list: ListUsersCall
    find: OfEmailCall
    set_password: SetPasswordCall
    activate: OfEmailCall
    deactivate: OfEmailCall
    delete: OfEmailCall

    @classmethod
    def over(
        cls,
        *,
        store: AccountStore,
        strategies: StrategyStore,
        callers: Callers,
        checks: PasswordChecks,
        passwords: PasswordHasher,
        clock: Clock,
        registration_enabled: bool = False,
    ) -> Self:
        """The use cases over these adapters. `registration_enabled` lets everybody create an account."""
        return cls(
            get=GetUser(store=store),
            change_password=ChangePassword(
                store=store, callers=callers, checks=checks, passwords=passwords, clock=clock
            ),
            register=Register(store=store, passwords=passwords, clock=clock, is_enabled=registration_enabled),
            create=CreateUser(store=store, passwords=passwords, clock=clock),
            list=ListUsers(store=store),
            find=FindUser(store=store),
            set_password=SetPassword(store=store, callers=callers, passwords=passwords, clock=clock),
            activate=ActivateUser(store=store, callers=callers, clock=clock),
            deactivate=DeactivateUser(store=store, callers=callers, clock=clock),
            delete=DeleteUser(store=store, strategies=strategies, callers=callers, clock=clock),
        )
