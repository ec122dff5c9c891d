"""Transactions, which may begin by locking a row, and end once."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from sqlalchemy import Executable, Table

from tradingagents_adapters.sql.connection import Connection
from tradingagents_adapters.sql.drivers.driver import Driver, Row
from tradingagents_adapters.sql.errors import SessionEnded, Translated, is_statement_canceled
from tradingagents_adapters.sql.readiness import Readiness
from tradingagents_core.errors import BlockEnded, BlockFailed, StoreUnavailable
from tradingagents_core.ports import Blocks, shielded

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RowLock:
    """A row that a transaction locks until the transaction ends."""

    table: Table
    id: int
    insert: str | None = None
    """An `INSERT ... ON CONFLICT DO NOTHING`, with `{id}` for the id, which runs where the row does not exist."""

    def __str__(self) -> str:
        return f"row {self.id:d} of {self.table.name}"


class Connections(Protocol):
    """The part of a database that a transaction needs."""

    driver: Driver
    blocks: Blocks
    readiness: Readiness
    translated: Translated

    async def acquire(self, *, to_write: bool) -> Connection:
        """Acquire a connection."""

    async def release(self, connection: Connection) -> None:
        """Release the connection for other callers."""


class Transaction:
    """A block that is one transaction: the end of the block commits, an exception rolls back.

    With a `row`, entering the block acquires a connection, begins the transaction, and waits for the lock of the row.
    Then `has_row` says whether the row exists. Without a row, the first statement acquires a connection and begins the
    transaction.

    Raises:
        StoreUnavailable: the database is unavailable or busy, every connection is in use, or another transaction keeps
            the row locked. When the error is raised at the end of the block, whether the transaction was committed is
            unknown.
        NestedBlock: with a row: the present task has a transaction with a row open.
    """

    def __init__(
        self,
        connections: Connections,
        *,
        row: RowLock | None = None,
        begin: Sequence[str] = (),
        is_checked: bool = True,
    ) -> None:
        self.has_row = False
        self._connections = connections
        self._row = row
        self._begin = begin or connections.driver.begin
        self._is_checked = is_checked
        self._connection: Connection | None = None
        self._has_failed = False
        self._has_ended = False
        self._leave: Callable[[], None] | None = None

    async def __aenter__(self) -> Self:
        if self._row is not None:
            self._leave = self._connections.blocks.enter()
            try:
                self.has_row = await self.lock_row(self._row)
            except BaseException as error:
                await self.end(error)
                raise
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        await self.end(error)

    async def end(self, error: BaseException | None) -> None:
        """Commit, or roll back because of the error.

        Raises:
            BlockFailed: a statement of the block failed, and the block caught the error. The transaction is rolled
                back: PostgreSQL would roll back without an error, and SQLite would commit half of a change.
        """
        self._has_ended = True
        if self._leave is not None:
            self._leave()
        if self._connection is not None:
            ended, self._connection = self._connection, None
            commits = error is None and not self._has_failed
            # Wait even when cancelled, so that the next statement of the caller sees the outcome.
            await shielded(self._end(ended, commits=commits))
        if error is None and self._has_failed:
            raise BlockFailed

    async def lock_row(self, row: RowLock) -> bool:
        """Lock a row until the transaction ends, and return whether the row exists.

        Raises:
            StoreUnavailable: the database is unavailable or busy, or another transaction keeps the row locked.
        """
        lock = f"SELECT id FROM {row.table.name} WHERE id = {{id}}{self._connections.driver.for_update}"  # noqa: S608
        try:
            with self._connections.translated:
                if self._connection is not None:
                    return await self._lock_or_insert(self._connection, row, lock)
                await self._ensure_ready()
                async with self._queued(row):
                    connection, rows = await self._begun(lambda begun: begun.execute_for(row.id, *self._begin, lock))
                    return rows == 1 or await self._insert(connection, row, lock)
        except StoreUnavailable as error:
            if is_statement_canceled(error.__cause__):
                raise StoreUnavailable(reason=f"{error.reason} while waiting for the lock of {row}") from error
            raise

    async def fetch(self, *statements: Executable, within: float | None = None, **values: object) -> Sequence[Row]:
        """Run statements that share their values one after another, and fetch all rows of the last statement.

        They take one round trip where the driver supports that. `within` is a time limit in seconds in place of the
        usual limit.

        Raises:
            StoreUnavailable: the database is unavailable or busy.
            ConstraintBroken: a constraint refused a statement.
        """
        with self._connections.translated:
            if self._connection is None:
                await self._ensure_ready()
            try:
                if self._connection is not None:
                    return await self._connection.fetch(statements, values, within=within)

                async def begin_and_fetch(begun: Connection) -> Sequence[Row]:
                    if self._begin:
                        await begun.execute(*self._begin)
                    return await begun.fetch(statements, values, within=within)

                _, rows = await self._begun(begin_and_fetch)
            except BaseException:
                self._has_failed = self._connection is not None
                raise
            return rows

    async def _ensure_ready(self) -> None:
        if self._has_ended:
            raise BlockEnded
        if self._is_checked:
            await self._connections.readiness.ensure()

    def _queued(self, row: RowLock) -> AbstractAsyncContextManager[None]:
        queue = self._connections.driver.row_queue
        return nullcontext() if queue is None else queue.passed(str(row))

    async def _begun(self, first: Callable[[Connection], Awaitable[T]]) -> tuple[Connection, T]:
        """Acquire a connection, and begin with the `first` statements. Returns also their result."""
        for may_retry in attempts(self._connections.driver):
            self._connection = await self._connections.acquire(to_write=True)
            try:
                return self._connection, await first(self._connection)
            except SessionEnded:
                if not may_retry:
                    raise
                ended, self._connection = self._connection, None
                await self._connections.release(ended)
        raise AssertionError("the last attempt returns or raises")

    async def _lock_or_insert(self, connection: Connection, row: RowLock, lock: str) -> bool:
        return await connection.execute_for(row.id, lock) == 1 or await self._insert(connection, row, lock)

    async def _insert(self, connection: Connection, row: RowLock, lock: str) -> bool:
        return row.insert is not None and await connection.execute_for(row.id, row.insert, lock) == 1

    async def _end(self, connection: Connection, *, commits: bool) -> None:
        try:
            if commits:
                await self._commit(connection)
            else:
                await connection.roll_back()
        finally:
            await self._connections.release(connection)

    async def _commit(self, connection: Connection) -> None:
        try:
            with self._connections.translated:
                await connection.commit()
        except BaseException:
            await connection.roll_back()
            raise


def attempts(driver: Driver) -> Iterator[bool]:
    """The attempts on connections that the server may have closed while they were idle: may there be one more?"""
    return (left > 0 for left in range(driver.retries, -1, -1))
