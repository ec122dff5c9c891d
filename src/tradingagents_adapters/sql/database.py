"""A database as the SQL adapters see it: single statements, and transactions that are shielded from cancellation.

SQLAlchemy compiles each statement once; the driver runs it in one call.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, Self, TypeAlias

from sqlalchemy import Executable
from sqlalchemy.log import InstanceLogger

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.connection import Compiler, Connection
from tradingagents_adapters.sql.drivers.driver import Driver, Row
from tradingagents_adapters.sql.errors import SessionEnded, Translated
from tradingagents_adapters.sql.readiness import Readiness
from tradingagents_adapters.sql.transaction import RowLock, Transaction, attempts
from tradingagents_core.errors import StoreUnavailable
from tradingagents_core.ports import Blocks, shielded

_LOGGER: Final = "sqlalchemy.engine.Engine"
"""The logger of the statements that SQLAlchemy runs itself."""

_log: Final = logging.getLogger(__name__)


class Database:
    """A database. The stores over it can be used inside its block; the end of the block closes its connections.

    The `check` runs before the first statement, and again after the database was lost. `echo` turns on the log of
    statements. A block without a `check` opens the database on entering, otherwise the first use does. A database that
    `starts_by_itself` can also be used before its block, for servers that do not report the start.

    Raises:
        WrongEventLoop: the database is in use in another event loop.
    """

    def __init__(
        self, driver: Driver, *, echo: bool = False, check: "Check | None" = None, starts_by_itself: bool = False
    ) -> None:
        self.driver = driver
        self.name = driver.name
        """The path or URL of the database, for people to read: without the password."""
        self.dialect_name = driver.dialect.name
        """SQLAlchemy's name for this kind of database."""
        self.read_time: Callable[[Any], datetime] = driver.read_time
        """Converts a time of a row: the result is aware and in UTC."""
        self.blocks = Blocks()
        """The writing blocks of all stores over this database."""
        self.readiness = Readiness(self._open_and_check, starts_by_itself=starts_by_itself)
        self.translated = Translated(role=driver.role, lose=self.readiness.lose)
        self.compiler = Compiler(driver.dialect)
        self._log = InstanceLogger(echo, _LOGGER) if echo else None
        self._check = check
        self._is_name_logged = False

    async def __aenter__(self) -> Self:
        self.readiness.start()
        if self._check is None:
            await self.readiness.prepare()
        return self

    async def __aexit__(self, *_: object) -> None:
        await shielded(self._end())

    async def acquire(self, *, to_write: bool) -> Connection:
        """Acquire a connection. A connection `to_write` is used for one transaction or one statement.

        Raises:
            StoreUnavailable: every connection is in use.
        """
        return Connection(await self.driver.acquire(to_write=to_write), self.compiler, self._log)

    async def release(self, connection: Connection) -> None:
        """Release the connection for other callers."""
        await self.driver.release(connection.driver_connection)

    async def read(self, statement: Executable, /, *, patience: int = 1, **values: Any) -> Sequence[Row]:
        """Run one statement that changes nothing.

        Its time limit is `patience` times the usual limit, for a statement that returns much data.

        Raises:
            StoreUnavailable: the database is unavailable or busy, or every connection is in use.
        """
        await self.readiness.ensure()
        if patience > 1 and (limit := self.driver.longer_limit(patience)) is not None:
            async with Transaction(self, begin=limit.begin) as transaction:
                return await transaction.fetch(statement, within=limit.seconds, **values)
        return await self._fetch_alone(statement, values, to_write=False)

    async def read_unchecked(self, statement: Executable) -> Sequence[Row]:
        """Run a statement as `read` does, but without the check of the schema: for that check itself.

        Raises:
            StoreUnavailable: the database is unavailable or busy.
        """
        return await self._fetch_alone(statement, {}, to_write=False)

    async def write(self, statement: Executable, **values: Any) -> Sequence[Row]:
        """Run one statement in a transaction of its own, shielded from cancellation.

        Raises:
            StoreUnavailable: the database is unavailable or busy, or every connection is in use. Whether the statement
                was committed is unknown.
            ConstraintBroken: a constraint refused the statement.
            NestedBlock: the present task has a writing block open.
        """
        await self.readiness.ensure()
        with self.blocks.entered():
            return await shielded(self._fetch_alone(statement, values, to_write=True))

    def transaction(self, *, row: RowLock | None = None) -> Transaction:
        """A transaction to enter. With a `row`, the transaction begins by locking that row."""
        return Transaction(self, row=row)

    async def _fetch_alone(self, statement: Executable, values: Mapping[str, Any], *, to_write: bool) -> Sequence[Row]:
        if not (self.driver.autocommits_writes if to_write else self.driver.autocommits_reads):
            async with Transaction(self, is_checked=False) as transaction:
                return await transaction.fetch(statement, **values)
        with self.translated:
            for may_retry in attempts(self.driver):
                connection = await self.acquire(to_write=to_write)
                try:
                    return await connection.fetch((statement,), values)
                except SessionEnded:
                    if not may_retry:
                        raise
                finally:
                    await self.release(connection)
        raise AssertionError("the last attempt returns or raises")

    async def _open_and_check(self) -> None:
        with naming(self.name):
            await self.driver.open()
            if self._check is not None:
                await self._check(self)
        if not self._is_name_logged:
            self._is_name_logged = True
            _log.info("The database is %s.", self.name)

    async def _end(self) -> None:
        await self.readiness.end()
        await self.driver.close()


@contextmanager
def naming(name: str) -> Iterator[None]:
    """A block whose errors name the database. A lasting `StoreUnavailable` becomes a `ConfigurationError`.

    Raises:
        ConfigurationError: an operator has to resolve the error.
        StoreUnavailable: the database is unavailable or busy.
    """
    try:
        yield
    except StoreUnavailable as error:
        reason = _named(name, error.reason)
        if error.is_lasting:
            raise ConfigurationError(reason) from error
        raise StoreUnavailable(reason=reason, retry_after=error.retry_after, is_logged=error.is_logged) from error
    except ConfigurationError as error:
        raise ConfigurationError(_named(name, str(error))) from error


def _named(name: str, text: str) -> str:
    return text if name in text else f"{name}: {text}"


Check: TypeAlias = Callable[[Database], Awaitable[None]]
"""Checks the schema of a database before the first use. It reads with `read_unchecked`.

Raises:
    ConfigurationError: the schema does not fit this code.
    StoreUnavailable: the database is unavailable or busy.
"""
