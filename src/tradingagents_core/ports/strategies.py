"""Where owners' strategies are kept."""

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime

from tradingagents_core.domain.page import Page
from tradingagents_core.domain.strategies import Strategy, StrategyContent


class StrategyReader(ABC):
    """Reads strategies that have been committed.

    What is read equals what was stored, microseconds and key order included. What has been read stays as it is,
    whatever is stored later.
    """

    @abstractmethod
    async def get(self, *, owner_id: int, strategy_id: int) -> Strategy:
        """One strategy of this owner.

        Raises:
            StrategyNotFound: the owner has none with this id, whatever integers the two are and whoever else may have
                the strategy.
        """

    @abstractmethod
    async def list(self, *, owner_id: int, skip: int, limit: int, active_only: bool) -> Page[Strategy]:
        """A page of this owner's strategies, oldest first (by id), at most `limit` of them after the first `skip`.

        `active_only` leaves inactive strategies out. `total` counts what the list holds without paging, as of the same
        moment as the items. Nobody else's strategies are in the list or counted. An owner without strategies, and any
        other integer, has an empty list.
        """


class StrategyRepository(ABC):
    """The strategies of the owner whose row a writing block has taken; reads see the block's own changes.

    Once an error has come out of a method, nothing more may be asked of the block: the error has to leave it.
    """

    @abstractmethod
    async def get(self, strategy_id: int) -> Strategy:
        """One strategy of this owner, as it is now.

        Raises:
            StrategyNotFound: the owner has none with this id.
        """

    @abstractmethod
    async def add(self, content: StrategyContent, *, at: datetime) -> Strategy:
        """Store a new strategy, created and updated `at`. Its id is greater than that of every earlier strategy of this
        owner, and no other strategy ever had it.

        Raises:
            StrategyNameTaken: the owner has a strategy of exactly this name; another owner's does not matter.
        """

    @abstractmethod
    async def replace(self, strategy: Strategy) -> None:
        """Store this state of a strategy in place of the one with the same id.

        Raises:
            StrategyNotFound: the owner of the block has none with this id, or it says another owner; none is created.
            StrategyNameTaken: the owner has another strategy of exactly this name.
        """

    @abstractmethod
    async def remove(self, strategy_id: int) -> None:
        """Remove a strategy; its name is free again, its id is not.

        Raises:
            StrategyNotFound: the owner has none with this id.
        """


@dataclass(frozen=True, slots=True)
class StrategyView:
    """What can be read in a reading block."""

    strategies: StrategyReader


@dataclass(frozen=True, slots=True)
class StrategyWork:
    """What can be read and changed in a writing block."""

    strategies: StrategyRepository


class StrategyStore(ABC):
    """Keeps owners' strategies. An owner is an integer, 1 to `INTEGER_MAX`, and exists as soon as it owns something.

    Every block and every method in it may raise `StoreUnavailable`. A cancelled caller leaves nothing half done, locked
    or open: the block it was in has either been kept whole or not at all.
    """

    @abstractmethod
    def read(self) -> AbstractAsyncContextManager[StrategyView]:
        """A block that sees what has been committed, and makes no writer wait.

        Two reads in it may be of different moments.
        """

    @abstractmethod
    def write(self, owner_id: int) -> AbstractAsyncContextManager[StrategyWork]:
        """A block that is one transaction: left normally everything in it is kept, with an exception nothing is.

        It takes the owner's row until it ends: blocks of one owner follow each other, also while the owner owns nothing
        yet. Blocks of different owners do not wait for each other, except in a store that lets in one writer at a time,
        as SQLite does. After a block that keeps no strategy, an owner that had none has an empty list as before.
        """
