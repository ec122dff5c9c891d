"""A database as the SQL adapters see it: single statements, and transactions that no cancellation cuts in half.

SQLAlchemy writes the SQL, once for each statement; the driver runs it, in one call.
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
from tradingagents_adapters.sql.shielding import shielded
from tradingagents_adapters.sql.transaction import RowLock, Transaction
from tradingagents_core.errors import StoreUnavailable

_LOGGER: Final = "sqlalchemy.engine.Engine"
"""Where SQLAlchemy shows the statements that it runs itself."""

_log: Final = logging.getLogger(__name__)


class Database:
    """A database. It opens itself when it is first used, and its connections are closed when its block is left.

    Its schema is given to the `check` before the first use, and again when the database may be another one. `echo` has
    statements logged.
    """

    def __init__(self, driver: Driver, *, echo: bool = False, check: "Check | None" = None) -> None:
        self.driver = driver
        self.name = driver.name
        """Which database this is, for people: without its password."""
        self.dialect_name = driver.dialect.name
        """How SQLAlchemy calls this kind of database."""
        self.read_time: Callable[[Any], datetime] = driver.read_time
        """Reads the time in a column of a row: aware and in UTC."""
        self.readiness = Readiness(self._open_and_check)
        self.translated = Translated(role=driver.role, lose=self.readiness.lose)
        self.compiler = Compiler(driver.dialect)
        self._log = InstanceLogger(echo, _LOGGER) if echo else None
        self._check = check
        self._is_said = False

    async def __aenter__(self) -> Self:
        if self._check is None:
            await self.readiness.prepare()
        return self

    async def __aexit__(self, *_: object) -> None:
        await shielded(self._end())

    async def acquire(self, *, to_write: bool) -> Connection:
        """Acquire a connection. A connection to write with is used for one transaction, or one statement.

        Raises:
            StoreUnavailable: every connection is in use.
        """
        return Connection(await self.driver.acquire(to_write=to_write), self.compiler, self._log)

    async def release(self, connection: Connection) -> None:
        """Let others acquire the connection."""
        await self.driver.release(connection.driver_connection)

    async def read(self, statement: Executable, /, *, patience: int = 1, **values: Any) -> Sequence[Row]:
        """Run a statement that changes nothing and stands for itself.

        It may take `patience` times as long as others: for one that returns much.

        Raises:
            StoreUnavailable: the database is away or busy, or every connection is in use.
        """
        await self.readiness.ensure()
        if patience > 1 and (limit := self.driver.longer_limit(patience)) is not None:
            async with Transaction(self, begin=limit.begin) as transaction:
                return await transaction.fetch(statement, within=limit.seconds, **values)
        return await self._fetch_alone(statement, values, to_write=False)

    async def read_unchecked(self, statement: Executable) -> Sequence[Row]:
        """Run a statement as `read` does, before the schema has been checked: for the check itself.

        Raises:
            StoreUnavailable: the database is away or busy.
        """
        return await self._fetch_alone(statement, {}, to_write=False)

    async def write(self, statement: Executable, **values: Any) -> Sequence[Row]:
        """Run a statement that stands for itself, and keep what it does.

        Raises:
            StoreUnavailable: the database is away or busy, or every connection is in use; it may have been kept or not.
            ConstraintBroken: a constraint of the tables stands against it.
        """
        await self.readiness.ensure()
        return await shielded(self._fetch_alone(statement, values, to_write=True))

    def transaction(self, *, row: RowLock | None = None) -> Transaction:
        """A transaction, to be entered. With a `row` it begins by locking that row."""
        return Transaction(self, row=row)

    async def _fetch_alone(self, statement: Executable, values: Mapping[str, Any], *, to_write: bool) -> Sequence[Row]:
        if not self.driver.autocommits:
            async with Transaction(self, is_checked=False) as transaction:
                return await transaction.fetch(statement, **values)
        with self.translated:
            while True:
                connection = await self.acquire(to_write=to_write)
                try:
                    return await connection.fetch((statement,), values)
                except SessionEnded:
                    # While nobody used it. Only so many connections are idle, and then a new one is made.
                    continue
                finally:
                    await self.release(connection)

    async def _open_and_check(self) -> None:
        with naming(self.name):
            await self.driver.open()
            if self._check is not None:
                await self._check(self)
        if not self._is_said:
            self._is_said = True
            _log.info("The database is %s.", self.name)

    async def _end(self) -> None:
        await self.readiness.end()
        await self.driver.close()


@contextmanager
def naming(name: str) -> Iterator[None]:
    """A block whose errors name the database, and are for an operator where they are lasting.

    Raises:
        ConfigurationError: an operator has to mend something.
        StoreUnavailable: the database is away or busy.
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
"""Looks at the schema of a database, before anybody uses it, with `read_unchecked`.

Raises:
    ConfigurationError: the schema is not one for this code.
    StoreUnavailable: the database is away or busy.
"""
