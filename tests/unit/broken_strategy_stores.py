"""Stores of strategies with one fault each. A test of the kit has to find each fault.

pytest collects this file only on request: see `test_conformance_kit.py`.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar, overload

import pytest
from faults import Fault

from tradingagents_conformance import OpenStrategyStore, StrategyStoreContract
from tradingagents_core.domain.page import Page
from tradingagents_core.domain.parameters import Parameters
from tradingagents_core.domain.strategies import Strategy, StrategyContent
from tradingagents_core.errors import BlockFailed, NestedBlock, StrategyNameTaken, StrategyNotFound, TradingAgentsError
from tradingagents_core.ports import (
    Blocks,
    StrategyReader,
    StrategyRepository,
    StrategyStore,
    StrategyView,
    StrategyWork,
    shielded,
)


class Reader(StrategyReader):
    def __init__(self, store: "PlainStrategyStore") -> None:
        self.store = store

    async def get(self, *, owner_id: int, strategy_id: int) -> Strategy:
        strategy = self.store.owners.get(owner_id, {}).get(strategy_id)
        if strategy is None:
            raise StrategyNotFound(strategy_id)
        return self.as_read(strategy)

    async def list(self, *, owner_id: int, skip: int, limit: int, active_only: bool) -> Page[Strategy]:
        listed = self.listed(owner_id, active_only=active_only)
        items = [self.as_read(strategy) for strategy in listed[skip : skip + limit]]
        return Page(items=items, total=len(listed), skip=skip, limit=limit)

    def listed(self, owner_id: int, *, active_only: bool) -> Sequence[Strategy]:
        owned = self.store.owners.get(owner_id, {}).values()
        return [strategy for strategy in owned if strategy.is_active or not active_only]

    def as_read(self, strategy: Strategy) -> Strategy:
        return strategy


class Repository(StrategyRepository):
    def __init__(self, store: "PlainStrategyStore", owner_id: int) -> None:
        self.store = store
        self.owner_id = owner_id
        self.owned = dict(store.owners.get(owner_id, {}))
        self.has_failed = False

    async def get(self, strategy_id: int) -> Strategy:
        if strategy_id not in self.owned:
            raise StrategyNotFound(strategy_id)
        return self.owned[strategy_id]

    async def list(self, *, skip: int, limit: int, active_only: bool) -> Page[Strategy]:
        listed = [strategy for strategy in self.owned.values() if strategy.is_active or not active_only]
        return Page(items=listed[skip : skip + limit], total=len(listed), skip=skip, limit=limit)

    async def add(self, content: StrategyContent, *, at: datetime) -> Strategy:
        self.take_name(content.name, strategy_id=None)
        strategy = Strategy.created(content, id=self.new_id(), owner_id=self.owner_id, at=at)
        self.owned[strategy.id] = strategy
        return strategy

    async def replace(self, strategy: Strategy) -> None:
        if strategy.owner_id != self.owner_id or strategy.id not in self.owned:
            raise StrategyNotFound(strategy.id)
        self.take_name(strategy.name, strategy_id=strategy.id)
        self.owned[strategy.id] = strategy

    async def remove(self, strategy_id: int) -> None:
        if strategy_id not in self.owned:
            raise StrategyNotFound(strategy_id)
        del self.owned[strategy_id]

    async def remove_all(self) -> None:
        self.owned.clear()

    def check(self) -> None:
        """Refuse to commit a block that has caught a refusal."""
        if self.has_failed:
            raise BlockFailed

    def take_name(self, name: str, *, strategy_id: int | None) -> None:
        try:
            self.check_name(name, strategy_id=strategy_id)
        except StrategyNameTaken:
            self.has_failed = True
            raise

    def check_name(self, name: str, *, strategy_id: int | None) -> None:
        if any(other.name == name and other.id != strategy_id for other in self.owned.values()):
            raise StrategyNameTaken(name)

    def new_id(self) -> int:
        self.store.last_id += 1
        return self.store.last_id


class PlainStrategyStore(StrategyStore):
    """A store without faults: a dictionary for each owner. A block changes a copy of it."""

    reader: type[Reader] = Reader
    repository: type[Repository] = Repository

    def __init__(self) -> None:
        self.owners: dict[int, dict[int, Strategy]] = {}
        self.rows: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.last_id = 0
        self.blocks = Blocks()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[StrategyView]:
        yield StrategyView(self.reader(self))

    @asynccontextmanager
    async def write(self, owner_id: int) -> AsyncIterator[StrategyWork]:
        with self.blocks.entered():
            async with self.block(owner_id) as repository:
                yield StrategyWork(owner_id, repository)

    @asynccontextmanager
    async def block(self, owner_id: int) -> AsyncIterator[Repository]:
        """A writing block. It need not check whether the block is nested."""
        async with self.rows[owner_id]:
            repository = self.repository(self, owner_id)
            yield repository
            repository.check()
            self.keep(repository)

    def keep(self, repository: Repository) -> None:
        self.owners[repository.owner_id] = repository.owned


FAULTS: dict[str, Fault] = {}
"""Every broken store, by the name of its fault."""


def named_by(test: str, *, histories: bool = False) -> Callable[[type[Any]], type[Any]]:
    """Note a reader, a repository or a store with a fault, and the test that has to fail."""

    def note(broken: type[Any]) -> type[Any]:
        store = broken
        if issubclass(broken, Reader):
            store = type(broken.__name__, (PlainStrategyStore,), {"reader": broken})
        elif issubclass(broken, Repository):
            store = type(broken.__name__, (PlainStrategyStore,), {"repository": broken})
        FAULTS[broken.__name__] = Fault(store, test, histories)
        return broken

    return note


# Order and pages


@named_by("test_strategies_are_listed_oldest_first")
class StrategiesAreListedNewestFirst(Reader):
    def listed(self, owner_id, *, active_only):
        return super().listed(owner_id, active_only=active_only)[::-1]


@named_by("test_strategies_are_listed_oldest_first")
class StrategiesAreListedByName(Reader):
    def listed(self, owner_id, *, active_only):
        return sorted(super().listed(owner_id, active_only=active_only), key=lambda strategy: strategy.name)


@named_by("test_a_change_does_not_move_a_strategy_in_the_list")
class StrategiesAreListedByTheirLastChange(Repository):
    async def replace(self, strategy):
        await super().replace(strategy)
        self.owned[strategy.id] = self.owned.pop(strategy.id)


@named_by("test_a_page_holds_at_most_limit_strategies_after_the_first_skip")
class PagesSkipOneTooMany(Reader):
    async def list(self, *, owner_id, skip, limit, active_only):
        page = await super().list(owner_id=owner_id, skip=skip + 1 if skip else 0, limit=limit, active_only=active_only)
        return replace(page, skip=skip)


@named_by("test_a_page_holds_at_most_limit_strategies_after_the_first_skip")
class PagesHoldOneTooMany(Reader):
    async def list(self, *, owner_id, skip, limit, active_only):
        page = await super().list(owner_id=owner_id, skip=skip, limit=limit + 1, active_only=active_only)
        return replace(page, limit=limit)


@named_by("test_a_page_holds_at_most_limit_strategies_after_the_first_skip")
class PagesAreCountedNotTheirItems(Reader):
    async def list(self, *, owner_id, skip, limit, active_only):
        page = await super().list(owner_id=owner_id, skip=skip * limit, limit=limit, active_only=active_only)
        return replace(page, skip=skip)


@named_by("test_the_total_counts_what_the_list_holds_under_its_filter", histories=True)
class TheTotalIgnoresTheFilter(Reader):
    async def list(self, *, owner_id, skip, limit, active_only):
        page = await super().list(owner_id=owner_id, skip=skip, limit=limit, active_only=active_only)
        return replace(page, total=len(self.listed(owner_id, active_only=False)))


@named_by("test_the_total_counts_what_the_list_holds_under_its_filter")
class TheTotalCountsThePageOnly(Reader):
    async def list(self, *, owner_id, skip, limit, active_only):
        page = await super().list(owner_id=owner_id, skip=skip, limit=limit, active_only=active_only)
        return replace(page, total=len(page.items))


@named_by("test_the_total_follows_every_change", histories=True)
class ActiveOnesAreCountedWhenTheyAreAdded(Reader):
    async def list(self, *, owner_id, skip, limit, active_only):
        page = await super().list(owner_id=owner_id, skip=skip, limit=limit, active_only=active_only)
        seen = vars(self.store).setdefault("seen", {})
        for strategy in self.listed(owner_id, active_only=False):
            seen.setdefault(strategy.id, strategy.is_active)
        counted = [strategy for strategy in self.listed(owner_id, active_only=False) if seen[strategy.id]]
        return replace(page, total=len(counted)) if active_only else page


@named_by("test_strategies_of_other_owners_are_not_counted")
class TheTotalCountsEverybodys(Reader):
    async def list(self, *, owner_id, skip, limit, active_only):
        page = await super().list(owner_id=owner_id, skip=skip, limit=limit, active_only=active_only)
        return replace(page, total=sum(len(owned) for owned in self.store.owners.values()))


@named_by("test_strategies_of_other_owners_are_not_listed")
class EverybodysStrategiesAreListed(Reader):
    def listed(self, owner_id, *, active_only):
        every = [strategy for owned in self.store.owners.values() for strategy in owned.values()]
        return [strategy for strategy in every if strategy.is_active or not active_only]


@named_by("test_the_total_counts_what_the_list_holds_under_its_filter")
class ActiveOnlyIsIgnored(Reader):
    def listed(self, owner_id, *, active_only):
        return super().listed(owner_id, active_only=False)


@named_by("test_items_and_total_are_of_the_same_moment")
class ItemsAndTotalAreOfTwoMoments(Reader):
    async def list(self, *, owner_id, skip, limit, active_only):
        total = len(self.listed(owner_id, active_only=active_only))
        await asyncio.sleep(0)
        page = await super().list(owner_id=owner_id, skip=skip, limit=limit, active_only=active_only)
        return replace(page, total=total)


# What is read


def unchecked(strategy: Strategy, **changes: Any) -> Strategy:
    """This strategy with changes that the domain would refuse or correct."""
    values = {field.name: getattr(strategy, field.name) for field in fields(strategy)}
    return Strategy.from_store(**values | changes)


@named_by("test_times_come_back_aware_and_in_utc")
class TimesLoseTheirZone(Reader):
    def as_read(self, strategy):
        return unchecked(strategy, updated_at=strategy.updated_at.replace(tzinfo=None))


@named_by("test_times_come_back_aware_and_in_utc")
class TimesComeBackInAnotherZone(Reader):
    def as_read(self, strategy):
        return unchecked(strategy, created_at=strategy.created_at.astimezone(timezone(timedelta(hours=1))))


@named_by("test_microseconds_come_back")
class MicrosecondsAreLost(Reader):
    def as_read(self, strategy):
        return replace(strategy, created_at=strategy.created_at.replace(microsecond=0))


@named_by("test_the_order_of_keys_comes_back")
class KeysAreSorted(Reader):
    def as_read(self, strategy):
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
class WholeFloatsBecomeIntegers(Reader):
    def as_read(self, strategy):
        return replace(strategy, parameters=Parameters(_rounded(strategy.parameters.to_dict())))


@named_by("test_a_block_reads_a_strategy_as_it_was_stored", histories=True)
class WholeFloatsBecomeIntegersInABlock(Repository):
    async def get(self, strategy_id):
        strategy = await super().get(strategy_id)
        return replace(strategy, parameters=Parameters(_rounded(strategy.parameters.to_dict())))


@named_by("test_a_strategy_is_read_as_it_was_stored")
class TruthIsKeptAsANumber(Reader):
    def as_read(self, strategy):
        return unchecked(strategy, is_active=int(strategy.is_active))


@named_by("test_a_strategy_is_read_as_it_was_stored")
class NoDescriptionBecomesAnEmptyOne(Reader):
    def as_read(self, strategy):
        return replace(strategy, description=strategy.description or "")


@named_by("test_a_strategy_is_read_as_it_was_stored")
class AnEmptyDescriptionBecomesNone(Reader):
    def as_read(self, strategy):
        return replace(strategy, description=strategy.description or None)


@named_by("test_a_strategy_is_read_as_it_was_stored")
class NamesAreTrimmed(Reader):
    def as_read(self, strategy):
        return replace(strategy, name=strategy.name.strip())


class LiveStrategies(Sequence[Strategy]):
    """The strategies at the time of each access."""

    def __init__(self, now: Callable[[], Sequence[Strategy]]) -> None:
        self.now = now

    @overload
    def __getitem__(self, index: int) -> Strategy: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Strategy]: ...
    def __getitem__(self, index):
        return self.now()[index]

    def __len__(self) -> int:
        return len(self.now())

    def __iter__(self) -> Iterator[Strategy]:
        return iter(self.now())


@named_by("test_a_list_that_was_read_does_not_change")
class APageIsAlive(Reader):
    async def list(self, *, owner_id, skip, limit, active_only):
        page = await super().list(owner_id=owner_id, skip=skip, limit=limit, active_only=active_only)
        items = LiveStrategies(lambda: self.listed(owner_id, active_only=active_only)[skip : skip + limit])
        return replace(page, items=items)


@named_by("test_a_list_that_was_read_does_not_change")
class OneListIsHandedToAll(Reader):
    handed_out: ClassVar[list[Strategy]] = []

    async def list(self, *, owner_id, skip, limit, active_only):
        page = await super().list(owner_id=owner_id, skip=skip, limit=limit, active_only=active_only)
        self.handed_out[:] = page.items
        return replace(page, items=self.handed_out)


# Which strategy is asked for


@named_by("test_another_owners_strategy_is_not_found", histories=True)
class AnybodyReadsAStrategy(Reader):
    async def get(self, *, owner_id, strategy_id):
        for owned in self.store.owners.values():
            if strategy_id in owned:
                return owned[strategy_id]
        raise StrategyNotFound(strategy_id)


@named_by("test_an_unknown_id_finds_no_strategy")
class TheWrongStrategyIsNotFound(Reader):
    async def get(self, *, owner_id, strategy_id):
        try:
            return await super().get(owner_id=owner_id, strategy_id=strategy_id)
        except StrategyNotFound:
            raise StrategyNotFound(owner_id) from None


@named_by("test_an_unknown_owner_has_no_strategy")
class OwnersMustFitInto64BitsToBeRead(Reader):
    async def get(self, *, owner_id, strategy_id):
        owner_id.to_bytes(8, signed=True)
        return await super().get(owner_id=owner_id, strategy_id=strategy_id)


@named_by("test_an_unknown_owner_has_an_empty_list")
class OwnersMustBePositiveToBeListed(Reader):
    async def list(self, *, owner_id, skip, limit, active_only):
        if owner_id < 1:
            raise StrategyNotFound(0)
        return await super().list(owner_id=owner_id, skip=skip, limit=limit, active_only=active_only)


@named_by("test_a_block_finds_no_strategy_by_an_unknown_id")
class IdsMustFitInto64BitsInABlock(Repository):
    async def get(self, strategy_id):
        strategy_id.to_bytes(8, signed=True)
        return await super().get(strategy_id)


@named_by("test_a_block_does_not_find_another_owners_strategy", histories=True)
class ABlockFindsAnybodysStrategy(Repository):
    async def get(self, strategy_id):
        for owned in (self.owned, *self.store.owners.values()):
            if strategy_id in owned:
                return owned[strategy_id]
        raise StrategyNotFound(strategy_id)


@named_by("test_a_block_does_not_find_a_strategy_that_it_has_removed")
class ABlockFindsWhatItHasRemoved(Repository):
    async def get(self, strategy_id):
        try:
            return await super().get(strategy_id)
        except StrategyNotFound:
            return await Reader(self.store).get(owner_id=self.owner_id, strategy_id=strategy_id)


# Owners


@named_by("test_an_owner_exists_as_soon_as_it_owns_something")
class OwnersAreKeptIn32Bits(PlainStrategyStore):
    def keep(self, repository):
        self.owners[repository.owner_id % 2**32] = repository.owned


@named_by("test_a_block_that_adds_nothing_leaves_no_trace_of_a_new_owner")
class AnOwnerWithARowOwnsSomething(Reader):
    async def list(self, *, owner_id, skip, limit, active_only):
        page = await super().list(owner_id=owner_id, skip=skip, limit=limit, active_only=active_only)
        return replace(page, total=max(page.total, int(owner_id in self.store.owners)))


@named_by("test_a_block_that_refuses_leaves_no_trace_of_a_new_owner", histories=True)
class CountsAreNotRolledBack(PlainStrategyStore):
    class Counting(Repository):
        async def add(self, content, *, at):
            added = await super().add(content, at=at)
            self.store.added[self.owner_id] += 1
            return added

        async def remove(self, strategy_id):
            await super().remove(strategy_id)
            self.store.added[self.owner_id] -= 1

    class Counted(Reader):
        async def list(self, *, owner_id, skip, limit, active_only):
            page = await super().list(owner_id=owner_id, skip=skip, limit=limit, active_only=active_only)
            return page if active_only else replace(page, total=self.store.added[owner_id])

    reader, repository = Counted, Counting

    def __init__(self):
        super().__init__()
        self.added = defaultdict(int)


@named_by("test_blocks_wait_for_the_first_block_of_an_owner", histories=True)
class OnlyOwnersThatOwnSomethingAreLocked(PlainStrategyStore):
    @asynccontextmanager
    async def block(self, owner_id):
        if owner_id in self.owners:
            async with super().block(owner_id) as work:
                yield work
        else:
            repository = self.repository(self, owner_id)
            yield repository
            repository.check()
            self.keep(repository)


@named_by("test_first_blocks_of_an_owner_at_once_are_all_kept")
class OfTwoFirstBlocksOneIsRefused(PlainStrategyStore):
    @asynccontextmanager
    async def block(self, owner_id):
        is_new = owner_id not in self.owners
        async with super().block(owner_id) as work:
            if is_new and owner_id in self.owners:
                raise KeyError(owner_id)
            yield work


@named_by("test_owners_wait_for_each_other_only_where_there_is_one_writer")
class OwnersWaitForEachOther(PlainStrategyStore):
    def __init__(self):
        super().__init__()
        lock = asyncio.Lock()
        self.rows = defaultdict(lambda: lock)


# Names and ids of strategies


@named_by("test_a_name_belongs_to_one_strategy_of_an_owner")
class NamesAreNotUnique(Repository):
    def check_name(self, name, *, strategy_id):
        pass


@named_by("test_two_owners_may_use_one_name")
class NamesAreUniqueAmongAllOwners(Repository):
    def check_name(self, name, *, strategy_id):
        super().check_name(name, strategy_id=strategy_id)
        others = [owned for owner_id, owned in self.store.owners.items() if owner_id != self.owner_id]
        if any(other.name == name for owned in others for other in owned.values()):
            raise StrategyNameTaken(name)


@named_by("test_a_strategy_may_take_the_name_that_another_owner_uses")
class ChangedNamesAreUniqueAmongAllOwners(NamesAreUniqueAmongAllOwners):
    def check_name(self, name, *, strategy_id):
        if strategy_id is None:
            Repository.check_name(self, name, strategy_id=strategy_id)
        else:
            super().check_name(name, strategy_id=strategy_id)


@named_by("test_names_are_compared_character_by_character")
class NamesAreComparedWithoutCase(Repository):
    def check_name(self, name, *, strategy_id):
        for other in self.owned.values():
            if other.name.casefold() == name.casefold() and other.id != strategy_id:
                raise StrategyNameTaken(name)


@named_by("test_a_strategy_cannot_take_the_name_of_another", histories=True)
class NamesAreCheckedForNewStrategiesOnly(Repository):
    def check_name(self, name, *, strategy_id):
        if strategy_id is None:
            super().check_name(name, strategy_id=strategy_id)


@named_by("test_a_strategy_keeps_its_own_name")
class AStrategyIsInTheWayOfItsOwnName(Repository):
    def check_name(self, name, *, strategy_id):
        super().check_name(name, strategy_id=None)


@named_by("test_a_former_name_is_free")
class NamesThatWereGivenUpStayTaken(Repository):
    def __init__(self, store, owner_id):
        super().__init__(store, owner_id)
        self.given_up = set()

    async def replace(self, strategy):
        before = self.owned.get(strategy.id, strategy)
        await super().replace(strategy)
        self.given_up.add(before.name)

    def check_name(self, name, *, strategy_id):
        super().check_name(name, strategy_id=strategy_id)
        if strategy_id is None and name in self.given_up:
            raise StrategyNameTaken(name)


@named_by("test_a_removed_strategys_name_is_free_again", histories=True)
class RemovedNamesStayTaken(Repository):
    async def remove(self, strategy_id):
        strategy = self.owned.get(strategy_id)
        await super().remove(strategy_id)
        vars(self.store).setdefault("removed", set()).add((self.owner_id, strategy.name))

    def check_name(self, name, *, strategy_id):
        super().check_name(name, strategy_id=strategy_id)
        if (self.owner_id, name) in vars(self.store).get("removed", set()):
            raise StrategyNameTaken(name)


@named_by("test_a_removed_strategys_id_is_never_given_again", histories=True)
class IdsOfRemovedStrategiesAreGivenAgain(Repository):
    def new_id(self):
        return max([0, *self.owned, *[key for owned in self.store.owners.values() for key in owned]]) + 1


@named_by("test_a_new_strategys_id_is_greater_than_every_earlier_one_of_its_owner")
class EachOwnerHasIdsOfItsOwn(Repository):
    def new_id(self):
        last_ids = vars(self.store).setdefault("last_ids", defaultdict(int))
        last_ids[self.owner_id] += 1
        return last_ids[self.owner_id]


@named_by("test_a_new_strategys_id_is_greater_than_every_earlier_one_of_its_owner", histories=True)
class IdsGoDown(Repository):
    def new_id(self):
        return 1000 - super().new_id()


# Changing strategies


@named_by("test_replacing_a_strategy_that_does_not_exist_creates_none")
class ReplacingCreatesAStrategy(Repository):
    async def replace(self, strategy):
        self.check_name(strategy.name, strategy_id=strategy.id)
        self.owned.setdefault(strategy.id, replace(strategy, owner_id=self.owner_id))
        await super().replace(strategy)


@named_by("test_all_strategies_of_an_owner_are_removed_at_once", histories=True)
class OneStrategyIsRemovedInsteadOfAll(Repository):
    async def remove_all(self):
        if self.owned:
            del self.owned[next(iter(self.owned))]


@named_by("test_all_strategies_of_an_owner_are_removed_at_once", histories=True)
class TheStrategiesOfAllOwnersAreRemoved(Repository):
    async def remove_all(self):
        await super().remove_all()
        self.store.owners.clear()


@named_by("test_the_names_of_strategies_that_were_removed_at_once_are_free_again", histories=True)
class NamesThatWereRemovedAtOnceStayTaken(Repository):
    async def remove_all(self):
        names = {strategy.name for strategy in self.owned.values()}
        vars(self.store).setdefault("removed", {}).setdefault(self.owner_id, set()).update(names)
        await super().remove_all()

    def check_name(self, name, *, strategy_id):
        super().check_name(name, strategy_id=strategy_id)
        if name in vars(self.store).get("removed", {}).get(self.owner_id, ()):
            raise StrategyNameTaken(name)


@named_by("test_the_ids_of_strategies_that_were_removed_at_once_are_never_given_again", histories=True)
class IdsBeginAnewAfterAllWereRemoved(Repository):
    async def remove_all(self):
        await super().remove_all()
        self.store.last_id = 0


@named_by("test_an_owner_without_strategies_has_none_to_remove", histories=True)
class AnOwnerWithoutStrategiesCannotRemoveAll(Repository):
    async def remove_all(self):
        if not self.owned:
            raise StrategyNotFound(0)
        await super().remove_all()


@named_by("test_replacing_a_strategy_that_was_removed_creates_none")
class ReplacingBringsBackARemovedStrategy(Repository):
    async def remove(self, strategy_id):
        await super().remove(strategy_id)
        vars(self.store).setdefault("removed", set()).add(strategy_id)

    async def replace(self, strategy):
        if strategy.id in vars(self.store).get("removed", set()):
            self.owned.setdefault(strategy.id, strategy)
        await super().replace(strategy)


@named_by("test_another_owners_strategy_cannot_be_replaced", histories=True)
class AnybodyReplacesAStrategy(Repository):
    async def replace(self, strategy):
        for owned in self.store.owners.values():
            if strategy.id in owned and owned is not self.owned and strategy.id not in self.owned:
                owned[strategy.id] = replace(strategy, owner_id=owned[strategy.id].owner_id)
                return
        await super().replace(strategy)


@named_by("test_a_strategy_cannot_be_given_to_another_owner", histories=True)
class TheOwnerThatAStrategySaysIsIgnored(Repository):
    async def replace(self, strategy):
        await super().replace(replace(strategy, owner_id=self.owner_id))


@named_by("test_another_owners_strategy_cannot_be_removed")
class AnybodyRemovesAStrategy(Repository):
    async def remove(self, strategy_id):
        for owned in (self.owned, *self.store.owners.values()):
            if owned.pop(strategy_id, None) is not None:
                return
        raise StrategyNotFound(strategy_id)


@named_by("test_a_strategy_is_removed_once")
class RemovingNothingIsNoError(Repository):
    async def remove(self, strategy_id):
        self.owned.pop(strategy_id, None)


@named_by("test_a_strategy_that_does_not_exist_cannot_be_removed")
class IdsMustFitInto64BitsToBeRemoved(Repository):
    async def remove(self, strategy_id):
        strategy_id.to_bytes(8, signed=True)
        await super().remove(strategy_id)


@named_by("test_a_removed_strategy_is_not_found")
class RemovingOnlySwitchesOff(Repository):
    async def remove(self, strategy_id):
        self.owned[strategy_id] = replace(await self.get(strategy_id), is_active=False)


@named_by("test_a_replaced_strategy_is_read_as_it_was_stored")
class TheTimeOfAChangeIsNotStored(Repository):
    async def replace(self, strategy):
        before = self.owned.get(strategy.id, strategy)
        await super().replace(replace(strategy, updated_at=before.updated_at))


@named_by("test_a_new_strategy_is_created_and_updated_at_the_given_time")
class TheTimeOfAStrategyIsThatOfTheFirst(Repository):
    async def add(self, content, *, at):
        at = vars(self.store).setdefault("first_at", datetime(2020, 1, 1, tzinfo=at.tzinfo))
        return await super().add(content, at=at)


# Blocks


@named_by("test_a_block_sees_its_own_changes", histories=True)
class ABlockReadsWhatWasThereBefore(Repository):
    async def get(self, strategy_id):
        return await Reader(self.store).get(owner_id=self.owner_id, strategy_id=strategy_id)


@named_by("test_a_block_commits_all_its_changes", histories=True)
class OneNewStrategyOfABlockIsKept(PlainStrategyStore):
    def keep(self, repository):
        new = [key for key in repository.owned if key not in self.owners.get(repository.owner_id, {})]
        for strategy_id in new[1:]:
            del repository.owned[strategy_id]
        super().keep(repository)


@named_by("test_an_exception_rolls_a_block_back", histories=True)
class NothingIsRolledBack(PlainStrategyStore):
    @asynccontextmanager
    async def block(self, owner_id):
        async with self.rows[owner_id]:
            repository = self.repository(self, owner_id)
            try:
                yield repository
            finally:
                self.keep(repository)


@named_by("test_a_refusal_rolls_a_block_back", histories=True)
class ARefusedBlockKeepsItsFirstChanges(PlainStrategyStore):
    @asynccontextmanager
    async def block(self, owner_id):
        async with self.rows[owner_id]:
            repository = self.repository(self, owner_id)
            try:
                yield repository
            except TradingAgentsError:
                self.keep(repository)
                raise
            repository.check()
            self.keep(repository)


@named_by("test_a_reading_block_does_not_see_uncommitted_changes", histories=True)
class ReadersSeeWhatIsNotCommitted(PlainStrategyStore):
    @asynccontextmanager
    async def block(self, owner_id):
        async with self.rows[owner_id]:
            before = self.owners.get(owner_id, {})
            repository = self.repository(self, owner_id)
            self.keep(repository)
            try:
                yield repository
            except BaseException:
                self.owners[owner_id] = before
                raise


@named_by("test_a_reading_block_makes_no_writer_wait")
class ReadersHoldUpWriters(PlainStrategyStore):
    def __init__(self):
        super().__init__()
        self.reading = asyncio.Lock()

    @asynccontextmanager
    async def read(self):
        async with self.reading, super().read() as view:
            yield view

    @asynccontextmanager
    async def block(self, owner_id):
        async with self.reading:
            pass
        async with super().block(owner_id) as work:
            yield work


@named_by("test_no_change_is_lost_between_overlapping_blocks", histories=True)
class NothingIsLocked(PlainStrategyStore):
    @asynccontextmanager
    async def block(self, owner_id):
        repository = self.repository(self, owner_id)
        yield repository
        repository.check()
        self.keep(repository)


@named_by("test_a_reading_block_sees_nothing_of_a_block_that_fails")
class AFailedBlockIsRolledBackSomeTimeLater(PlainStrategyStore):
    @asynccontextmanager
    async def block(self, owner_id):
        async with self.rows[owner_id]:
            before = self.owners.get(owner_id, {})
            repository = self.repository(self, owner_id)
            try:
                yield repository
            except BaseException:
                self.keep(repository)
                asyncio.get_running_loop().call_later(60, self.owners.update, {owner_id: before})
                raise
            repository.check()
            self.keep(repository)


@named_by("test_blocks_of_one_owner_wait_for_each_other")
class TheLockIsTakenAtTheEnd(PlainStrategyStore):
    @asynccontextmanager
    async def block(self, owner_id):
        repository = self.repository(self, owner_id)
        yield repository
        async with self.rows[owner_id]:
            self.keep(repository)


@named_by("test_no_change_is_lost_between_overlapping_blocks")
class TheLockEndsBeforeTheBlock(PlainStrategyStore):
    @asynccontextmanager
    async def block(self, owner_id):
        async with self.rows[owner_id]:
            repository = self.repository(self, owner_id)
            yield repository
        await asyncio.sleep(0)
        self.keep(repository)


@named_by("test_one_of_several_overlapping_blocks_gets_the_name")
class NamesAreCheckedAgainstWhatWasThereAtFirst(Repository):
    async def add(self, content, *, at):
        first = vars(self.store).setdefault("first", dict(self.owned))
        self.check_name(content.name, strategy_id=None) if first else None
        strategy = Strategy.created(content, id=self.new_id(), owner_id=self.owner_id, at=at)
        self.owned[strategy.id] = strategy
        return strategy


@named_by("test_a_cancelled_caller_leaves_a_block_whole_or_undone_and_nothing_locked", histories=True)
class ACancelledBlockStaysLocked(PlainStrategyStore):
    @asynccontextmanager
    async def block(self, owner_id):
        row = self.rows[owner_id]
        await row.acquire()
        repository = self.repository(self, owner_id)
        await asyncio.sleep(0)
        try:
            yield repository
            repository.check()
        except Exception:
            row.release()
            raise
        self.keep(repository)
        row.release()


@named_by("test_many_cancelled_callers_leave_nothing_open")
class ConnectionsOfCancelledCallersAreLost(PlainStrategyStore):
    def __init__(self):
        super().__init__()
        self.connections = asyncio.Semaphore(20)

    @asynccontextmanager
    async def block(self, owner_id):
        await self.connections.acquire()
        await asyncio.sleep(0)
        try:
            async with super().block(owner_id) as work:
                yield work
        finally:
            self.connections.release()


@named_by("test_a_block_cancelled_between_its_changes_is_rolled_back", histories=True)
class ACancelledBlockIsHalfKept(PlainStrategyStore):
    @asynccontextmanager
    async def block(self, owner_id):
        async with self.rows[owner_id]:
            repository = self.repository(self, owner_id)
            try:
                yield repository
            except asyncio.CancelledError:
                self.keep(repository)
                raise
            repository.check()
            self.keep(repository)


@named_by("test_a_cancelled_caller_leaves_a_block_whole_or_undone_and_nothing_locked", histories=True)
class ACancelledCommitIsHalfDone(PlainStrategyStore):
    @asynccontextmanager
    async def block(self, owner_id):
        async with self.rows[owner_id]:
            repository = self.repository(self, owner_id)
            yield repository
            for strategy_id, strategy in repository.owned.items():
                self.owners.setdefault(owner_id, {})[strategy_id] = strategy
                # Long enough for random histories to find the fault, whatever examples they try.
                for _ in range(10):
                    await asyncio.sleep(0)
            self.keep(repository)


@named_by("test_a_block_cancelled_while_it_waits_leaves_nothing_locked")
class ACancelledBlockKeepsItsPlaceInTheQueue(PlainStrategyStore):
    def __init__(self):
        super().__init__()
        self.places = 0
        self.turn = 0
        self.next = asyncio.Condition()

    @asynccontextmanager
    async def block(self, owner_id):
        place, self.places = self.places, self.places + 1
        async with self.next:
            await self.next.wait_for(lambda: self.turn == place)
        try:
            repository = self.repository(self, owner_id)
            yield repository
            repository.check()
            self.keep(repository)
        finally:
            self.turn += 1
            async with self.next:
                self.next.notify_all()


@named_by("test_a_block_lists_its_own_changes", histories=True)
class ABlockListsWhatWasThereBefore(Repository):
    async def list(self, *, skip, limit, active_only):
        reader = Reader(self.store)
        return await reader.list(owner_id=self.owner_id, skip=skip, limit=limit, active_only=active_only)


@named_by("test_a_page_in_a_block_holds_at_most_limit_strategies_after_the_first_skip")
class PagesInABlockIgnoreTheirLimit(Repository):
    async def list(self, *, skip, limit, active_only):
        page = await super().list(skip=skip, limit=1000, active_only=active_only)
        return replace(page, limit=limit)


@named_by("test_the_total_in_a_block_counts_what_the_list_holds_under_its_filter", histories=True)
class TheTotalInABlockIgnoresTheFilter(Repository):
    async def list(self, *, skip, limit, active_only):
        page = await super().list(skip=skip, limit=limit, active_only=active_only)
        return replace(page, total=len(self.owned))


@named_by("test_a_block_lists_no_strategy_of_another_owner")
class EverybodysStrategiesAreListedInABlock(Repository):
    async def list(self, *, skip, limit, active_only):
        every = [strategy for owned in self.store.owners.values() for strategy in owned.values()]
        listed = sorted({each.id: each for each in every} | self.owned)
        return Page(items=[self.owned.get(each) or every[0] for each in listed], total=len(listed), skip=0, limit=limit)


@named_by("test_a_block_says_whose_it_is")
class ABlockSaysNothingOfItsOwner(PlainStrategyStore):
    @asynccontextmanager
    async def write(self, owner_id):
        async with super().write(owner_id) as work:
            yield replace(work, owner_id=0)


@named_by("test_a_nested_block_is_refused_and_spoils_nothing")
class NestedBlocksWait(PlainStrategyStore):
    @asynccontextmanager
    async def write(self, owner_id):
        async with self.block(owner_id) as repository:
            yield StrategyWork(owner_id, repository)


@named_by("test_a_nested_block_is_refused_and_spoils_nothing")
class NestedBlocksOfOtherOwnersAreOpened(PlainStrategyStore):
    def __init__(self):
        super().__init__()
        self.blocks_of = defaultdict(Blocks)

    @asynccontextmanager
    async def write(self, owner_id):
        with self.blocks_of[owner_id].entered():
            async with self.block(owner_id) as repository:
                yield StrategyWork(owner_id, repository)


@named_by("test_a_nested_block_is_refused_and_spoils_nothing")
class ANestedBlockSpoilsTheOuterOne(PlainStrategyStore):
    def __init__(self):
        super().__init__()
        self.spoilt = False

    @asynccontextmanager
    async def write(self, owner_id):
        try:
            async with super().write(owner_id) as work:
                yield work
        except NestedBlock:
            self.spoilt = True
            raise

    def keep(self, repository):
        if not self.spoilt:
            super().keep(repository)
        self.spoilt = False


@named_by("test_a_block_of_another_task_is_no_nested_block")
class ATaskInheritsTheBlockOfItsCreator(PlainStrategyStore):
    def __init__(self):
        super().__init__()
        self.has_block = ContextVar("has_block", default=False)

    @asynccontextmanager
    async def write(self, owner_id):
        if self.has_block.get():
            raise NestedBlock
        self.has_block.set(True)
        try:
            async with super().write(owner_id) as work:
                yield work
        finally:
            self.has_block.set(False)


@named_by("test_a_task_may_open_one_block_after_another", histories=True)
class ABlockThatFailsStaysOpen(PlainStrategyStore):
    @asynccontextmanager
    async def write(self, owner_id):
        leave = self.blocks.enter()
        async with self.block(owner_id) as repository:
            yield StrategyWork(owner_id, repository)
        leave()


@named_by("test_a_block_that_catches_a_refused_change_keeps_nothing", histories=True)
class ACaughtRefusalIsForgotten(Repository):
    def check(self):
        pass


@named_by("test_a_block_that_catches_a_refused_change_keeps_nothing")
class ACaughtRefusalRollsBackInSilence(PlainStrategyStore):
    @asynccontextmanager
    async def write(self, owner_id):
        with suppress(BlockFailed):
            async with super().write(owner_id) as work:
                yield work


@named_by("test_a_block_may_catch_that_a_strategy_does_not_exist", histories=True)
class EveryErrorSpoilsABlock(Repository):
    async def get(self, strategy_id):
        self.has_failed |= strategy_id not in self.owned
        return await super().get(strategy_id)


@named_by("test_ids_grow_also_after_a_block_that_was_rolled_back")
class ARollbackResetsTheIds(PlainStrategyStore):
    @asynccontextmanager
    async def block(self, owner_id):
        try:
            async with super().block(owner_id) as repository:
                yield repository
        except BaseException:
            self.last_id = max([0, *[key for owned in self.owners.values() for key in owned]])
            raise


@named_by("test_a_cancelled_caller_waits_until_its_commit_has_ended")
class ACancelledCommitGoesOnByItself(PlainStrategyStore):
    @asynccontextmanager
    async def block(self, owner_id):
        async with self.rows[owner_id]:
            repository = self.repository(self, owner_id)
            yield repository
            repository.check()
            await asyncio.shield(self.commit(repository))

    async def commit(self, repository):
        for _ in range(20):
            await asyncio.sleep(0)
        self.keep(repository)


class StoreWithConnections(PlainStrategyStore):
    """A store whose reading and writing blocks take a connection from a pool. The connections are counted only."""

    def __init__(self):
        super().__init__()
        self.connections = asyncio.Semaphore(100)


@named_by("test_many_refused_reads_leave_nothing_open")
class ConnectionsOfRefusedReadsAreLost(StoreWithConnections):
    @asynccontextmanager
    async def read(self):
        await self.connections.acquire()
        try:
            async with super().read() as view:
                yield view
        except StrategyNotFound:
            raise
        except BaseException:
            self.connections.release()
            raise
        self.connections.release()


@named_by("test_many_refused_reads_at_once_leave_nothing_open")
class ConnectionsOfReadsRefusedAtOnceAreLost(StoreWithConnections):
    def __init__(self):
        super().__init__()
        self.reading = 0
        self.crowded = False

    @asynccontextmanager
    async def read(self):
        await self.connections.acquire()
        self.reading += 1
        self.crowded |= self.reading > 1
        try:
            async with super().read() as view:
                await asyncio.sleep(0)
                yield view
        finally:
            self.reading -= 1
            if not self.crowded:
                self.connections.release()


@named_by("test_many_reading_blocks_that_fail_leave_nothing_open")
class ConnectionsOfFailedReadersAreLost(StoreWithConnections):
    @asynccontextmanager
    async def read(self):
        await self.connections.acquire()
        try:
            async with super().read() as view:
                yield view
        except TradingAgentsError:
            self.connections.release()
            raise
        self.connections.release()


@named_by("test_many_refused_writing_blocks_leave_nothing_open")
class ConnectionsOfRefusedWritersAreLost(StoreWithConnections):
    @asynccontextmanager
    async def block(self, owner_id):
        await self.connections.acquire()
        async with super().block(owner_id) as work:
            yield work
        self.connections.release()


# Stores without a fault that do what the port allows and few stores do


class UnlocksBeforeTheCallerNotices(PlainStrategyStore):
    """A cancellation or a refusal rolls back and unlocks the row some time before it arrives in the block."""

    class Unlocking(Repository):
        async def add(self, content, *, at):
            return await self.rolling_back(super().add(content, at=at))

        async def replace(self, strategy):
            return await self.rolling_back(super().replace(strategy))

        async def remove(self, strategy_id):
            return await self.rolling_back(super().remove(strategy_id))

        async def rolling_back(self, call):
            try:
                await asyncio.sleep(0)
                return await call
            except StrategyNotFound:
                raise
            except (asyncio.CancelledError, TradingAgentsError):
                call.close()
                self.row.release()
                self.is_locked = False
                await shielded(asyncio.sleep(0.001))
                raise

    repository = Unlocking

    @asynccontextmanager
    async def block(self, owner_id):
        row = self.rows[owner_id]
        await row.acquire()
        repository = self.repository(self, owner_id)
        repository.row, repository.is_locked = row, True
        try:
            yield repository
            repository.check()
            self.keep(repository)
        finally:
            if repository.is_locked:
                row.release()


class CommitsSlowly(PlainStrategyStore):
    """A commit takes many turns of the event loop, and is shielded."""

    @asynccontextmanager
    async def block(self, owner_id):
        async with self.rows[owner_id]:
            repository = self.repository(self, owner_id)
            yield repository
            repository.check()
            await shielded(self.commit(repository))

    async def commit(self, repository):
        for _ in range(20):
            await asyncio.sleep(0)
        self.keep(repository)


CORRECT = (PlainStrategyStore, UnlocksBeforeTheCallerNotices, CommitsSlowly)


def contract_of(store: type[PlainStrategyStore]) -> type[StrategyStoreContract]:
    """The kit for this store, with short timeouts for broken stores: they use no disk, and hang rather than wait."""

    class Contract(StrategyStoreContract):
        a_while = 0.02
        # Hypothesis takes constants from the source, so that every edit tries other examples. A fault ends the search.
        histories = StrategyStoreContract.histories if store in CORRECT else 60
        # The tests need a failing history, not the shortest one.
        shrinking = 0
        many_blocks = StrategyStoreContract.many_blocks if issubclass(store, StoreWithConnections) else 2
        patience = StrategyStoreContract.patience if store in CORRECT else 0.2

        @pytest.fixture
        def open_store(self) -> OpenStrategyStore:
            @asynccontextmanager
            async def opened() -> AsyncIterator[StrategyStore]:
                yield store()

            return opened

    return Contract


globals().update({f"Test{store.__name__}": contract_of(store) for store in CORRECT})
globals().update({f"Test{name}": contract_of(fault.adapter) for name, fault in FAULTS.items()})
