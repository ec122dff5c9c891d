"""Blocks on connections, which a cancelled caller cannot cut in half."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, CursorResult, Executable, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tradingagents_adapters.sql.errors import translated

_BEGIN: Final = {"sqlite": text("BEGIN IMMEDIATE"), "postgresql": text("BEGIN")}
_COMMIT: Final = text("COMMIT")
_ROLLBACK: Final = text("ROLLBACK")

Parameters = dict[str, Any]
T = TypeVar("T")


class SqlConnection:
    """A connection on which everything runs to its end, whatever becomes of the caller."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def execute(self, statement: Executable, parameters: Parameters | None = None) -> CursorResult[Any]:
        """Run a statement and fetch all that it returns.

        Raises:
            StoreUnavailable: the database is away or busy.
            IntegrityError: a constraint of the tables is broken.
        """
        with translated():
            return await uncut(self._execute(statement, parameters))

    async def run_sync(self, work: Callable[[Connection], T]) -> T:
        """Do work that is written for SQLAlchemy's synchronous connection.

        Raises:
            StoreUnavailable: the database is away or busy.
        """
        with translated():
            return await uncut(self._connection.run_sync(work))

    async def begin(self) -> None:
        """Begin a transaction; on SQLite it is the one that may write."""
        await self.execute(_BEGIN[self._connection.dialect.name])

    async def commit(self) -> None:
        """Keep what the transaction has done; where that fails, undo it.

        Raises:
            StoreUnavailable: the database is away or busy, and whether it has kept it is not known.
        """
        with translated():
            await uncut(self._commit())

    async def roll_back(self) -> None:
        """Undo what the transaction has done."""
        await uncut(self._roll_back())

    async def _execute(self, statement: Executable, parameters: Parameters | None = None) -> CursorResult[Any]:
        try:
            return await self._connection.execute(statement, parameters)
        except TimeoutError:
            await self._give_up()
            raise

    async def _commit(self) -> None:
        try:
            await self._execute(_COMMIT)
        except BaseException:
            await self._roll_back()
            raise

    async def _roll_back(self) -> None:
        try:
            await self._execute(_ROLLBACK)
        except Exception:  # noqa: BLE001
            # Nobody can say what state this connection is in; the database rolls back when it is gone.
            await self._give_up()

    async def _give_up(self) -> None:
        """Close the connection instead of returning it to the pool."""
        if not self._connection.invalidated:
            await self._connection.invalidate()


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncIterator[SqlConnection]:
    """A connection on which every statement stands for itself.

    Raises:
        StoreUnavailable: the database is away, or every connection is in use.
    """
    connection = engine.connect()
    try:
        with translated():
            await uncut(connection.start())
        yield SqlConnection(connection)
    finally:
        if connection.sync_connection is not None:
            await uncut(connection.close())


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[SqlConnection]:
    """A connection in a transaction: committed when the block ends, rolled back when an exception leaves it.

    Raises:
        StoreUnavailable: the database is away or busy, or every connection is in use. When that happens while the block
            ends, whether it was kept is not known.
    """
    async with connected(engine) as connection:
        try:
            await connection.begin()
            yield connection
        except BaseException:
            await connection.roll_back()
            raise
        await connection.commit()


def connector(*, in_transactions: bool) -> Callable[[AsyncEngine], AbstractAsyncContextManager[SqlConnection]]:
    """What opens a connection for statements that each stand for itself.

    Behind a pgbouncer, which may give each statement outside a transaction to another server connection, they are run
    `in_transactions`.
    """
    return transaction if in_transactions else connected


async def uncut(work: Awaitable[T]) -> T:
    """Wait until `work` has ended, and only then pass on a cancellation that came meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                continue
        if not task.cancelled():
            task.exception()
        raise
