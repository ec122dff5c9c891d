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
from tradingagents_core.errors import BlockFailed, EmailTaken, NestedBlock, TradingAgentsError, UserNotFound
from tradingagents_core.ports import AccountStore, AccountView, AccountWork, Blocks, UserReader, UserRepository


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


class Repository(UserRepository):
    def __init__(self, store: "PlainAccountStore", user: User) -> None:
        self.store = store
        self.user = user
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

    def check(self) -> None:
        """Refuse to commit a block that has caught a refusal."""
        if self.has_failed:
            raise BlockFailed

    def check_id(self, user_id: int) -> None:
        if user_id != self.user.id:
            raise UserNotFound(user_id)


class PlainAccountStore(AccountStore):
    """A store without faults: a dictionary of users. A block changes one of them."""

    reader: type[Reader] = Reader
    repository: type[Repository] = Repository

    def __init__(self) -> None:
        self.users: dict[int, User] = {}
        self.last_id = 0
        self.writing = asyncio.Lock()
        self.blocks = Blocks()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AccountView]:
        yield AccountView(self.reader(self))

    @asynccontextmanager
    async def write(self, user_id: int) -> AsyncIterator[AccountWork]:
        with self.blocks.entered():
            async with self.block(user_id) as repository:
                yield AccountWork(repository)

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
        self.users[repository.user.id] = repository.user

    def check_email(self, email: str, *, user_id: int | None) -> None:
        if any(user.email == email and user.id != user_id for user in self.users.values()):
            raise EmailTaken(email)

    def new_id(self) -> int:
        self.last_id += 1
        return self.last_id


FAULTS: dict[str, Fault] = {}
"""Every broken store, by the name of its fault."""


def named_by(test: str, *, histories: bool = False) -> Callable[[type[Any]], type[Any]]:
    """Note a reader, a repository or a store with a fault, and the test that has to fail."""

    def note(broken: type[Any]) -> type[Any]:
        store = broken
        if issubclass(broken, Reader):
            store = type(broken.__name__, (PlainAccountStore,), {"reader": broken})
        elif issubclass(broken, Repository):
            store = type(broken.__name__, (PlainAccountStore,), {"repository": broken})
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
            yield AccountWork(repository)


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
            yield AccountWork(repository)
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
