"""Transactions: where they begin, how they lock a row, and that they end once."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, Self

from sqlalchemy import Executable, Table

from tradingagents_adapters.sql.connection import Connection
from tradingagents_adapters.sql.drivers.driver import Driver, Row
from tradingagents_adapters.sql.errors import SessionEnded, Translated, is_statement_canceled
from tradingagents_adapters.sql.readiness import Readiness
from tradingagents_adapters.sql.shielding import shielded
from tradingagents_core.errors import StoreUnavailable


@dataclass(frozen=True, slots=True)
class RowLock:
    """A row that a transaction locks until it ends: the one with this `id` in the `table`."""

    table: Table
    id: int
    make: str | None = None
    """An `INSERT ... ON CONFLICT DO NOTHING` that makes the row where there is none. It takes no parameters."""

    def __str__(self) -> str:
        return f"row {self.id:d} of {self.table.name}"


class Connections(Protocol):
    """What a transaction needs of its database."""

    driver: Driver
    readiness: Readiness
    translated: Translated

    async def acquire(self, *, to_write: bool) -> Connection:
        """Acquire a connection."""

    async def release(self, connection: Connection) -> None:
        """Let others acquire the connection."""


class Transaction:
    """A block that is one transaction: committed when it ends, rolled back when an exception leaves it.

    With a `row` it begins by locking that row: entering it acquires a connection, begins, and waits for others who
    have the row locked. `has_row` says afterwards whether the row is there. Without a row it acquires a connection and
    begins with its first statement.

    Raises:
        StoreUnavailable: the database is away or busy, every connection is in use, or others keep the row locked. When
            that happens while the block ends, whether it was kept is not known.
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
        self._begin_with = begin or (connections.driver.begin,)
        self._is_checked = is_checked
        self._connection: Connection | None = None
        self._has_failed = False
        self._has_ended = False

    async def __aenter__(self) -> Self:
        if self._row is not None:
            try:
                self.has_row = await self.lock_row(self._row)
            except BaseException as error:
                await self.end(error)
                raise
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        await self.end(error)

    async def end(self, error: BaseException | None) -> None:
        """Keep what has been done, or undo it because of the error.

        Raises:
            RuntimeError: a statement of the block has failed, and its error was caught within the block: nothing of the
                block is kept. PostgreSQL would say nothing, and SQLite would keep half of a change.
        """
        self._has_ended = True
        if error is None and self._has_failed:
            error = RuntimeError("an error was caught within the block that it should have left: nothing was kept")
            await self._end_shielded(error)
            raise error
        await self._end_shielded(error)

    async def _end_shielded(self, error: BaseException | None) -> None:
        if self._connection is not None:
            ended, self._connection = self._connection, None
            # Waited for, so that whoever looks next sees whether it was kept.
            await shielded(self._end(ended, error))

    async def lock_row(self, row: RowLock) -> bool:
        """Lock a row until the transaction ends, after others who have it locked; False where there is no such row.

        Raises:
            StoreUnavailable: the database is away or busy, or others keep the row locked.
        """
        lock = f"SELECT id FROM {row.table.name} WHERE id = {row.id:d}{self._connections.driver.for_update}"  # noqa: S608
        try:
            with self._connections.translated:
                if self._connection is not None:
                    return await self._locked(self._connection, row, lock)
                await self._ensure_ready()
                async with self._queued(row):
                    # Without parameters, which would cost PostgreSQL another round trip.
                    connection, rows = await self._begin(lock)
                    return rows == 1 or await self._made(connection, row, lock)
        except StoreUnavailable as error:
            if is_statement_canceled(error.__cause__):
                raise StoreUnavailable(reason=f"{error.reason} while waiting for the lock of {row}") from error
            raise

    async def fetch(self, *statements: Executable, within: float | None = None, **values: object) -> Sequence[Row]:
        """Run statements that share their values one after another, and fetch all rows that the last one returns.

        They take one round trip where the driver can do that. `within` is the time limit in seconds, where it differs
        from the usual one.

        Raises:
            StoreUnavailable: the database is away or busy.
            ConstraintBroken: a constraint of the tables stands against it.
        """
        with self._connections.translated:
            if self._connection is None:
                await self._ensure_ready()
                await self._begin()
                assert self._connection is not None
            try:
                return await self._connection.fetch(statements, values, within=within)
            except BaseException:
                self._has_failed = True
                raise

    async def _ensure_ready(self) -> None:
        if self._is_checked:
            await self._connections.readiness.ensure()

    def _queued(self, row: RowLock) -> AbstractAsyncContextManager[None]:
        queue = self._connections.driver.row_queue
        return nullcontext() if queue is None else queue.passed(str(row))

    async def _begin(self, *first: str) -> tuple[Connection, int]:
        """Acquire a connection, and begin with these statements; how many rows the last of them has found."""
        if self._has_ended:
            raise RuntimeError("the transaction has ended")
        while True:
            self._connection = await self._connections.acquire(to_write=True)
            try:
                return self._connection, await self._connection.execute(*self._begin_with, *first)
            except SessionEnded:
                # While nobody used it. Only so many connections are idle, and then a new one is made.
                ended, self._connection = self._connection, None
                await self._connections.release(ended)

    async def _locked(self, connection: Connection, row: RowLock, lock: str) -> bool:
        return await connection.execute(lock) == 1 or await self._made(connection, row, lock)

    async def _made(self, connection: Connection, row: RowLock, lock: str) -> bool:
        return row.make is not None and await connection.execute(row.make, lock) == 1

    async def _end(self, connection: Connection, error: BaseException | None) -> None:
        try:
            if error is None:
                await self._commit(connection)
            else:
                await connection.roll_back()
        finally:
            await self._connections.release(connection)

    async def _commit(self, connection: Connection) -> None:
        try:
            with self._connections.translated:
                await connection.execute("COMMIT")
        except BaseException:
            await connection.roll_back()
            raise
