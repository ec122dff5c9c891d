"""Stores of accounts with one fault each. A test of the kit has to find each fault.

pytest collects this file only on request: see `test_conformance_kit.py`.
"""

import asyncio
import unicodedata
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar, overload

import pytest
from faults import Fault

from tradingagents_conformance import AccountStoreContract, OpenAccountStore
from tradingagents_core.domain.accounts import User
from tradingagents_core.domain.api_keys import ApiKey, ApiKeyContent
from tradingagents_core.domain.page import Page
from tradingagents_core.domain.scopes import ALL_SCOPES
from tradingagents_core.domain.sessions import RefreshToken, Session
from tradingagents_core.errors import (
    ApiKeyNotFound,
    BlockFailed,
    EmailTaken,
    NestedBlock,
    SessionNotFound,
    TradingAgentsError,
    UserNotFound,
)
from tradingagents_core.ports import (
    AccountStore,
    AccountView,
    AccountWork,
    ApiKeyReader,
    ApiKeyRepository,
    Blocks,
    RefreshTokenRepository,
    SessionReader,
    SessionRepository,
    UserReader,
    UserRepository,
)


class Reader(UserReader):
    def __init__(self, store: "PlainAccountStore") -> None:
        self.store = store

    async def find(self, user_id: int) -> User | None:
        user = self.store.users.get(user_id)
        return user and self.as_read(user)

    async def find_by_email(self, email: str) -> User | None:
        return next((self.as_read(user) for user in self.store.users.values() if user.email == email), None)

    async def list(self) -> Sequence[User]:
        return [self.as_read(user) for user in self.store.users.values()]

    def as_read(self, user: User) -> User:
        return user


class Sessions(SessionReader):
    def __init__(self, store: "PlainAccountStore") -> None:
        self.store = store

    async def find(self, session_id: int) -> tuple[User, Session] | None:
        for user_id, sessions in self.store.sessions.items():
            if session_id in sessions:
                return self.store.users[user_id], self.as_read(sessions[session_id])
        return None

    async def find_by_refresh_token(self, token_hash: str) -> Session | None:
        for user_id, tokens in self.store.tokens.items():
            if token_hash in tokens:
                return self.as_read(self.store.sessions[user_id][tokens[token_hash].session_id])
        return None

    async def list(self, *, user_id: int, now: datetime, skip: int, limit: int) -> Page[Session]:
        listed = [self.as_read(session) for session in self.listed(user_id) if self.is_live(session, now)]
        return Page(items=listed[skip : skip + limit], total=len(listed), skip=skip, limit=limit)

    def listed(self, user_id: int) -> Sequence[Session]:
        return list(self.store.sessions.get(user_id, {}).values())

    def is_live(self, session: Session, now: datetime) -> bool:
        return session.is_live(now=now)

    def as_read(self, session: Session) -> Session:
        return session


class Keys(ApiKeyReader):
    def __init__(self, store: "PlainAccountStore") -> None:
        self.store = store

    async def find(self, api_key_id: int) -> ApiKey | None:
        for api_keys in self.store.api_keys.values():
            if api_key_id in api_keys:
                return self.as_read(api_keys[api_key_id])
        return None

    async def find_by_hash(self, key_hash: str) -> tuple[User, ApiKey] | None:
        for user_id, api_keys in self.store.api_keys.items():
            for api_key in api_keys.values():
                if api_key.key_hash == key_hash:
                    return self.store.users[user_id], self.as_read(api_key)
        return None

    async def list(self, *, user_id: int, skip: int, limit: int) -> Page[ApiKey]:
        listed = [self.as_read(api_key) for api_key in self.listed(user_id)]
        return Page(items=listed[skip : skip + limit], total=len(listed), skip=skip, limit=limit)

    def listed(self, user_id: int) -> Sequence[ApiKey]:
        return list(self.store.api_keys.get(user_id, {}).values())

    def as_read(self, api_key: ApiKey) -> ApiKey:
        return api_key


class Repository(UserRepository):
    """The user of a block, and copies of all that belongs to the user."""

    def __init__(self, store: "PlainAccountStore", user: User) -> None:
        self.store = store
        self.user = user
        self.sessions = dict(store.sessions.get(user.id, {}))
        self.tokens = dict(store.tokens.get(user.id, {}))
        self.api_keys = dict(store.api_keys.get(user.id, {}))
        self.is_removed = False
        self.has_failed = False

    async def get(self, user_id: int) -> User:
        self.check_id(user_id)
        return self.user

    async def replace(self, user: User) -> None:
        self.check_id(user.id)
        try:
            self.store.check_email(user.email, user_id=user.id)
        except EmailTaken:
            self.has_failed = True
            raise
        self.user = user

    async def remove(self, user_id: int) -> None:
        self.check_id(user_id)
        self.is_removed = True

    def check(self) -> None:
        """Refuse to commit a block that has caught a refusal."""
        if self.has_failed:
            raise BlockFailed

    def check_id(self, user_id: int) -> None:
        if user_id != self.user.id:
            raise UserNotFound(user_id)


class SessionsOfUser(SessionRepository):
    def __init__(self, account: Repository) -> None:
        self.account = account

    async def get(self, session_id: int) -> Session:
        if session_id not in self.account.sessions:
            raise SessionNotFound(session_id)
        return self.account.sessions[session_id]

    async def add(self, *, at: datetime, expires_at: datetime) -> Session:
        session = Session(
            id=self.new_id(), user_id=self.account.user.id, created_at=at, last_used_at=at, expires_at=expires_at
        )
        self.account.sessions[session.id] = session
        return session

    async def replace(self, session: Session) -> None:
        if session.user_id != self.account.user.id or session.id not in self.account.sessions:
            raise SessionNotFound(session.id)
        self.account.sessions[session.id] = session

    async def remove(self, session_id: int) -> None:
        await self.get(session_id)
        self.end([session_id])

    async def remove_all(self, *, but: int | None = None) -> int:
        removed = [session_id for session_id in self.account.sessions if session_id != but]
        self.end(removed)
        return len(removed)

    async def remove_expired(self, *, now: datetime) -> None:
        self.end([session.id for session in self.account.sessions.values() if self.has_expired(session, now)])
        for token in list(self.account.tokens.values()):
            if self.has_expired(token, now):
                del self.account.tokens[token.token_hash]

    def has_expired(self, expiring: Session | RefreshToken, now: datetime) -> bool:
        return expiring.expires_at <= now

    def end(self, session_ids: Sequence[int]) -> None:
        for session_id in session_ids:
            del self.account.sessions[session_id]
        for token in list(self.account.tokens.values()):
            if token.session_id not in self.account.sessions:
                del self.account.tokens[token.token_hash]

    def new_id(self) -> int:
        self.account.store.last_session_id += 1
        return self.account.store.last_session_id


class TokensOfUser(RefreshTokenRepository):
    def __init__(self, account: Repository) -> None:
        self.account = account

    async def find(self, token_hash: str) -> RefreshToken | None:
        return self.account.tokens.get(token_hash)

    async def put(self, token: RefreshToken) -> None:
        if token.session_id not in self.account.sessions:
            raise SessionNotFound(token.session_id)
        self.account.tokens[token.token_hash] = token


class KeysOfUser(ApiKeyRepository):
    def __init__(self, account: Repository) -> None:
        self.account = account

    async def get(self, api_key_id: int) -> ApiKey:
        if api_key_id not in self.account.api_keys:
            raise ApiKeyNotFound(api_key_id)
        return self.account.api_keys[api_key_id]

    async def count_live(self, *, now: datetime) -> int:
        return sum(api_key.is_live(now=now) for api_key in self.account.api_keys.values())

    async def add(self, content: ApiKeyContent, *, prefix: str, key_hash: str, at: datetime) -> ApiKey:
        api_key = ApiKey.created(
            content, id=self.new_id(), user_id=self.account.user.id, prefix=prefix, key_hash=key_hash, at=at
        )
        self.account.api_keys[api_key.id] = api_key
        return api_key

    async def replace(self, api_key: ApiKey) -> None:
        if api_key.user_id != self.account.user.id or api_key.id not in self.account.api_keys:
            raise ApiKeyNotFound(api_key.id)
        self.account.api_keys[api_key.id] = api_key

    async def remove(self, api_key_id: int) -> None:
        await self.get(api_key_id)
        del self.account.api_keys[api_key_id]

    async def remove_expired(self, *, before: datetime) -> None:
        for api_key in list(self.account.api_keys.values()):
            if not api_key.is_live(now=before):
                del self.account.api_keys[api_key.id]

    def new_id(self) -> int:
        self.account.store.last_api_key_id += 1
        return self.account.store.last_api_key_id


class PlainAccountStore(AccountStore):
    """A store without faults: dictionaries of users, and of what belongs to each user. A block changes one account."""

    reader: type[Reader] = Reader
    session_reader: type[Sessions] = Sessions
    api_key_reader: type[Keys] = Keys
    repository: type[Repository] = Repository
    sessions_of_user: type[SessionsOfUser] = SessionsOfUser
    tokens_of_user: type[TokensOfUser] = TokensOfUser
    api_keys_of_user: type[KeysOfUser] = KeysOfUser

    def __init__(self) -> None:
        self.users: dict[int, User] = {}
        self.sessions: dict[int, dict[int, Session]] = {}
        self.tokens: dict[int, dict[str, RefreshToken]] = {}
        self.api_keys: dict[int, dict[int, ApiKey]] = {}
        self.last_id = 0
        self.last_session_id = 0
        self.last_api_key_id = 0
        self.writing = asyncio.Lock()
        self.blocks = Blocks()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AccountView]:
        yield AccountView(
            users=self.reader(self), sessions=self.session_reader(self), api_keys=self.api_key_reader(self)
        )

    @asynccontextmanager
    async def write(self, user_id: int) -> AsyncIterator[AccountWork]:
        with self.blocks.entered():
            async with self.block(user_id) as repository:
                yield self.work(repository)

    def work(self, repository: Repository) -> AccountWork:
        return AccountWork(
            user_id=repository.user.id,
            users=repository,
            sessions=self.sessions_of_user(repository),
            refresh_tokens=self.tokens_of_user(repository),
            api_keys=self.api_keys_of_user(repository),
        )

    @asynccontextmanager
    async def block(self, user_id: int) -> AsyncIterator[Repository]:
        """A writing block. It need not check whether the block is nested."""
        async with self.writing:
            repository = self.repository_of(user_id)
            yield repository
            repository.check()
            self.keep(repository)

    async def add_user(self, *, email: str, password_hash: str, at: datetime) -> User:
        with self.blocks.entered():
            return await self.add(email=email, password_hash=password_hash, at=at)

    async def add(self, *, email: str, password_hash: str, at: datetime) -> User:
        async with self.writing:
            self.check_email(email, user_id=None)
            user = User(id=self.new_id(), email=email, password_hash=password_hash, created_at=at, updated_at=at)
            self.users[user.id] = user
        return user

    def repository_of(self, user_id: int) -> Repository:
        if user_id not in self.users:
            raise UserNotFound(user_id)
        return self.repository(self, self.users[user_id])

    def keep(self, repository: Repository) -> None:
        user_id = repository.user.id
        if repository.is_removed:
            for kept in (self.users, self.sessions, self.tokens, self.api_keys):
                self.forget(kept, user_id)
            return
        self.users[user_id] = repository.user
        self.sessions[user_id] = repository.sessions
        self.tokens[user_id] = repository.tokens
        self.api_keys[user_id] = repository.api_keys

    def forget(self, kept: dict[int, Any], user_id: int) -> None:
        kept.pop(user_id, None)

    def check_email(self, email: str, *, user_id: int | None) -> None:
        if any(user.email == email and user.id != user_id for user in self.users.values()):
            raise EmailTaken(email)

    def new_id(self) -> int:
        self.last_id += 1
        return self.last_id


PARTS: dict[type[Any], str] = {
    Reader: "reader",
    Sessions: "session_reader",
    Keys: "api_key_reader",
    Repository: "repository",
    SessionsOfUser: "sessions_of_user",
    TokensOfUser: "tokens_of_user",
    KeysOfUser: "api_keys_of_user",
}
"""The parts of a store, and the attributes of the store that name them."""

FAULTS: dict[str, Fault] = {}
"""Every broken store, by the name of its fault."""


def named_by(test: str, *, histories: bool = False) -> Callable[[type[Any]], type[Any]]:
    """Note a store with a fault, or a part of a store, and the test that has to fail."""

    def note(broken: type[Any]) -> type[Any]:
        store = broken
        for part, attribute in PARTS.items():
            if issubclass(broken, part):
                store = type(broken.__name__, (PlainAccountStore,), {attribute: broken})
        FAULTS[broken.__name__] = Fault(store, test, histories)
        return broken

    return note


# Reading


def unchecked(user: User, **changes: Any) -> User:
    """This user with changes that the domain would refuse or correct."""
    values = {field.name: getattr(user, field.name) for field in fields(user)}
    return User.from_store(**values | changes)


@named_by("test_users_are_listed_oldest_first")
class UsersAreListedByEmail(Reader):
    async def list(self):
        return sorted(await super().list(), key=lambda user: user.email)


@named_by("test_a_change_does_not_move_a_user_in_the_list", histories=True)
class UsersAreListedByTheirLastChange(PlainAccountStore):
    def keep(self, repository):
        del self.users[repository.user.id]
        super().keep(repository)


@named_by("test_an_email_is_read_as_it_was_stored")
class EmailsAreCutAfter100Characters(PlainAccountStore):
    async def add(self, *, email, password_hash, at):
        return await super().add(email=email[:100], password_hash=password_hash, at=at)


@named_by("test_an_email_is_read_as_it_was_stored")
class EmailsAreStoredAsAscii(Reader):
    def as_read(self, user):
        return replace(user, email=_as_ascii(user.email))


@named_by("test_a_replaced_email_is_read_as_it_was_stored")
class ChangedEmailsAreComposed(Repository):
    async def replace(self, user):
        await super().replace(replace(user, email=unicodedata.normalize("NFC", user.email)))


@named_by("test_emails_are_compared_character_by_character")
class EmailsAreComparedWithoutAccents(PlainAccountStore):
    def check_email(self, email, *, user_id):
        if any(_plain(user.email) == _plain(email) and user.id != user_id for user in self.users.values()):
            raise EmailTaken(email)


@named_by("test_a_hash_is_read_as_it_was_stored")
class HashesAreCutAfter255Characters(Reader):
    def as_read(self, user):
        return replace(user, password_hash=user.password_hash[:255])


@named_by("test_a_hash_is_read_as_it_was_stored")
class HashesAreStoredAsAscii(Reader):
    def as_read(self, user):
        return replace(user, password_hash=_as_ascii(user.password_hash))


@named_by("test_a_replaced_hash_is_read_as_it_was_stored")
class ChangedHashesAreCutAfter4000Characters(Repository):
    async def replace(self, user):
        await super().replace(replace(user, password_hash=user.password_hash[:4000]))


def _as_ascii(text: str) -> str:
    return text.encode("ascii", errors="replace").decode("ascii")


def _plain(text: str) -> str:
    """The text as a database compares it that ignores accents."""
    return unicodedata.normalize("NFD", text).encode("ascii", errors="ignore").decode("ascii")


@named_by("test_times_come_back_aware_and_in_utc")
class TimesOfUsersLoseTheirZone(Reader):
    def as_read(self, user):
        return unchecked(user, updated_at=user.updated_at.replace(tzinfo=None))


@named_by("test_times_come_back_aware_and_in_utc")
class TimesOfUsersComeBackInAnotherZone(Reader):
    def as_read(self, user):
        return unchecked(user, created_at=user.created_at.astimezone(timezone(timedelta(hours=1))))


@named_by("test_microseconds_come_back")
class TimesAreKeptInMilliseconds(Reader):
    def as_read(self, user):
        return replace(user, updated_at=user.updated_at.replace(microsecond=user.updated_at.microsecond // 1000 * 1000))


class LiveUsers(Sequence[User]):
    """The users at the time of each access."""

    def __init__(self, now: Callable[[], Sequence[User]]) -> None:
        self.now = now

    @overload
    def __getitem__(self, index: int) -> User: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[User]: ...
    def __getitem__(self, index):
        return self.now()[index]

    def __len__(self) -> int:
        return len(self.now())

    def __iter__(self) -> Iterator[User]:
        return iter(self.now())


@named_by("test_a_list_that_was_read_does_not_change")
class TheListOfUsersIsAlive(Reader):
    async def list(self):
        return LiveUsers(lambda: list(self.store.users.values()))


@named_by("test_a_list_that_was_read_does_not_change")
class OneListOfUsersIsHandedToAll(Reader):
    handed_out: ClassVar[list[User]] = []

    async def list(self):
        self.handed_out[:] = await super().list()
        return self.handed_out


@named_by("test_an_unknown_id_finds_no_user")
class NobodyIsAnError(Reader):
    async def find(self, user_id):
        if user_id not in self.store.users:
            raise UserNotFound(user_id)
        return await super().find(user_id)


@named_by("test_an_unknown_id_finds_no_user")
class IdsMustFitInto64Bits(Reader):
    async def find(self, user_id):
        user_id.to_bytes(8, signed=True)
        return await super().find(user_id)


@named_by("test_an_unknown_email_finds_no_user")
class AnUnknownEmailFindsTheFirstUser(Reader):
    async def find_by_email(self, email):
        return await super().find_by_email(email) or next(iter(self.store.users.values()), None)


# New users


@named_by("test_a_new_users_id_is_greater_than_every_earlier_one")
class UsersShareAnId(PlainAccountStore):
    def new_id(self):
        return 1


@named_by("test_a_new_users_id_is_greater_than_every_earlier_one", histories=True)
class IdsOfUsersGoDown(PlainAccountStore):
    def new_id(self):
        return 1000 - super().new_id()


@named_by("test_an_email_belongs_to_one_user")
class EmailsAreNotUnique(PlainAccountStore):
    def check_email(self, email, *, user_id):
        pass


@named_by("test_a_new_user_is_active_and_created_and_updated_at_the_given_time")
class NewUsersAreInactive(PlainAccountStore):
    async def add(self, *, email, password_hash, at):
        user = await super().add(email=email, password_hash=password_hash, at=at)
        self.users[user.id] = replace(user, is_active=False)
        return self.users[user.id]


@named_by("test_one_of_several_users_at_once_gets_the_email", histories=True)
class EmailsAreCheckedTooEarly(PlainAccountStore):
    async def add(self, *, email, password_hash, at):
        self.check_email(email, user_id=None)
        await asyncio.sleep(0)
        user = User(id=self.new_id(), email=email, password_hash=password_hash, created_at=at, updated_at=at)
        self.users[user.id] = user
        return user


@named_by("test_a_cancelled_caller_leaves_a_new_user_whole_or_none")
class ACancelledAdditionStaysLocked(PlainAccountStore):
    async def add(self, *, email, password_hash, at):
        await self.writing.acquire()
        await asyncio.sleep(0)
        self.writing.release()
        return await super().add(email=email, password_hash=password_hash, at=at)


@named_by("test_a_cancelled_caller_leaves_a_new_user_whole_or_none", histories=True)
class ACancelledAdditionIsListedButNotFound(PlainAccountStore):
    class Indexed(Reader):
        async def find_by_email(self, email):
            return await super().find_by_email(email) if email in self.store.indexed else None

    reader = Indexed

    def __init__(self):
        super().__init__()
        self.indexed = set()

    async def add(self, *, email, password_hash, at):
        user = await super().add(email=email, password_hash=password_hash, at=at)
        # Long enough for random histories to find the fault, whatever examples they try.
        for _ in range(10):
            await asyncio.sleep(0)
        self.indexed.add(email)
        return user

    def keep(self, repository):
        super().keep(repository)
        self.indexed.add(repository.user.email)


# Changing users


@named_by("test_a_user_cannot_take_the_email_of_another", histories=True)
class EmailsAreCheckedForNewUsersOnly(PlainAccountStore):
    def check_email(self, email, *, user_id):
        if user_id is None:
            super().check_email(email, user_id=user_id)


@named_by("test_a_user_keeps_their_own_email")
class AUserIsInTheWayOfTheirOwnEmail(PlainAccountStore):
    def check_email(self, email, *, user_id):
        super().check_email(email, user_id=None)


@named_by("test_a_replaced_user_is_found_by_the_new_email_only")
class AUserIsFoundByAnOldEmail(PlainAccountStore):
    class Indexed(Reader):
        async def find_by_email(self, email):
            self.store.index()
            return self.store.users.get(self.store.emails.get(email))

    reader = Indexed

    def __init__(self):
        super().__init__()
        self.emails = {}

    def index(self):
        self.emails |= {user.email: user.id for user in self.users.values()}

    def keep(self, repository):
        self.index()
        super().keep(repository)


@named_by("test_another_user_cannot_be_replaced", histories=True)
class AnybodyIsReplaced(Repository):
    async def replace(self, user):
        if user.id == self.user.id or user.id not in self.store.users:
            await super().replace(user)
        else:
            self.store.check_email(user.email, user_id=user.id)
            self.store.users[user.id] = user


@named_by("test_another_user_cannot_be_replaced")
class ReplacingCreatesAUser(Repository):
    async def replace(self, user):
        if user.id in self.store.users:
            await super().replace(user)
        else:
            self.store.users[user.id] = user


@named_by("test_a_replaced_user_is_read_as_it_was_stored")
class AUsersFirstPasswordStays(Repository):
    async def replace(self, user):
        await super().replace(replace(user, password_hash=self.user.password_hash))


@named_by("test_a_new_user_and_a_change_at_once_do_not_both_get_the_email")
class NewUsersDoNotWaitForChanges(PlainAccountStore):
    @asynccontextmanager
    async def block(self, user_id):
        async with super().block(user_id) as work:
            yield work
            await asyncio.sleep(0)

    async def add(self, *, email, password_hash, at):
        self.check_email(email, user_id=None)
        user = User(id=self.new_id(), email=email, password_hash=password_hash, created_at=at, updated_at=at)
        self.users[user.id] = user
        return user


# Blocks


@named_by("test_a_block_of_an_unknown_user_is_not_entered", histories=True)
class NobodysBlockIsEntered(PlainAccountStore):
    def repository_of(self, user_id):
        if user_id not in self.users:
            return self.repository(self, unchecked(next(iter(self.users.values())), id=user_id))
        return super().repository_of(user_id)

    def keep(self, repository):
        if repository.user.id not in self.users:
            raise UserNotFound(repository.user.id)
        super().keep(repository)


@named_by("test_a_block_reads_its_user_as_of_now")
class ABlockReadsAnOldState(PlainAccountStore):
    def __init__(self):
        super().__init__()
        self.first_read = {}

    def repository_of(self, user_id):
        repository = super().repository_of(user_id)
        repository.user = self.first_read.setdefault(user_id, repository.user)
        return repository


@named_by("test_a_block_reads_no_other_user", histories=True)
class ABlockReadsAnybody(Repository):
    async def get(self, user_id):
        if user_id in self.store.users and user_id != self.user.id:
            return self.store.users[user_id]
        return await super().get(user_id)


@named_by("test_a_block_sees_its_own_changes", histories=True)
class ABlockReadsWhoWasThereBefore(Repository):
    async def get(self, user_id):
        self.check_id(user_id)
        return self.store.users[user_id]


@named_by("test_an_exception_rolls_a_block_back", histories=True)
class UsersAreNotRolledBack(PlainAccountStore):
    @asynccontextmanager
    async def block(self, user_id):
        async with self.writing:
            repository = self.repository_of(user_id)
            try:
                yield repository
            finally:
                self.keep(repository)


@named_by("test_a_refusal_rolls_a_block_back", histories=True)
class ARefusedBlockKeepsItsFirstChange(PlainAccountStore):
    @asynccontextmanager
    async def block(self, user_id):
        async with self.writing:
            repository = self.repository_of(user_id)
            try:
                yield repository
            except TradingAgentsError:
                self.keep(repository)
                raise
            repository.check()
            self.keep(repository)


@named_by("test_a_reading_block_does_not_see_uncommitted_changes", histories=True)
class ReadersSeeUsersThatAreNotCommitted(PlainAccountStore):
    class Eager(Repository):
        async def replace(self, user):
            await super().replace(user)
            self.store.users[user.id] = user

    repository = Eager

    @asynccontextmanager
    async def block(self, user_id):
        async with self.writing:
            repository = self.repository_of(user_id)
            before = repository.user
            try:
                yield repository
            except BaseException:
                self.users[user_id] = before
                raise


@named_by("test_a_reading_block_makes_no_writer_wait")
class ReadersHoldUpChangesOfUsers(PlainAccountStore):
    @asynccontextmanager
    async def read(self):
        async with self.writing, super().read() as view:
            yield view


@named_by("test_no_change_is_lost_between_overlapping_blocks", histories=True)
class NoUserIsLocked(PlainAccountStore):
    @asynccontextmanager
    async def block(self, user_id):
        repository = self.repository_of(user_id)
        yield repository
        repository.check()
        self.keep(repository)


@named_by("test_blocks_of_one_user_wait_for_each_other")
class TheLockOfAUserIsTakenAtTheEnd(PlainAccountStore):
    @asynccontextmanager
    async def block(self, user_id):
        repository = self.repository_of(user_id)
        yield repository
        async with self.writing:
            self.keep(repository)


@named_by("test_a_cancelled_caller_leaves_a_block_whole_or_undone_and_nothing_locked", histories=True)
class ACancelledBlockKeepsTheLock(PlainAccountStore):
    def __init__(self):
        super().__init__()
        self.rows = defaultdict(asyncio.Lock)

    @asynccontextmanager
    async def block(self, user_id):
        row = self.rows[user_id]
        await row.acquire()
        await asyncio.sleep(0)
        try:
            async with super().block(user_id) as work:
                yield work
        except Exception:
            row.release()
            raise
        row.release()


@named_by("test_many_cancelled_callers_leave_nothing_open")
class ConnectionsOfCancelledWritersAreLost(PlainAccountStore):
    def __init__(self):
        super().__init__()
        self.connections = asyncio.Semaphore(20)

    @asynccontextmanager
    async def block(self, user_id):
        await self.connections.acquire()
        await asyncio.sleep(0)
        try:
            async with super().block(user_id) as work:
                yield work
        finally:
            self.connections.release()


@named_by("test_a_block_cancelled_between_its_changes_is_rolled_back", histories=True)
class ACancelledChangeIsKept(PlainAccountStore):
    @asynccontextmanager
    async def block(self, user_id):
        async with self.writing:
            repository = self.repository_of(user_id)
            try:
                yield repository
            except asyncio.CancelledError:
                self.keep(repository)
                raise
            repository.check()
            self.keep(repository)


@named_by("test_a_block_cancelled_while_it_waits_leaves_nothing_locked")
class ACancelledWriterKeepsItsPlaceInTheQueue(PlainAccountStore):
    def __init__(self):
        super().__init__()
        self.places = 0
        self.turn = 0
        self.next = asyncio.Condition()

    @asynccontextmanager
    async def block(self, user_id):
        place, self.places = self.places, self.places + 1
        async with self.next:
            await self.next.wait_for(lambda: self.turn == place)
        try:
            repository = self.repository_of(user_id)
            yield repository
            repository.check()
            self.keep(repository)
        finally:
            self.turn += 1
            async with self.next:
                self.next.notify_all()


@named_by("test_a_nested_block_is_refused_and_spoils_nothing")
class NestedBlocksOfUsersWait(PlainAccountStore):
    @asynccontextmanager
    async def write(self, user_id):
        async with self.block(user_id) as repository:
            yield self.work(repository)


@named_by("test_a_user_added_within_a_block_is_refused_and_spoils_nothing")
class AUserAddedWithinABlockWaits(PlainAccountStore):
    async def add_user(self, *, email, password_hash, at):
        return await self.add(email=email, password_hash=password_hash, at=at)


@named_by("test_a_block_of_another_task_is_no_nested_block")
class OneBlockOfAllTasksIsOpen(PlainAccountStore):
    @asynccontextmanager
    async def write(self, user_id):
        if self.writing.locked():
            raise NestedBlock
        async with super().write(user_id) as work:
            yield work


@named_by("test_a_task_may_open_one_block_after_another", histories=True)
class ABlockOfAUserThatFailsStaysOpen(PlainAccountStore):
    @asynccontextmanager
    async def write(self, user_id):
        leave = self.blocks.enter()
        async with self.block(user_id) as repository:
            yield self.work(repository)
        leave()


@named_by("test_a_block_that_catches_a_refused_change_keeps_nothing", histories=True)
class ACaughtRefusalOfAChangeIsForgotten(Repository):
    def check(self):
        pass


@named_by("test_a_block_may_catch_that_a_user_does_not_exist", histories=True)
class EveryErrorSpoilsABlockOfAUser(Repository):
    def check_id(self, user_id):
        self.has_failed |= user_id != self.user.id
        super().check_id(user_id)


@named_by("test_a_cancelled_caller_waits_until_its_commit_has_ended")
class ACancelledCommitOfAUserGoesOnByItself(PlainAccountStore):
    @asynccontextmanager
    async def block(self, user_id):
        async with self.writing:
            repository = self.repository_of(user_id)
            yield repository
            repository.check()
            await asyncio.shield(self.commit(repository))

    async def commit(self, repository):
        for _ in range(20):
            await asyncio.sleep(0)
        self.keep(repository)


class StoreWithConnections(PlainAccountStore):
    """A store whose reading and writing blocks take a connection from a pool. The connections are counted only."""

    def __init__(self):
        super().__init__()
        self.connections = asyncio.Semaphore(100)


@named_by("test_many_reading_blocks_that_fail_leave_nothing_open")
class ConnectionsOfFailedReadersOfUsersAreLost(StoreWithConnections):
    @asynccontextmanager
    async def read(self):
        await self.connections.acquire()
        async with super().read() as view:
            yield view
        self.connections.release()


@named_by("test_many_refused_writing_blocks_leave_nothing_open")
class ConnectionsOfRefusedChangesOfUsersAreLost(StoreWithConnections):
    @asynccontextmanager
    async def block(self, user_id):
        await self.connections.acquire()
        async with super().block(user_id) as work:
            yield work
        self.connections.release()


# Removed users


@named_by("test_a_removed_user_is_not_found", histories=True)
class RemovingAUserDoesNothing(Repository):
    async def remove(self, user_id):
        self.check_id(user_id)


@named_by("test_a_removed_users_email_is_free_again")
class EmailsOfRemovedUsersStayTaken(PlainAccountStore):
    def __init__(self):
        super().__init__()
        self.ever_taken = {}

    def keep(self, repository):
        super().keep(repository)
        self.ever_taken[repository.user.email] = repository.user.id

    def check_email(self, email, *, user_id):
        super().check_email(email, user_id=user_id)
        if self.ever_taken.get(email, user_id) not in (user_id, *self.users):
            raise EmailTaken(email)


@named_by("test_a_removed_users_id_is_never_given_again")
class IdsOfRemovedUsersAreGivenAgain(PlainAccountStore):
    def new_id(self):
        return max(self.users, default=0) + 1


@named_by("test_a_user_is_removed_with_all_sessions_and_api_keys", histories=True)
class SessionsOfRemovedUsersStay(PlainAccountStore):
    def forget(self, kept, user_id):
        if kept is not self.sessions:
            super().forget(kept, user_id)


@named_by("test_a_user_is_removed_with_all_sessions_and_api_keys")
class KeysOfRemovedUsersStay(PlainAccountStore):
    def forget(self, kept, user_id):
        if kept is not self.api_keys:
            super().forget(kept, user_id)


@named_by("test_a_user_is_removed_with_all_sessions_and_api_keys")
class TheSessionsOfAllUsersEndWithOne(PlainAccountStore):
    def forget(self, kept, user_id):
        if kept is self.sessions:
            self.sessions.clear()
            self.tokens.clear()
        super().forget(kept, user_id)


@named_by("test_another_user_cannot_be_removed")
class AnybodyIsRemoved(Repository):
    async def remove(self, user_id):
        if user_id == self.user.id:
            await super().remove(user_id)
        elif user_id not in self.store.users:
            raise UserNotFound(user_id)
        else:
            del self.store.users[user_id]


@named_by("test_an_exception_rolls_the_removal_of_a_user_back", histories=True)
class ARemovalOfAUserIsNotRolledBack(Repository):
    async def remove(self, user_id):
        await super().remove(user_id)
        self.store.keep(self)


@named_by("test_a_block_that_waits_for_a_removed_user_is_not_entered")
class TheUserIsLookedUpBeforeTheWait(PlainAccountStore):
    @asynccontextmanager
    async def block(self, user_id):
        repository = self.repository_of(user_id)
        async with self.writing:
            repository = self.repository(self, self.users.get(user_id, repository.user))
            yield repository
            repository.check()
            self.keep(repository)


# Sessions


@named_by("test_a_session_is_read_as_it_was_stored")
class TimesOfSessionsAreKeptInMilliseconds(Sessions):
    def as_read(self, session):
        whole = session.expires_at.microsecond // 1000 * 1000
        return replace(session, expires_at=session.expires_at.replace(microsecond=whole))


class StoreThatRemembersUsers(PlainAccountStore):
    """A store that remembers the first state of each user."""

    def __init__(self):
        super().__init__()
        self.first_states = {}

    async def add(self, *, email, password_hash, at):
        user = await super().add(email=email, password_hash=password_hash, at=at)
        self.first_states[user.id] = user
        return user


@named_by("test_a_session_is_found_with_the_present_state_of_its_user", histories=True)
class SessionsRememberTheirUsers(StoreThatRemembersUsers):
    class Remembering(Sessions):
        async def find(self, session_id):
            found = await super().find(session_id)
            return found and (self.store.first_states[found[0].id], found[1])

    session_reader = Remembering


@named_by("test_an_unknown_id_finds_no_session")
class AnUnknownIdFindsTheFirstSession(Sessions):
    async def find(self, session_id):
        found = await super().find(session_id)
        return found or next(
            (
                (self.store.users[user_id], each)
                for user_id, own in self.store.sessions.items()
                for each in own.values()
            ),
            None,
        )


@named_by("test_a_session_is_found_also_where_it_has_expired")
class AnExpiredSessionIsNotFound(Sessions):
    async def find(self, session_id):
        found = await super().find(session_id)
        return found if found and found[1].expires_at > found[1].created_at else None


@named_by("test_a_refresh_token_finds_its_own_session", histories=True)
class ARefreshTokenFindsTheNewestSession(Sessions):
    async def find_by_refresh_token(self, token_hash):
        found = await super().find_by_refresh_token(token_hash)
        return found and self.store.sessions[found.user_id][max(self.store.sessions[found.user_id])]


@named_by("test_an_unknown_hash_finds_no_session")
class AnUnknownHashFindsASession(Sessions):
    async def find_by_refresh_token(self, token_hash):
        found = await super().find_by_refresh_token(token_hash)
        return found or next((each for own in self.store.sessions.values() for each in own.values()), None)


@named_by("test_sessions_are_listed_oldest_first")
class SessionsAreListedByTheirExpiry(Sessions):
    def listed(self, user_id):
        return sorted(super().listed(user_id), key=lambda session: session.expires_at)


@named_by("test_only_sessions_that_are_live_are_listed", histories=True)
class ExpiredSessionsAreListed(Sessions):
    def is_live(self, session, now):
        return True


@named_by("test_only_sessions_that_are_live_are_listed")
class SessionsAreListedAMomentTooLong(Sessions):
    def is_live(self, session, now):
        return session.expires_at >= now


@named_by("test_only_sessions_of_the_user_are_listed", histories=True)
class SessionsOfAllUsersAreListed(Sessions):
    def listed(self, user_id):
        return [each for own in self.store.sessions.values() for each in own.values()]


@named_by("test_a_page_of_sessions_has_the_total_of_the_whole_list")
class TheTotalOfSessionsCountsThePage(Sessions):
    async def list(self, *, user_id, now, skip, limit):
        page = await super().list(user_id=user_id, now=now, skip=skip, limit=limit)
        return replace(page, total=len(page.items))


@named_by("test_an_integer_that_is_no_user_has_no_sessions")
class ListingSessionsOfNobodyIsAnError(Sessions):
    def listed(self, user_id):
        user_id.to_bytes(8, signed=True)
        return super().listed(user_id)


@named_by("test_a_new_session_was_created_and_used_at_the_given_time")
class NewSessionsWereUsedAtTheirExpiry(SessionsOfUser):
    async def add(self, *, at, expires_at):
        session = await super().add(at=at, expires_at=expires_at)
        self.account.sessions[session.id] = replace(session, last_used_at=expires_at)
        return self.account.sessions[session.id]


@named_by("test_a_new_sessions_id_is_greater_than_every_earlier_one", histories=True)
class IdsOfEndedSessionsAreGivenAgain(SessionsOfUser):
    def new_id(self):
        return max((each for own in self.account.store.sessions.values() for each in own), default=0) + 1


@named_by("test_a_replaced_session_is_read_as_it_was_stored")
class TheExpiryOfASessionStays(SessionsOfUser):
    async def replace(self, session):
        before = await self.get(session.id)
        await super().replace(replace(session, expires_at=before.expires_at))


@named_by("test_a_session_of_another_user_cannot_be_replaced", histories=True)
class ASessionChangesItsUser(SessionsOfUser):
    async def replace(self, session):
        await super().replace(replace(session, user_id=self.account.user.id))


@named_by("test_a_block_reads_no_session_of_another_user")
class ABlockReadsAnybodysSession(SessionsOfUser):
    async def get(self, session_id):
        for user_id, own in self.account.store.sessions.items():
            if session_id in own and user_id != self.account.user.id:
                return own[session_id]
        return await super().get(session_id)


@named_by("test_a_block_sees_its_own_sessions_and_readers_do_not")
class ABlockReadsTheSessionsBeforeIt(SessionsOfUser):
    async def get(self, session_id):
        before = self.account.store.sessions.get(self.account.user.id, {})
        return before[session_id] if session_id in before else await super().get(session_id)


@named_by("test_a_block_may_catch_that_a_session_does_not_exist", histories=True)
class AMissingSessionSpoilsABlock(SessionsOfUser):
    async def get(self, session_id):
        self.account.has_failed |= session_id not in self.account.sessions
        return await super().get(session_id)


@named_by("test_an_exception_rolls_the_sessions_of_a_block_back", histories=True)
class SessionsAreNotRolledBack(PlainAccountStore):
    def repository_of(self, user_id):
        repository = super().repository_of(user_id)
        repository.sessions = self.sessions.setdefault(user_id, {})
        return repository


@named_by("test_a_session_is_removed_with_its_refresh_tokens")
class RefreshTokensOutliveTheirSession(PlainAccountStore):
    class Lasting(SessionsOfUser):
        def end(self, session_ids):
            tokens = dict(self.account.tokens)
            super().end(session_ids)
            self.account.tokens = tokens

    class Unchecked(Sessions):
        async def find_by_refresh_token(self, token_hash):
            for tokens in self.store.tokens.values():
                if token_hash in tokens:
                    found = await self.find(tokens[token_hash].session_id)
                    return found and found[1]
            return None

    sessions_of_user = Lasting
    session_reader = Unchecked


@named_by("test_a_session_of_another_user_cannot_be_removed")
class AnybodysSessionIsRemoved(SessionsOfUser):
    async def remove(self, session_id):
        for user_id, own in self.account.store.sessions.items():
            if session_id in own and user_id != self.account.user.id:
                del own[session_id]
                return
        await super().remove(session_id)


@named_by("test_all_sessions_of_a_user_are_removed_but_one")
class NoSessionIsSpared(SessionsOfUser):
    async def remove_all(self, *, but=None):
        return await super().remove_all()


@named_by("test_all_sessions_of_a_user_are_removed_but_one")
class TheSparedSessionIsCountedAsRemoved(SessionsOfUser):
    async def remove_all(self, *, but=None):
        return await super().remove_all(but=but) + (but in self.account.sessions)


@named_by("test_all_sessions_of_a_user_are_removed_where_none_has_the_id")
class OnlyLiveSessionsAreRemoved(SessionsOfUser):
    async def remove_all(self, *, but=None):
        live = [each.id for each in self.account.sessions.values() if each.expires_at > each.last_used_at]
        removed = [session_id for session_id in live if session_id != but]
        self.end(removed)
        return len(removed)


@named_by("test_expired_sessions_are_removed_with_their_refresh_tokens")
class ExpiredSessionsAreRemovedAMomentTooLate(SessionsOfUser):
    def has_expired(self, expiring, now):
        return expiring.expires_at < now


@named_by("test_expired_refresh_tokens_of_a_live_session_are_removed")
class ExpiredRefreshTokensStayWithTheirSession(SessionsOfUser):
    def has_expired(self, expiring, now):
        return isinstance(expiring, Session) and super().has_expired(expiring, now)


@named_by("test_a_refresh_token_is_read_as_it_was_stored")
class UsesOfRefreshTokensAreForgotten(TokensOfUser):
    async def put(self, token):
        await super().put(replace(token, used_at=None))


@named_by("test_a_refresh_token_takes_the_place_of_its_earlier_state")
class TheFirstStateOfARefreshTokenStays(TokensOfUser):
    async def put(self, token):
        if token.token_hash not in self.account.tokens or token.session_id not in self.account.sessions:
            await super().put(token)


@named_by("test_a_refresh_token_needs_a_session_of_the_user", histories=True)
class RefreshTokensOfMissingSessionsAreIgnored(TokensOfUser):
    async def put(self, token):
        if token.session_id in self.account.sessions:
            await super().put(token)


# API keys


@named_by("test_an_api_key_is_read_as_it_was_stored")
class NamesOfKeysAreCut(Keys):
    def as_read(self, api_key):
        return replace(api_key, name=api_key.name[:50])


@named_by("test_an_api_key_is_read_as_it_was_stored", histories=True)
class EveryKeyHasAllScopes(Keys):
    def as_read(self, api_key):
        return replace(api_key, scopes=ALL_SCOPES)


@named_by("test_an_api_key_is_found_with_the_present_state_of_its_user")
class KeysRememberTheirUsers(StoreThatRemembersUsers):
    class Remembering(Keys):
        async def find_by_hash(self, key_hash):
            found = await super().find_by_hash(key_hash)
            return found and (self.store.first_states[found[0].id], found[1])

    api_key_reader = Remembering


@named_by("test_an_unknown_id_finds_no_api_key")
class AnUnknownKeyIsAnError(Keys):
    async def find(self, api_key_id):
        found = await super().find(api_key_id)
        if found is None:
            raise ApiKeyNotFound(api_key_id)
        return found


@named_by("test_an_unknown_hash_finds_no_api_key")
class AnUnknownHashFindsAKey(Keys):
    async def find_by_hash(self, key_hash):
        found = await super().find_by_hash(key_hash)
        return found or next(
            (
                (self.store.users[user_id], each)
                for user_id, own in self.store.api_keys.items()
                for each in own.values()
            ),
            None,
        )


@named_by("test_an_api_key_is_found_also_where_it_has_expired")
class AnExpiredKeyIsNotFound(Keys):
    async def find_by_hash(self, key_hash):
        found = await super().find_by_hash(key_hash)
        return found if found and found[1].is_live(now=found[1].created_at) else None


@named_by("test_api_keys_are_listed_oldest_first")
class KeysAreListedByName(Keys):
    def listed(self, user_id):
        return sorted(super().listed(user_id), key=lambda api_key: api_key.name)


@named_by("test_only_api_keys_of_the_user_are_listed", histories=True)
class KeysOfAllUsersAreListed(Keys):
    def listed(self, user_id):
        return [each for own in self.store.api_keys.values() for each in own.values()]


@named_by("test_a_page_of_api_keys_has_the_total_of_the_whole_list")
class TheTotalOfKeysCountsThePage(Keys):
    async def list(self, *, user_id, skip, limit):
        page = await super().list(user_id=user_id, skip=skip, limit=limit)
        return replace(page, total=len(page.items))


@named_by("test_an_integer_that_is_no_user_has_no_api_keys")
class ListingKeysOfNobodyIsAnError(Keys):
    def listed(self, user_id):
        user_id.to_bytes(8, signed=True)
        return super().listed(user_id)


@named_by("test_a_new_api_key_was_created_at_the_given_time_and_never_used")
class NewKeysWereUsedAtOnce(KeysOfUser):
    async def add(self, content, *, prefix, key_hash, at):
        api_key = await super().add(content, prefix=prefix, key_hash=key_hash, at=at)
        self.account.api_keys[api_key.id] = api_key.used(at=at)
        return self.account.api_keys[api_key.id]


@named_by("test_a_new_api_keys_id_is_greater_than_every_earlier_one", histories=True)
class IdsOfRevokedKeysAreGivenAgain(KeysOfUser):
    def new_id(self):
        return max((each for own in self.account.store.api_keys.values() for each in own), default=0) + 1


@named_by("test_several_api_keys_may_have_one_name_and_beginning")
class KeysAreKeptByTheirBeginning(KeysOfUser):
    async def add(self, content, *, prefix, key_hash, at):
        for other in list(self.account.api_keys.values()):
            if (other.name, other.prefix) == (content.name, prefix):
                del self.account.api_keys[other.id]
        return await super().add(content, prefix=prefix, key_hash=key_hash, at=at)


@named_by("test_a_replaced_api_key_is_read_as_it_was_stored")
class UsesOfKeysAreForgotten(KeysOfUser):
    async def replace(self, api_key):
        await super().replace(replace(api_key, last_used_at=None))


@named_by("test_an_api_key_of_another_user_cannot_be_replaced")
class AKeyChangesItsUser(KeysOfUser):
    async def replace(self, api_key):
        await super().replace(replace(api_key, user_id=self.account.user.id))


@named_by("test_a_block_reads_no_api_key_of_another_user")
class ABlockReadsAnybodysKey(KeysOfUser):
    async def get(self, api_key_id):
        for user_id, own in self.account.store.api_keys.items():
            if api_key_id in own and user_id != self.account.user.id:
                return own[api_key_id]
        return await super().get(api_key_id)


@named_by("test_a_block_sees_its_own_api_keys_and_readers_do_not")
class ABlockCountsTheKeysBeforeIt(KeysOfUser):
    async def count_live(self, *, now):
        before = self.account.store.api_keys.get(self.account.user.id, {})
        return sum(api_key.is_live(now=now) for api_key in before.values())


@named_by("test_a_block_may_catch_that_an_api_key_does_not_exist")
class AMissingKeySpoilsABlock(KeysOfUser):
    async def get(self, api_key_id):
        self.account.has_failed |= api_key_id not in self.account.api_keys
        return await super().get(api_key_id)


@named_by("test_an_exception_rolls_the_api_keys_of_a_block_back", histories=True)
class KeysAreNotRolledBack(PlainAccountStore):
    def repository_of(self, user_id):
        repository = super().repository_of(user_id)
        repository.api_keys = self.api_keys.setdefault(user_id, {})
        return repository


@named_by("test_a_removed_api_key_is_not_found")
class RevokedKeysAreFound(PlainAccountStore):
    class Lasting(Keys):
        async def find_by_hash(self, key_hash):
            return await super().find_by_hash(key_hash) or self.store.ever_added.get(key_hash)

        async def find(self, api_key_id):
            found = await super().find(api_key_id)
            for user, api_key in self.store.ever_added.values():
                if found is None and api_key.id == api_key_id and user.id in self.store.users:
                    return api_key
            return found

    api_key_reader = Lasting

    def __init__(self):
        super().__init__()
        self.ever_added = {}

    def keep(self, repository):
        super().keep(repository)
        self.ever_added |= {each.key_hash: (repository.user, each) for each in repository.api_keys.values()}


@named_by("test_an_api_key_of_another_user_cannot_be_removed")
class AnybodysKeyIsRemoved(KeysOfUser):
    async def remove(self, api_key_id):
        for user_id, own in self.account.store.api_keys.items():
            if api_key_id in own and user_id != self.account.user.id:
                del own[api_key_id]
                return
        await super().remove(api_key_id)


@named_by("test_live_api_keys_are_counted")
class KeysThatNeverExpireAreNotCounted(KeysOfUser):
    async def count_live(self, *, now):
        expiring = [api_key for api_key in self.account.api_keys.values() if api_key.expires_at is not None]
        return sum(api_key.is_live(now=now) for api_key in expiring)


@named_by("test_expired_api_keys_are_removed")
class KeysThatNeverExpireAreRemoved(KeysOfUser):
    async def remove_expired(self, *, before):
        for api_key in list(self.account.api_keys.values()):
            if api_key.expires_at is None:
                del self.account.api_keys[api_key.id]
        await super().remove_expired(before=before)


def contract_of(store: type[PlainAccountStore]) -> type[AccountStoreContract]:
    """The kit for this store, with short timeouts for broken stores: they use no disk, and hang rather than wait."""

    class Contract(AccountStoreContract):
        a_while = 0.02
        # Hypothesis takes constants from the source, so that every edit tries other examples. A fault ends the search.
        histories = AccountStoreContract.histories if store is PlainAccountStore else 60
        # The tests need a failing history, not the shortest one.
        shrinking = 0
        many_blocks = AccountStoreContract.many_blocks if issubclass(store, StoreWithConnections) else 2
        patience = AccountStoreContract.patience if store is PlainAccountStore else 0.2

        @pytest.fixture
        def open_store(self) -> OpenAccountStore:
            @asynccontextmanager
            async def opened() -> AsyncIterator[AccountStore]:
                yield store()

            return opened

    return Contract


TestPlainAccountStore = contract_of(PlainAccountStore)
globals().update({f"Test{name}": contract_of(fault.adapter) for name, fault in FAULTS.items()})
