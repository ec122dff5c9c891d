"""Strategies. Callers read and change only their own."""

from dataclasses import dataclass
from typing import Protocol, Self

from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.page import PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, Page
from tradingagents_core.domain.strategies import Strategy, StrategyChanges, StrategyContent
from tradingagents_core.errors import InvalidInput
from tradingagents_core.ports import Clock, StrategyStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ListStrategies:
    """Read a page of the caller's strategies, oldest first.

    Raises:
        InvalidInput: `skip` is negative, or `limit` is not between 1 and `PAGE_LIMIT_MAX`.
        StoreUnavailable: the store is unavailable or busy.
    """

    store: StrategyStore

    async def __call__(
        self, *, caller: Caller, skip: int = 0, limit: int = PAGE_LIMIT_DEFAULT, active_only: bool = False
    ) -> Page[Strategy]:
        if skip < 0:
            raise InvalidInput(field="skip", rule="greater_than_equal", message="should be 0 or more")
        if not 1 <= limit <= PAGE_LIMIT_MAX:
            raise InvalidInput(field="limit", rule="range", message=f"should be 1 to {PAGE_LIMIT_MAX}")
        async with self.store.read() as view:
            return await view.strategies.list(owner_id=caller.user_id, skip=skip, limit=limit, active_only=active_only)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateStrategy:
    """Store a new strategy for the caller.

    Raises:
        StrategyNameTaken: the caller has a strategy with this name.
        StoreUnavailable: the store is unavailable or busy; the strategy may or may not have been stored.
    """

    store: StrategyStore
    clock: Clock

    async def __call__(self, *, caller: Caller, content: StrategyContent) -> Strategy:
        async with self.store.write(caller.user_id) as work:
            return await work.strategies.add(content, at=self.clock())


@dataclass(frozen=True, slots=True, kw_only=True)
class GetStrategy:
    """Read one of the caller's strategies.

    Raises:
        StrategyNotFound: the caller has no strategy with this id.
        StoreUnavailable: the store is unavailable or busy.
    """

    store: StrategyStore

    async def __call__(self, *, caller: Caller, strategy_id: int) -> Strategy:
        async with self.store.read() as view:
            return await view.strategies.get(owner_id=caller.user_id, strategy_id=strategy_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateStrategy:
    """Change the given fields of a strategy and keep the others. If no value differs, nothing is stored.

    Raises:
        StrategyNotFound: the caller has no strategy with this id.
        InvalidInput: a change breaks a rule of the domain.
        StrategyNameTaken: the caller has another strategy with the new name.
        StoreUnavailable: the store is unavailable or busy; the change may or may not have been stored.
    """

    store: StrategyStore
    clock: Clock

    async def __call__(self, *, caller: Caller, strategy_id: int, changes: StrategyChanges) -> Strategy:
        async with self.store.write(caller.user_id) as work:
            strategy = await work.strategies.get(strategy_id)
            changed = strategy.changed(at=self.clock(), **changes)
            if changed is not strategy:
                await work.strategies.replace(changed)
        return changed


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteStrategy:
    """Remove one of the caller's strategies for good.

    Raises:
        StrategyNotFound: the caller has no strategy with this id.
        StoreUnavailable: the store is unavailable or busy; the strategy may or may not have been removed.
    """

    store: StrategyStore

    async def __call__(self, *, caller: Caller, strategy_id: int) -> None:
        async with self.store.write(caller.user_id) as work:
            await work.strategies.remove(strategy_id)


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

    @classmethod
    def over(cls, *, store: StrategyStore, clock: Clock) -> Self:
        """The use cases over these adapters."""
        return cls(
            list=ListStrategies(store=store),
            create=CreateStrategy(store=store, clock=clock),
            get=GetStrategy(store=store),
            update=UpdateStrategy(store=store, clock=clock),
            delete=DeleteStrategy(store=store),
        )
