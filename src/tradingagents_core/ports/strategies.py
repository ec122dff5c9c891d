"""Storage of strategies."""

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime

from tradingagents_core.domain.page import Page
from tradingagents_core.domain.strategies import Strategy, StrategyContent


class StrategyReader(ABC):
    """Reads committed strategies.

    Strategies are read exactly as they were stored, including microseconds and the order of keys. Strategies and pages
    that were read never change, whatever is stored later.
    """

    @abstractmethod
    async def get(self, *, owner_id: int, strategy_id: int) -> Strategy:
        """One strategy of this owner.

        Raises:
            StrategyNotFound: the owner has no strategy with this id, whatever integers owner and id are, and even if
                another owner has the strategy.
        """

    @abstractmethod
    async def list(self, *, owner_id: int, skip: int, limit: int, active_only: bool) -> Page[Strategy]:
        """A page of this owner's strategies, oldest first (by id), at most `limit` of them after the first `skip`.

        `active_only` leaves inactive strategies out. `total` counts the whole list without paging, at the moment of the
        items. Strategies of other owners are neither listed nor counted. The list is empty for an owner without
        strategies, and for any other integer.
        """


class StrategyRepository(ABC):
    """The strategies of the owner whose row a writing block has locked; reads see the block's own changes.

    Every method may raise `BlockEnded` after the end of the block. An error other than `StrategyNotFound` has to leave
    the block: a block that catches the error and ends normally keeps nothing, and raises `BlockFailed`.
    """

    @abstractmethod
    async def get(self, strategy_id: int) -> Strategy:
        """One strategy of this owner, in its present state.

        Raises:
            StrategyNotFound: the owner has no strategy with this id.
        """

    @abstractmethod
    async def list(self, *, skip: int, limit: int, active_only: bool) -> Page[Strategy]:
        """A page of this owner's strategies in their present state, as `StrategyReader.list` describes it."""

    @abstractmethod
    async def add(self, content: StrategyContent, *, at: datetime) -> Strategy:
        """Store a new strategy, created and updated `at`.

        The id is greater than the id of every earlier strategy of this owner, removed strategies included, and no other
        strategy ever had this id. There may be gaps between ids.

        Raises:
            StrategyNameTaken: the owner has a strategy with exactly this name; other owners' strategies do not matter.
        """

    @abstractmethod
    async def replace(self, strategy: Strategy) -> None:
        """Store this state of a strategy in place of the one with the same id.

        Raises:
            StrategyNotFound: the owner of the block has no strategy with this id, or `strategy` has another owner; no
                strategy is created.
            StrategyNameTaken: the owner has another strategy with exactly this name.
        """

    @abstractmethod
    async def remove(self, strategy_id: int) -> None:
        """Remove a strategy. Its name is free again; its id is never used again.

        Raises:
            StrategyNotFound: the owner has no strategy with this id.
        """

    @abstractmethod
    async def remove_all(self) -> None:
        """Remove all strategies of this owner. Their names are free again; their ids are never used again."""


@dataclass(frozen=True, slots=True)
class StrategyView:
    """The strategies that a reading block can read."""

    strategies: StrategyReader


@dataclass(frozen=True, slots=True)
class StrategyWork:
    """The strategies that a writing block can read and change: those of one owner."""

    owner_id: int
    strategies: StrategyRepository


class StrategyStore(ABC):
    """Stores strategies by owner. An owner is an integer, 1 to `INTEGER_MAX`, and exists as soon as it owns a strategy.

    Every block and every method in it may raise `StoreUnavailable`. A cancelled caller leaves nothing half done, locked
    or open: its block is committed either as a whole or not at all. A commit that has begun is shielded from the
    cancellation (`shielded`): the cancelled caller waits until the commit has ended.

    A store belongs to one event loop. A store with a start and an end can be used between them.

    Raises:
        NotRunning: the store is used before its start or after its end.
        WrongEventLoop: the store is used in another event loop.
    """

    @abstractmethod
    def read(self) -> AbstractAsyncContextManager[StrategyView]:
        """A block that reads committed data, and makes no writer wait.

        Two reads in one block may see the data of different moments.
        """

    @abstractmethod
    def write(self, owner_id: int) -> AbstractAsyncContextManager[StrategyWork]:
        """A block that is one transaction: a normal end commits every change, an exception rolls every change back.

        The block locks the owner's row until it ends: blocks of one owner run one after another, also while the owner
        has no strategy yet. Blocks of different owners do not wait for each other, except in a store that allows one
        writer at a time, such as SQLite. An owner without strategies has an empty list after a block that adds none.

        The lock is released by the time that the block has ended for its caller. It may be released earlier: as soon
        as a method has raised an error other than `StrategyNotFound`, or the caller was cancelled.

        Raises:
            NestedBlock: the present task has a writing block of this store open, of any owner. Other tasks may have
                blocks open.
        """
