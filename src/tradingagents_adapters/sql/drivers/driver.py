"""The interface of the drivers."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from sqlalchemy.engine import Dialect

from tradingagents_adapters.sql.row_queue import RowQueue

Statement: TypeAlias = tuple[str, Sequence[Any]]
"""The text of a statement, and the values of its parameters in order."""


class Row(Protocol):
    """A row as the drivers return it: the values of its columns, by name and in order."""

    def __getitem__(self, name: str, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...


class DriverConnection(ABC):
    """A connection of a driver, in autocommit mode.

    After a caller is cancelled, the connection is usable or terminated. `fetch` and `execute` may raise `SessionEnded`
    and `DatabaseLost`.
    """

    @abstractmethod
    async def fetch(self, *statements: Statement, within: float | None = None) -> Sequence[Row]:
        """Run statements one after another, and fetch all rows of the last statement.

        They take one round trip where the driver supports that. `within` is a time limit in seconds for each statement,
        in place of the usual limit.
        """

    @abstractmethod
    async def execute(self, *statements: str) -> int:
        """Run statements without parameters, and return the number of rows of the last statement.

        They take one round trip where the driver supports that.
        """

    async def execute_for(self, row_id: int, *statements: str) -> int:
        """Run statements as `execute` does, with an id in the place of `{id}`."""
        # The text holds the id: a parameter would cost another round trip on PostgreSQL.
        return await self.execute(*[with_id(sql, row_id) for sql in statements])

    async def commit(self) -> None:
        """Commit the open transaction."""
        await self.execute("COMMIT")

    @abstractmethod
    async def roll_back(self) -> None:
        """Roll back the open transaction, if there is one."""

    @abstractmethod
    async def terminate(self) -> None:
        """Close the connection at once. The database rolls back an open transaction."""


@dataclass(frozen=True, slots=True)
class LongerLimit:
    """A longer time limit for one statement."""

    begin: Sequence[str]
    """The statements that begin a transaction with the longer limit."""
    seconds: float
    """How long the answer may take to arrive."""


class Driver(ABC):
    """Opens the connections to one database; callers acquire and release them."""

    name: str
    """The path or URL of the database, for people to read: without the password."""

    role: str | None = None
    """The database role of the connections; None where there are no roles, or the URL names none."""

    dialect: Dialect
    """The dialect for which SQLAlchemy compiles statements. Its parameters are numbered or positional, not named."""

    begin: Sequence[str]
    """The statements that begin a transaction that may write; none where a connection acquired `to_write` begins it."""

    for_update: str
    """The end of a SELECT that locks its rows; empty where a write transaction locks the whole database."""

    autocommits_reads: bool = True
    """Whether a statement that changes nothing may run on a connection that was not acquired `to_write`."""

    autocommits_writes: bool = True
    """Whether a statement that changes something may run outside a transaction."""

    retries: int = 0
    """How many more connections are tried when the server had closed the first one while it was idle."""

    row_queue: RowQueue | None = None
    """The queue of the writers of each row, so that only one writer of this process at a time waits on the server."""

    @abstractmethod
    async def open(self) -> None:
        """Prepare for use in this event loop, also after an earlier `open`. Connections open on first use."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""

    @abstractmethod
    async def acquire(self, *, to_write: bool) -> DriverConnection:
        """Acquire a connection. A connection `to_write` is used for one transaction or one statement.

        Raises:
            StoreUnavailable: every connection is in use.
        """

    @abstractmethod
    async def release(self, connection: DriverConnection) -> None:
        """Release the connection for other callers."""

    @abstractmethod
    def read_time(self, value: Any) -> datetime:
        """Convert a time of a row: the result is aware and in UTC."""

    def longer_limit(self, patience: int) -> LongerLimit | None:
        """A time limit that is `patience` times the usual limit; None where the time is not limited."""
        return None


def with_id(sql: str, row_id: int) -> str:
    """The text of a statement with an id in the place of `{id}`."""
    return sql.format(id=format(row_id, "d"))
