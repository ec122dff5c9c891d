"""Strategies. Callers read and change only their own."""

from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol, Self, TypeVar

from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.page import PAGE_LIMIT_DEFAULT, Page, check_page
from tradingagents_core.domain.plain_types import instance_of, plain_bool, plain_int
from tradingagents_core.domain.scopes import STRATEGIES_READ, STRATEGIES_WRITE
from tradingagents_core.domain.strategies import Strategy, StrategyChanges, StrategyContent, checked_changes
from tradingagents_core.errors import BlockOfAnotherOwner
from tradingagents_core.ports import Clock, StrategyReader, StrategyStore, StrategyView, StrategyWork


@dataclass(frozen=True, slots=True, kw_only=True)
class ListStrategies:
    """Read a page of the caller's strategies, oldest first.

    Raises:
        InvalidInput: an argument has another type than declared, `skip` is negative, or `limit` is not between 1 and
            `PAGE_LIMIT_MAX`.
        InsufficientScope: the credential of the caller does not allow this.
        StoreUnavailable: the store is unavailable or busy.
    """

    store: StrategyStore

    async def __call__(
        self, *, caller: Caller, skip: int = 0, limit: int = PAGE_LIMIT_DEFAULT, active_only: bool = False
    ) -> Page[Strategy]:
        owner_id = _owner_id(caller, STRATEGIES_READ)
        skip, limit = check_page(skip, limit)
        active_only = plain_bool("active_only", active_only)
        async with self.store.read() as view:
            return await view.strategies.list(owner_id=owner_id, skip=skip, limit=limit, active_only=active_only)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateStrategy:
    """Store a new strategy for the caller.

    Raises:
        InvalidInput: an argument has another type than declared.
        InsufficientScope: the credential of the caller does not allow this.
        StrategyNameTaken: the caller has a strategy with this name.
        StoreUnavailable: the store is unavailable or busy; the strategy may or may not have been stored.
    """

    store: StrategyStore
    clock: Clock

    async def __call__(self, *, caller: Caller, content: StrategyContent) -> Strategy:
        owner_id = _owner_id(caller, STRATEGIES_WRITE)
        content = instance_of(StrategyContent, "content", content)
        async with self.store.write(owner_id) as work:
            return await work.strategies.add(content, at=self.clock())


@dataclass(frozen=True, slots=True, kw_only=True)
class GetStrategy:
    """Read one of the caller's strategies.

    Raises:
        InvalidInput: an argument has another type than declared.
        InsufficientScope: the credential of the caller does not allow this.
        StrategyNotFound: the caller has no strategy with this id.
        StoreUnavailable: the store is unavailable or busy.
    """

    store: StrategyStore

    async def __call__(self, *, caller: Caller, strategy_id: int) -> Strategy:
        owner_id = _owner_id(caller, STRATEGIES_READ)
        strategy_id = plain_int("strategy_id", strategy_id)
        async with self.store.read() as view:
            return await view.strategies.get(owner_id=owner_id, strategy_id=strategy_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateStrategy:
    """Change the given fields of a strategy and keep the others. If no value differs, nothing is stored.

    Raises:
        InvalidInput: an argument has another type than declared, or a change breaks a rule of the domain.
        InsufficientScope: the credential of the caller does not allow this.
        TypeError: a change is not a field of `StrategyChanges`, such as the owner.
        StrategyNotFound: the caller has no strategy with this id.
        StrategyNameTaken: the caller has another strategy with the new name.
        StoreUnavailable: the store is unavailable or busy; the change may or may not have been stored.
    """

    store: StrategyStore
    clock: Clock

    async def __call__(self, *, caller: Caller, strategy_id: int, changes: StrategyChanges) -> Strategy:
        owner_id = _owner_id(caller, STRATEGIES_WRITE)
        strategy_id = plain_int("strategy_id", strategy_id)
        changes = checked_changes(changes)
        async with self.store.write(owner_id) as work:
            strategy = await work.strategies.get(strategy_id)
            changed = strategy.changed(at=self.clock(), **changes)
            if changed is not strategy:
                await work.strategies.replace(changed)
        return changed


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteStrategy:
    """Remove one of the caller's strategies for good.

    Raises:
        InvalidInput: an argument has another type than declared.
        InsufficientScope: the credential of the caller does not allow this.
        StrategyNotFound: the caller has no strategy with this id.
        StoreUnavailable: the store is unavailable or busy; the strategy may or may not have been removed.
    """

    store: StrategyStore

    async def __call__(self, *, caller: Caller, strategy_id: int) -> None:
        owner_id = _owner_id(caller, STRATEGIES_WRITE)
        strategy_id = plain_int("strategy_id", strategy_id)
        async with self.store.write(owner_id) as work:
            await work.strategies.remove(strategy_id)


def _owner_id(caller: Caller, scope: str) -> int:
    """The owner for whom this caller works, who needs the scope."""
    instance_of(Caller, "caller", caller).check_scope(scope)
    return caller.user_id


class _StoreWithin(StrategyStore):
    """The store of use cases within an open writing block: each block of a use case is that block."""

    def __init__(self, work: StrategyWork) -> None:
        self._work = work
        self._view = StrategyView(_ReaderWithin(work))

    def read(self) -> AbstractAsyncContextManager[StrategyView]:
        return nullcontext(self._view)

    def write(self, owner_id: int) -> AbstractAsyncContextManager[StrategyWork]:
        _check_owner(owner_id, self._work)
        return nullcontext(self._work)


class _ReaderWithin(StrategyReader):
    def __init__(self, work: StrategyWork) -> None:
        self._work = work

    async def get(self, *, owner_id: int, strategy_id: int) -> Strategy:
        _check_owner(owner_id, self._work)
        return await self._work.strategies.get(strategy_id)

    async def list(self, *, owner_id: int, skip: int, limit: int, active_only: bool) -> Page[Strategy]:
        _check_owner(owner_id, self._work)
        return await self._work.strategies.list(skip=skip, limit=limit, active_only=active_only)


CallT = TypeVar("CallT")


def _over(store: StrategyStore, use_case: CallT) -> CallT:
    """This use case over another store; another function as it is."""
    match use_case:
        case ListStrategies() | CreateStrategy() | GetStrategy() | UpdateStrategy() | DeleteStrategy():
            return replace(use_case, store=store)
        case _:
            return use_case


def _check_owner(owner_id: int, work: StrategyWork) -> None:
    if owner_id != work.owner_id:
        raise BlockOfAnotherOwner(work.owner_id)


class ListStrategiesCall(Protocol):
    """How `ListStrategies` is called."""

    async def __call__(
        self, *, caller: Caller, skip: int = 0, limit: int = PAGE_LIMIT_DEFAULT, active_only: bool = False
    ) -> Page[Strategy]: ...


class CreateStrategyCall(Protocol):
    """How `CreateStrategy` is called."""

    async def __call__(self, *, caller: Caller, content: StrategyContent) -> Strategy: ...


class GetStrategyCall(Protocol):
    """How `GetStrategy` is called."""

    async def __call__(self, *, caller: Caller, strategy_id: int) -> Strategy: ...


class UpdateStrategyCall(Protocol):
    """How `UpdateStrategy` is called."""

    async def __call__(self, *, caller: Caller, strategy_id: int, changes: StrategyChanges) -> Strategy: ...


class DeleteStrategyCall(Protocol):
    """How `DeleteStrategy` is called."""

    async def __call__(self, *, caller: Caller, strategy_id: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyUseCases:
    """What callers do with their strategies. Each field can be another function with the same parameters."""

    list: ListStrategiesCall
    create: CreateStrategyCall
    get: GetStrategyCall
    update: UpdateStrategyCall
    delete: DeleteStrategyCall
    store: StrategyStore
    """The store of these use cases. Its blocks are for several use cases in one transaction (`within`)."""

    def within(self, work: StrategyWork) -> Self:
        """These use cases within an open writing block: what they change is committed or rolled back with the block.

        Callers are the owner of the block, whose changes in the block they read. A function of yours in the place of a
        use case stays as it is.

        Raises:
            BlockOfAnotherOwner: a use case is called for another owner than that of the block.
            BlockEnded: a use case is called after the end of the block.
        """
        store = _StoreWithin(work)
        return replace(
            self,
            list=_over(store, self.list),
            create=_over(store, self.create),
            get=_over(store, self.get),
            update=_over(store, self.update),
            delete=_over(store, self.delete),
            store=store,
        )

    @classmethod
    def over(cls, *, store: StrategyStore, clock: Clock) -> Self:
        """The use cases over these adapters."""
        return cls(
            list=ListStrategies(store=store),
            create=CreateStrategy(store=store, clock=clock),
            get=GetStrategy(store=store),
            update=UpdateStrategy(store=store, clock=clock),
            delete=DeleteStrategy(store=store),
            store=store,
        )
