"""What the SQL layer asks of a driver."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from sqlalchemy.engine import Dialect

from tradingagents_adapters.sql.row_queue import RowQueue

Statement: TypeAlias = tuple[str, Sequence[Any]]
"""The text of a statement, and the values of its parameters in their order."""


class Row(Protocol):
    """A row as the drivers return it: the values of its columns, by their names and in their order."""

    def __getitem__(self, name: str, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...


class DriverConnection(ABC):
    """A connection of a driver in autocommit mode.

    When a caller is cancelled, its connection stays usable or is terminated. `fetch` and `execute` may raise
    `SessionEnded` and `DatabaseLost`.
    """

    @abstractmethod
    async def fetch(self, *statements: Statement, within: float | None = None) -> Sequence[Row]:
        """Run statements one after another, and fetch all rows that the last one returns.

        They take one round trip where the driver can do that. `within` is the time limit in seconds of each, where it
        differs from the usual one.
        """

    @abstractmethod
    async def execute(self, *statements: str) -> int:
        """Run statements without parameters in one round trip, and return how many rows the last one has found."""

    @abstractmethod
    async def roll_back(self) -> None:
        """Undo what the open transaction has done, if there is one."""

    @abstractmethod
    async def terminate(self) -> None:
        """Close the connection at once; the database rolls back its open transaction."""


@dataclass(frozen=True, slots=True)
class LongerLimit:
    """How a statement is given more time than usual."""

    begin: Sequence[str]
    """How a transaction with the longer limit begins."""
    seconds: float
    """How long its answer may take to arrive."""


class Driver(ABC):
    """Opens connections to one database, and lends them."""

    name: str
    """Which database this is, for people: without its password."""

    role: str | None = None
    """The role of the database that the connections have."""

    dialect: Dialect
    """What SQLAlchemy writes statements for. Its parameters are numbered or in order, not named."""

    begin: str
    """How a transaction that may write begins."""

    for_update: str
    """How a SELECT ends that locks its rows; empty where a transaction that may write locks the whole database."""

    autocommits: bool = True
    """Whether a statement may be run outside a transaction."""

    row_queue: RowQueue | None = None
    """Where the writers of one row wait in this process, so that only one at a time waits at the server."""

    @abstractmethod
    async def open(self) -> None:
        """Get ready, or ready again, in this event loop; connections are made when they are first needed."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""

    @abstractmethod
    async def acquire(self, *, to_write: bool) -> DriverConnection:
        """Acquire a connection. A connection to write with is used for one transaction, or one statement.

        Raises:
            StoreUnavailable: every connection is in use.
        """

    @abstractmethod
    async def release(self, connection: DriverConnection) -> None:
        """Let others acquire the connection."""

    @abstractmethod
    def read_time(self, value: Any) -> datetime:
        """The time in a column of a row: aware and in UTC."""

    def longer_limit(self, patience: int) -> LongerLimit | None:
        """How a statement may take `patience` times as long as usual; None where the time is not limited."""
        return None
