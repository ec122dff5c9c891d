"""What owners do with their strategies. Nobody reads or changes another's."""

from dataclasses import dataclass

from tradingagents_core.domain.page import PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, Page
from tradingagents_core.domain.strategy import Strategy, StrategyChanges, StrategyContent
from tradingagents_core.errors import InvalidInput
from tradingagents_core.ports import Clock, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class ListStrategies:
    """Read a page of the owner's strategies, oldest first.

    Raises:
        InvalidInput: `skip` is negative, or `limit` is not 1 to `PAGE_LIMIT_MAX`.
        StoreUnavailable: the store is away or busy.
    """

    store: Store

    async def __call__(
        self, *, owner_id: int, skip: int = 0, limit: int = PAGE_LIMIT_DEFAULT, active_only: bool = False
    ) -> Page[Strategy]:
        if skip < 0:
            raise InvalidInput(field="skip", rule="greater_than_equal", message="should be 0 or more")
        if not 1 <= limit <= PAGE_LIMIT_MAX:
            raise InvalidInput(field="limit", rule="range", message=f"should be 1 to {PAGE_LIMIT_MAX}")
        async with self.store.read() as view:
            return await view.list_strategies(owner_id=owner_id, skip=skip, limit=limit, active_only=active_only)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateStrategy:
    """Store a new strategy.

    Raises:
        StrategyNameTaken: the owner has one of this name.
        UserNotFound: the owner does not exist.
        StoreUnavailable: the store is away or busy; the strategy may have been stored or not.
    """

    store: Store
    clock: Clock

    async def __call__(self, *, owner_id: int, content: StrategyContent) -> Strategy:
        async with self.store.write() as work:
            await work.lock_user(owner_id)
            return await work.add_strategy(owner_id=owner_id, content=content, at=self.clock())


@dataclass(frozen=True, slots=True, kw_only=True)
class GetStrategy:
    """Read one of the owner's strategies.

    Raises:
        StrategyNotFound: the owner has none with this id.
        StoreUnavailable: the store is away or busy.
    """

    store: Store

    async def __call__(self, *, owner_id: int, strategy_id: int) -> Strategy:
        async with self.store.read() as view:
            return await view.get_strategy(owner_id=owner_id, strategy_id=strategy_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateStrategy:
    """Change the fields of a strategy that are sent and keep the rest; where nothing differs, it stays as it is.

    Raises:
        StrategyNotFound: the owner has none with this id.
        InvalidInput: a change breaks a rule of the domain.
        StrategyNameTaken: the owner has another one of the new name.
        UserNotFound: the owner does not exist.
        StoreUnavailable: the store is away or busy; the change may have been stored or not.
    """

    store: Store
    clock: Clock

    async def __call__(self, *, owner_id: int, strategy_id: int, changes: StrategyChanges) -> Strategy:
        async with self.store.write() as work:
            await work.lock_user(owner_id)
            strategy = await work.get_strategy(owner_id=owner_id, strategy_id=strategy_id)
            changed = strategy.changed(at=self.clock(), **changes)
            if changed is not strategy:
                await work.replace_strategy(changed)
        return changed


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteStrategy:
    """Remove a strategy for good.

    Raises:
        StrategyNotFound: the owner has none with this id.
        UserNotFound: the owner does not exist.
        StoreUnavailable: the store is away or busy; the strategy may have been removed or not.
    """

    store: Store

    async def __call__(self, *, owner_id: int, strategy_id: int) -> None:
        async with self.store.write() as work:
            await work.lock_user(owner_id)
            await work.remove_strategy(owner_id=owner_id, strategy_id=strategy_id)
