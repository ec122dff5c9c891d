"""Stores with one fault each, and the test of the kit that has to name it.

pytest collects this file only when it is told to: see `test_conformance_kit.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar, overload

import pytest
from hypothesis import Phase, settings

from tradingagents_conformance import OpenStore, StoreContract
from tradingagents_core.domain.page import Page
from tradingagents_core.domain.parameters import Parameters
from tradingagents_core.domain.strategy import Strategy, StrategyContent
from tradingagents_core.domain.user import User
from tradingagents_core.errors import (
    EmailTaken,
    StrategyNameTaken,
    StrategyNotFound,
    TradingAgentsError,
    UserNotFound,
)
from tradingagents_core.ports import Store, StoreView, StoreWork


@dataclass
class Rows:
    users: dict[int, User] = field(default_factory=dict)
    strategies: dict[int, Strategy] = field(default_factory=dict)
    last_id: int = 0

    def copy(self) -> "Rows":
        return Rows(dict(self.users), dict(self.strategies), self.last_id)


class View(StoreView):
    def __init__(self, store: "PlainStore") -> None:
        self.store = store

    @property
    def rows(self) -> Rows:
        return self.store.rows

    async def find_user(self, user_id: int) -> User | None:
        user = self.rows.users.get(user_id)
        return user and self.read_user(user)

    async def find_user_by_email(self, email: str) -> User | None:
        return next((self.read_user(user) for user in self.rows.users.values() if user.email == email), None)

    async def list_users(self) -> Sequence[User]:
        return [self.read_user(user) for user in self.rows.users.values()]

    async def get_strategy(self, *, owner_id: int, strategy_id: int) -> Strategy:
        return self.read_strategy(self.owned(owner_id, strategy_id))

    async def list_strategies(self, *, owner_id: int, skip: int, limit: int, active_only: bool) -> Page[Strategy]:
        listed = self.listed(owner_id, active_only=active_only)
        items = [self.read_strategy(strategy) for strategy in listed[skip : skip + limit]]
        return Page(items=items, total=len(listed), skip=skip, limit=limit)

    def listed(self, owner_id: int, *, active_only: bool) -> list[Strategy]:
        owned = [strategy for strategy in self.rows.strategies.values() if strategy.owner_id == owner_id]
        return [strategy for strategy in owned if strategy.is_active or not active_only]

    def owned(self, owner_id: int, strategy_id: int) -> Strategy:
        strategy = self.rows.strategies.get(strategy_id)
        if strategy is None or strategy.owner_id != owner_id:
            raise StrategyNotFound(strategy_id)
        return strategy

    def read_user(self, user: User) -> User:
        return user

    def read_strategy(self, strategy: Strategy) -> Strategy:
        return strategy


class Work(View, StoreWork):
    def __init__(self, store: "PlainStore") -> None:
        super().__init__(store)
        self.changed = store.rows.copy()

    @property
    def rows(self) -> Rows:
        return self.changed

    def new_id(self) -> int:
        self.rows.last_id += 1
        return self.rows.last_id

    async def lock_user(self, user_id: int) -> None:
        if user_id not in self.rows.users:
            raise UserNotFound(user_id)

    async def add_user(self, *, email: str, password_hash: str, at: datetime) -> User:
        self.check_email(email, user_id=None)
        user = User(id=self.new_id(), email=email, password_hash=password_hash, created_at=at, updated_at=at)
        self.rows.users[user.id] = user
        return self.read_user(user)

    async def replace_user(self, user: User) -> None:
        await self.lock_user(user.id)
        self.check_email(user.email, user_id=user.id)
        self.rows.users[user.id] = user

    async def add_strategy(self, *, owner_id: int, content: StrategyContent, at: datetime) -> Strategy:
        await self.lock_user(owner_id)
        self.check_name(owner_id, content.name, strategy_id=None)
        strategy = Strategy.created(content, id=self.new_id(), owner_id=owner_id, at=at)
        self.rows.strategies[strategy.id] = strategy
        return self.read_strategy(strategy)

    async def replace_strategy(self, strategy: Strategy) -> None:
        self.owned(strategy.owner_id, strategy.id)
        self.check_name(strategy.owner_id, strategy.name, strategy_id=strategy.id)
        self.rows.strategies[strategy.id] = strategy

    async def remove_strategy(self, *, owner_id: int, strategy_id: int) -> None:
        self.owned(owner_id, strategy_id)
        del self.rows.strategies[strategy_id]

    def check_email(self, email: str, *, user_id: int | None) -> None:
        if any(user.email == email and user.id != user_id for user in self.rows.users.values()):
            raise EmailTaken(email)

    def check_name(self, owner_id: int, name: str, *, strategy_id: int | None) -> None:
        if any(other.name == name and other.id != strategy_id for other in self.listed(owner_id, active_only=False)):
            raise StrategyNameTaken(name)


class PlainStore(Store):
    """Dictionaries of which a block changes a copy: no fault."""

    view: type[View] = View
    work: type[Work] = Work

    def __init__(self) -> None:
        self.rows = Rows()
        self.lock = asyncio.Lock()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[StoreView]:
        yield self.view(self)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[StoreWork]:
        async with self.lock:
            work = self.work(self)
            yield work
            self.rows = work.rows


FAULTS: dict[str, "Fault"] = {}
"""Every broken store, by the name of its fault."""


@dataclass(frozen=True)
class Fault:
    store: type[PlainStore]
    named_by: str
    """The test of the kit that says what is broken."""
    tried_in_histories: bool


def named_by(test: str, *, histories: bool = False) -> Callable[[type[Any]], type[Any]]:
    """Make a store of a view, a work or a store that has a fault; random histories have to come upon some of them."""

    def note(broken: type[Any]) -> type[Any]:
        if issubclass(broken, Work):
            store = type(broken.__name__, (PlainStore,), {"work": broken})
        elif issubclass(broken, View):
            work = type(broken.__name__, (broken, Work), {})
            store = type(broken.__name__, (PlainStore,), {"view": broken, "work": work})
        else:
            store = broken
        FAULTS[broken.__name__] = Fault(store, test, histories)
        return broken

    return note


# Order and pages


@named_by("test_strategies_are_listed_oldest_first")
class StrategiesAreListedNewestFirst(View):
    def listed(self, owner_id, *, active_only):
        return super().listed(owner_id, active_only=active_only)[::-1]


@named_by("test_strategies_are_listed_oldest_first")
class StrategiesAreListedByName(View):
    def listed(self, owner_id, *, active_only):
        return sorted(super().listed(owner_id, active_only=active_only), key=lambda strategy: strategy.name)


@named_by("test_a_change_does_not_move_a_strategy_in_the_list")
class StrategiesAreListedByTheirLastChange(Work):
    async def replace_strategy(self, strategy):
        await super().replace_strategy(strategy)
        self.rows.strategies[strategy.id] = self.rows.strategies.pop(strategy.id)


@named_by("test_users_are_listed_oldest_first")
class UsersAreListedByEmail(View):
    async def list_users(self):
        return sorted(await super().list_users(), key=lambda user: user.email)


@named_by("test_a_page_holds_at_most_limit_strategies_after_the_first_skip")
class PagesSkipOneTooMany(View):
    async def list_strategies(self, *, owner_id, skip, limit, active_only):
        page = await super().list_strategies(
            owner_id=owner_id, skip=skip + 1 if skip else 0, limit=limit, active_only=active_only
        )
        return replace(page, skip=skip)


@named_by("test_a_page_holds_at_most_limit_strategies_after_the_first_skip")
class PagesHoldOneTooMany(View):
    async def list_strategies(self, *, owner_id, skip, limit, active_only):
        page = await super().list_strategies(owner_id=owner_id, skip=skip, limit=limit + 1, active_only=active_only)
        return replace(page, limit=limit)


@named_by("test_a_page_holds_at_most_limit_strategies_after_the_first_skip")
class PagesAreCountedNotTheirItems(View):
    async def list_strategies(self, *, owner_id, skip, limit, active_only):
        page = await super().list_strategies(owner_id=owner_id, skip=skip * limit, limit=limit, active_only=active_only)
        return replace(page, skip=skip)


@named_by("test_the_total_counts_what_the_list_holds_under_its_filter")
class TheTotalIgnoresTheFilter(View):
    async def list_strategies(self, *, owner_id, skip, limit, active_only):
        page = await super().list_strategies(owner_id=owner_id, skip=skip, limit=limit, active_only=active_only)
        return replace(page, total=len(self.listed(owner_id, active_only=False)))


@named_by("test_the_total_counts_what_the_list_holds_under_its_filter")
class TheTotalCountsThePageOnly(View):
    async def list_strategies(self, *, owner_id, skip, limit, active_only):
        page = await super().list_strategies(owner_id=owner_id, skip=skip, limit=limit, active_only=active_only)
        return replace(page, total=len(page.items))


@named_by("test_nobody_elses_strategies_are_counted")
class TheTotalCountsEverybodys(View):
    async def list_strategies(self, *, owner_id, skip, limit, active_only):
        page = await super().list_strategies(owner_id=owner_id, skip=skip, limit=limit, active_only=active_only)
        return replace(page, total=len(self.rows.strategies))


@named_by("test_nobody_elses_strategies_are_in_a_list")
class EverybodysStrategiesAreListed(View):
    def listed(self, owner_id, *, active_only):
        return [strategy for strategy in self.rows.strategies.values() if strategy.is_active or not active_only]


@named_by("test_the_total_counts_what_the_list_holds_under_its_filter")
class ActiveOnlyIsIgnored(View):
    def listed(self, owner_id, *, active_only):
        return super().listed(owner_id, active_only=False)


@named_by("test_items_and_total_are_of_the_same_moment")
class ItemsAndTotalAreOfTwoMoments(View):
    async def list_strategies(self, *, owner_id, skip, limit, active_only):
        total = len(self.listed(owner_id, active_only=active_only))
        await asyncio.sleep(0)
        page = await super().list_strategies(owner_id=owner_id, skip=skip, limit=limit, active_only=active_only)
        return replace(page, total=total)


# What is read


@named_by("test_times_come_back_aware_and_in_utc")
class TimesLoseTheirZone(View):
    def read_strategy(self, strategy):
        return replace(strategy, updated_at=strategy.updated_at.replace(tzinfo=None))


@named_by("test_times_come_back_aware_and_in_utc")
class TimesComeBackInAnotherZone(View):
    def read_user(self, user):
        return replace(user, created_at=user.created_at.astimezone(timezone(timedelta(hours=1))))


@named_by("test_microseconds_come_back")
class MicrosecondsAreLost(View):
    def read_strategy(self, strategy):
        return replace(strategy, created_at=strategy.created_at.replace(microsecond=0))


@named_by("test_microseconds_come_back")
class TimesAreKeptInMilliseconds(View):
    def read_user(self, user):
        return replace(user, updated_at=user.updated_at.replace(microsecond=user.updated_at.microsecond // 1000 * 1000))


@named_by("test_the_order_of_keys_comes_back")
class KeysAreSorted(View):
    def read_strategy(self, strategy):
        return replace(strategy, parameters=Parameters(dict(sorted(strategy.parameters.to_dict().items()))))


def _rounded(value):
    match value:
        case float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case list():
            return [_rounded(item) for item in value]
        case dict():
            return {key: _rounded(item) for key, item in value.items()}
        case _:
            return value


@named_by("test_a_strategy_is_read_as_it_was_stored", histories=True)
class WholeFloatsBecomeIntegers(View):
    def read_strategy(self, strategy):
        return replace(strategy, parameters=Parameters(_rounded(strategy.parameters.to_dict())))


@named_by("test_a_strategy_is_read_as_it_was_stored")
class TruthIsKeptAsANumber(View):
    def read_strategy(self, strategy):
        return replace(strategy, is_active=int(strategy.is_active))


@named_by("test_a_strategy_is_read_as_it_was_stored")
class NoDescriptionBecomesAnEmptyOne(View):
    def read_strategy(self, strategy):
        return replace(strategy, description=strategy.description or "")


@named_by("test_a_strategy_is_read_as_it_was_stored")
class AnEmptyDescriptionBecomesNone(View):
    def read_strategy(self, strategy):
        return replace(strategy, description=strategy.description or None)


@named_by("test_a_strategy_is_read_as_it_was_stored")
class NamesAreTrimmed(View):
    def read_strategy(self, strategy):
        return replace(strategy, name=strategy.name.strip())


class LiveUsers(Sequence[User]):
    """The users of the moment in which one looks."""

    def __init__(self, rows: Callable[[], Rows]) -> None:
        self.rows = rows

    @overload
    def __getitem__(self, index: int) -> User: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[User]: ...
    def __getitem__(self, index):
        return list(self.rows().users.values())[index]

    def __len__(self) -> int:
        return len(self.rows().users)

    def __iter__(self) -> Iterator[User]:
        return iter(list(self.rows().users.values()))


@named_by("test_what_has_been_read_stays_as_it_is")
class TheListOfUsersIsAlive(View):
    async def list_users(self):
        return LiveUsers(lambda: self.rows)


@named_by("test_what_has_been_read_stays_as_it_is")
class OneListOfUsersIsHandedToAll(View):
    handed_out: ClassVar[list[User]] = []

    async def list_users(self):
        self.handed_out[:] = await super().list_users()
        return self.handed_out


# Who is asked for


@named_by("test_another_owners_strategy_is_not_found", histories=True)
class AnybodyReadsAStrategy(View):
    async def get_strategy(self, *, owner_id, strategy_id):
        if strategy_id not in self.rows.strategies:
            raise StrategyNotFound(strategy_id)
        return self.rows.strategies[strategy_id]


@named_by("test_an_id_that_was_not_given_is_no_strategy")
class TheWrongStrategyIsNotFound(View):
    async def get_strategy(self, *, owner_id, strategy_id):
        try:
            return await super().get_strategy(owner_id=owner_id, strategy_id=strategy_id)
        except StrategyNotFound:
            raise StrategyNotFound(owner_id) from None


@named_by("test_nobody_has_an_id_that_was_not_given")
class NobodyIsAnError(View):
    async def find_user(self, user_id):
        if user_id not in self.rows.users:
            raise UserNotFound(user_id)
        return await super().find_user(user_id)


@named_by("test_nobody_has_an_id_that_was_not_given")
class IdsMustFitInto64Bits(View):
    async def find_user(self, user_id):
        user_id.to_bytes(8, signed=True)
        return await super().find_user(user_id)


@named_by("test_an_email_finds_nobody_where_there_is_none")
class AnUnknownEmailFindsTheFirstUser(View):
    async def find_user_by_email(self, email):
        for user in self.rows.users.values():
            if user.email == email:
                return user
        return next(iter(self.rows.users.values()), None)


@named_by("test_nobodys_row_cannot_be_taken")
class NobodysRowCanBeTaken(Work):
    async def lock_user(self, user_id):
        pass


@named_by("test_an_unknown_owner_gets_no_strategy")
class AnUnknownOwnerGetsAStrategy(Work):
    async def add_strategy(self, *, owner_id, content, at):
        self.rows.users.setdefault(
            owner_id, User(id=owner_id, email="?@?", password_hash="", created_at=at, updated_at=at)
        )
        return await super().add_strategy(owner_id=owner_id, content=content, at=at)


# Users


@named_by("test_ids_of_users_differ")
class UsersShareAnId(Work):
    async def add_user(self, *, email, password_hash, at):
        self.rows.last_id = 0
        return await super().add_user(email=email, password_hash=password_hash, at=at)


@named_by("test_an_email_belongs_to_one_user")
class EmailsAreNotUnique(Work):
    def check_email(self, email, *, user_id):
        pass


@named_by("test_a_user_cannot_take_the_email_of_another")
class EmailsAreCheckedForNewUsersOnly(Work):
    def check_email(self, email, *, user_id):
        if user_id is None:
            super().check_email(email, user_id=user_id)


@named_by("test_a_user_keeps_their_own_email")
class AUserIsInTheWayOfTheirOwnEmail(Work):
    def check_email(self, email, *, user_id):
        super().check_email(email, user_id=None)


@named_by("test_a_replaced_user_is_found_by_the_new_email_only")
class AUserIsFoundByAnOldEmail(View):
    def __init__(self, store):
        super().__init__(store)
        self.emails = vars(store).setdefault("emails", {})

    async def find_user_by_email(self, email):
        self.emails |= {user.email: user.id for user in self.rows.users.values()}
        return self.rows.users.get(self.emails.get(email))

    async def replace_user(self, user):
        self.emails |= {other.email: other.id for other in self.rows.users.values()}
        await super().replace_user(user)


@named_by("test_replacing_a_user_who_does_not_exist_creates_none")
class ReplacingCreatesAUser(Work):
    async def replace_user(self, user):
        self.check_email(user.email, user_id=user.id)
        self.rows.users[user.id] = user


@named_by("test_a_replaced_user_is_read_as_it_was_stored")
class AUsersFirstPasswordStays(Work):
    async def replace_user(self, user):
        before = await self.find_user(user.id)
        await super().replace_user(replace(user, password_hash=before.password_hash))


@named_by("test_a_new_user_is_active_and_created_and_updated_at_the_given_time")
class NewUsersAreInactive(Work):
    async def add_user(self, *, email, password_hash, at):
        user = await super().add_user(email=email, password_hash=password_hash, at=at)
        self.rows.users[user.id] = replace(user, is_active=False)
        return self.rows.users[user.id]


# Names and ids of strategies


@named_by("test_a_name_belongs_to_one_strategy_of_an_owner")
class NamesAreNotUnique(Work):
    def check_name(self, owner_id, name, *, strategy_id):
        pass


@named_by("test_two_owners_may_use_one_name")
class NamesAreUniqueAmongAllOwners(Work):
    def check_name(self, owner_id, name, *, strategy_id):
        if any(other.name == name and other.id != strategy_id for other in self.rows.strategies.values()):
            raise StrategyNameTaken(name)


@named_by("test_names_are_compared_character_by_character")
class NamesAreComparedWithoutCase(Work):
    def check_name(self, owner_id, name, *, strategy_id):
        for other in self.listed(owner_id, active_only=False):
            if other.name.casefold() == name.casefold() and other.id != strategy_id:
                raise StrategyNameTaken(name)


@named_by("test_a_strategy_cannot_take_the_name_of_another", histories=True)
class NamesAreCheckedForNewStrategiesOnly(Work):
    def check_name(self, owner_id, name, *, strategy_id):
        if strategy_id is None:
            super().check_name(owner_id, name, strategy_id=strategy_id)


@named_by("test_a_strategy_keeps_its_own_name")
class AStrategyIsInTheWayOfItsOwnName(Work):
    def check_name(self, owner_id, name, *, strategy_id):
        super().check_name(owner_id, name, strategy_id=None)


@named_by("test_a_removed_strategys_name_is_free_again", histories=True)
class RemovedNamesStayTaken(Work):
    async def remove_strategy(self, *, owner_id, strategy_id):
        strategy = self.owned(owner_id, strategy_id)
        await super().remove_strategy(owner_id=owner_id, strategy_id=strategy_id)
        vars(self.store).setdefault("removed", set()).add((owner_id, strategy.name))

    def check_name(self, owner_id, name, *, strategy_id):
        super().check_name(owner_id, name, strategy_id=strategy_id)
        if (owner_id, name) in vars(self.store).get("removed", set()):
            raise StrategyNameTaken(name)


@named_by("test_a_removed_strategys_id_is_never_given_again", histories=True)
class IdsOfRemovedStrategiesAreGivenAgain(Work):
    def new_id(self):
        return max([0, *self.rows.users, *self.rows.strategies]) + 1


# Changing strategies


@named_by("test_replacing_a_strategy_that_does_not_exist_creates_none")
class ReplacingCreatesAStrategy(Work):
    async def replace_strategy(self, strategy):
        self.check_name(strategy.owner_id, strategy.name, strategy_id=strategy.id)
        self.rows.strategies.setdefault(strategy.id, strategy)
        await super().replace_strategy(strategy)


@named_by("test_another_owners_strategy_cannot_be_replaced")
class AnybodyReplacesAStrategy(Work):
    async def replace_strategy(self, strategy):
        if strategy.id not in self.rows.strategies:
            raise StrategyNotFound(strategy.id)
        self.check_name(strategy.owner_id, strategy.name, strategy_id=strategy.id)
        self.rows.strategies[strategy.id] = strategy


@named_by("test_another_owners_strategy_cannot_be_removed")
class AnybodyRemovesAStrategy(Work):
    async def remove_strategy(self, *, owner_id, strategy_id):
        if self.rows.strategies.pop(strategy_id, None) is None:
            raise StrategyNotFound(strategy_id)


@named_by("test_a_strategy_is_removed_once")
class RemovingNothingIsNoError(Work):
    async def remove_strategy(self, *, owner_id, strategy_id):
        if strategy_id in self.rows.strategies:
            await super().remove_strategy(owner_id=owner_id, strategy_id=strategy_id)


@named_by("test_a_removed_strategy_is_not_found")
class RemovingOnlySwitchesOff(Work):
    async def remove_strategy(self, *, owner_id, strategy_id):
        self.rows.strategies[strategy_id] = replace(self.owned(owner_id, strategy_id), is_active=False)


@named_by("test_a_replaced_strategy_is_read_as_it_was_stored")
class TheTimeOfAChangeIsNotStored(Work):
    async def replace_strategy(self, strategy):
        before = self.owned(strategy.owner_id, strategy.id)
        await super().replace_strategy(replace(strategy, updated_at=before.updated_at))


@named_by("test_a_new_strategy_is_created_and_updated_at_the_given_time")
class TheTimeOfAStrategyIsThatOfItsOwner(Work):
    async def add_strategy(self, *, owner_id, content, at):
        at = self.rows.users[owner_id].created_at if owner_id in self.rows.users else at
        return await super().add_strategy(owner_id=owner_id, content=content, at=at)


# Blocks


@named_by("test_a_block_sees_its_own_changes_of_strategies", histories=True)
class ABlockReadsWhatWasThereBefore(Work):
    async def list_strategies(self, *, owner_id, skip, limit, active_only):
        return await View(self.store).list_strategies(
            owner_id=owner_id, skip=skip, limit=limit, active_only=active_only
        )


@named_by("test_a_block_sees_its_own_changes_of_users")
class ABlockFindsUsersWhoWereThereBefore(Work):
    async def find_user_by_email(self, email):
        return await View(self.store).find_user_by_email(email)


@named_by("test_nothing_in_a_block_is_kept_that_an_exception_leaves", histories=True)
class NothingIsRolledBack(PlainStore):
    @asynccontextmanager
    async def write(self):
        async with self.lock:
            work = self.work(self)
            try:
                yield work
            finally:
                self.rows = work.rows


@named_by("test_nothing_in_a_block_is_kept_that_a_refusal_leaves", histories=True)
class ARefusedBlockKeepsItsFirstChanges(PlainStore):
    @asynccontextmanager
    async def write(self):
        async with self.lock:
            work = self.work(self)
            try:
                yield work
            except TradingAgentsError:
                self.rows = work.rows
                raise
            self.rows = work.rows


@named_by("test_nothing_in_a_block_is_kept_that_an_exception_leaves")
class UsersAreNotRolledBack(PlainStore):
    @asynccontextmanager
    async def write(self):
        async with self.lock:
            work = self.work(self)
            try:
                yield work
            finally:
                self.rows = replace(self.rows, users=work.rows.users)
            self.rows = work.rows


@named_by("test_a_reading_block_does_not_see_what_is_not_committed", histories=True)
class ReadersSeeWhatIsNotCommitted(PlainStore):
    @asynccontextmanager
    async def write(self):
        async with self.lock:
            before = self.rows
            work = self.work(self)
            self.rows = work.rows
            try:
                yield work
            except BaseException:
                self.rows = before
                raise


@named_by("test_a_reading_block_makes_no_writer_wait")
class ReadersHoldUpWriters(PlainStore):
    @asynccontextmanager
    async def read(self):
        async with self.lock:
            yield self.view(self)


@named_by("test_no_change_is_lost_between_overlapping_blocks", histories=True)
class NothingIsLocked(PlainStore):
    @asynccontextmanager
    async def write(self):
        work = self.work(self)
        yield work
        self.rows = work.rows


@named_by("test_no_change_is_lost_between_overlapping_blocks")
class TheLockEndsBeforeTheBlock(PlainStore):
    @asynccontextmanager
    async def write(self):
        async with self.lock:
            work = self.work(self)
            yield work
        await asyncio.sleep(0)
        self.rows = work.rows


@named_by("test_a_cancelled_caller_leaves_a_block_whole_or_undone_and_nothing_locked", histories=True)
class ACancelledBlockStaysLocked(PlainStore):
    @asynccontextmanager
    async def write(self):
        await self.lock.acquire()
        work = self.work(self)
        await asyncio.sleep(0)
        try:
            yield work
        except Exception:
            self.lock.release()
            raise
        self.rows = work.rows
        self.lock.release()


@named_by("test_nothing_in_a_block_is_kept_that_is_cancelled_between_its_changes", histories=True)
class ACancelledBlockIsHalfKept(PlainStore):
    @asynccontextmanager
    async def write(self):
        async with self.lock:
            work = self.work(self)
            try:
                yield work
            except asyncio.CancelledError:
                self.rows = work.rows
                raise
            self.rows = work.rows


@named_by("test_a_cancelled_caller_leaves_a_block_whole_or_undone_and_nothing_locked", histories=True)
class ACancelledCommitIsHalfDone(PlainStore):
    @asynccontextmanager
    async def write(self):
        async with self.lock:
            work = self.work(self)
            yield work
            for strategy_id, strategy in work.rows.strategies.items():
                self.rows.strategies[strategy_id] = strategy
                # Long enough for random histories to come upon it, whatever examples they try.
                for _ in range(10):
                    await asyncio.sleep(0)
            self.rows = work.rows


@named_by("test_a_block_cancelled_while_it_waits_leaves_nothing_locked")
class ACancelledBlockKeepsItsPlaceInTheQueue(PlainStore):
    def __init__(self):
        super().__init__()
        self.places = 0
        self.turn = 0
        self.next = asyncio.Condition()

    @asynccontextmanager
    async def write(self):
        place, self.places = self.places, self.places + 1
        async with self.next:
            await self.next.wait_for(lambda: self.turn == place)
        try:
            work = self.work(self)
            yield work
            self.rows = work.rows
        finally:
            self.turn += 1
            async with self.next:
                self.next.notify_all()


# A history that fails is all that is wanted here, not the shortest one.
settings.register_profile("unshrunk", phases=[Phase.generate])


def contract_of(store: type[PlainStore]) -> type[StoreContract]:
    """The kit over this store, with little patience for the broken ones: they wait for no disk, only for good."""

    class Contract(StoreContract):
        a_while = 0.02
        histories = 15
        patience = StoreContract.patience if store is PlainStore else 0.2

        @pytest.fixture
        def open_store(self) -> OpenStore:
            @asynccontextmanager
            async def opened() -> AsyncIterator[Store]:
                yield store()

            return opened

        @pytest.fixture(autouse=True, scope="class")
        @classmethod
        def unshrunk(cls) -> None:
            settings.load_profile("unshrunk")

    return Contract


TestPlainStore = contract_of(PlainStore)
globals().update({f"Test{name}": contract_of(fault.store) for name, fault in FAULTS.items()})
