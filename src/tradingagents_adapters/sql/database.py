"""What the SQL adapters ask of a database: single statements, and transactions that nobody cuts in half.

SQLAlchemy writes the SQL, once for each statement; the driver runs it, in one call.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, Self, TypeAlias, TypeVar

from sqlalchemy import Executable, Table
from sqlalchemy.engine import Dialect
from sqlalchemy.log import InstanceLogger
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.errors import SessionEnded, Translated
from tradingagents_adapters.sql.readiness import Readiness
from tradingagents_core.errors import StoreUnavailable

_LOGGER: Final = "sqlalchemy.engine.Engine"
"""Where SQLAlchemy shows the statements that it runs itself."""

_log: Final = logging.getLogger(__name__)

T = TypeVar("T")


class Row(Protocol):
    """A row as the drivers return it: the values of its columns, by their names and in their order."""

    def __getitem__(self, name: str, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...


class Connection(ABC):
    """A connection of a driver in autocommit mode. A caller who is cancelled leaves it usable, or given up.

    `fetch` and `execute` may raise `SessionEnded`.
    """

    @abstractmethod
    async def fetch(self, sql: str, values: Sequence[Any], *, within: float | None = None) -> Sequence[Row]:
        """Run a statement and fetch all that it returns, `within` so many seconds where that is not the usual time."""

    @abstractmethod
    async def execute(self, *statements: str) -> int:
        """Run statements that take no values, in one journey; how many rows the last has found."""

    @abstractmethod
    async def roll_back(self) -> None:
        """Undo what has been begun, if anything has."""

    @abstractmethod
    async def give_up(self) -> None:
        """Close the connection, which nobody can use any more; the database rolls back what it had begun."""


@dataclass(frozen=True, slots=True)
class _Statement:
    sql: str
    names: Sequence[str]


class Database(ABC):
    """A database. It opens itself when it is first used, and its connections are closed when its block is left.

    Its schema is given to the `check` before the first use, and again when the database may be another one.
    """

    begin: str
    """How a transaction that may write begins."""

    def __init__(
        self, dialect: Dialect, *, name: str, role: str | None = None, echo: bool, check: "Check | None" = None
    ) -> None:
        self.name = name
        """Which database this is, for people: without its password."""
        self.translated = Translated(role=role)
        self._dialect = dialect
        self._log = InstanceLogger(echo, _LOGGER) if echo else None
        self._statements: dict[Executable, _Statement] = {}
        self._check = check
        self._readiness = Readiness(self._open_and_check)
        self._is_said = False

    async def __aenter__(self) -> Self:
        if self._check is None:
            await self.prepare()
        return self

    async def __aexit__(self, *_: object) -> None:
        await uncut(self._end())

    async def prepare(self) -> None:
        """Open the database and have its schema checked, unless that has been done.

        Raises:
            ConfigurationError: the schema is not one for this code.
            StoreUnavailable: the database is away or busy.
        """
        await self._readiness.prepare()

    async def ensure_ready(self) -> None:
        """Return when the database has been prepared.

        Raises:
            StoreUnavailable: it could not be prepared.
        """
        await self._readiness.ensure()

    @asynccontextmanager
    async def prepared_in_background(self) -> AsyncIterator[None]:
        """A block during which the database is prepared as soon as that is possible."""
        trying = asyncio.create_task(self._readiness.keep_trying())
        try:
            yield
        finally:
            trying.cancel()
            await asyncio.wait({trying})

    @property
    def dialect_name(self) -> str:
        """How SQLAlchemy calls this kind of database."""
        return self._dialect.name

    @abstractmethod
    async def open(self) -> None:
        """Get ready, or ready again, in this event loop; connections are made when they are first needed."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""

    @abstractmethod
    def read_time(self, value: Any) -> datetime:
        """The time in a column of a row: aware and in UTC."""

    @abstractmethod
    async def take(self, *, to_write: bool) -> Connection:
        """Take a connection; who has one to write with does so in a transaction, or with a single statement.

        Raises:
            StoreUnavailable: the database is away, or every connection is in use.
        """

    @abstractmethod
    async def give_back(self, connection: Connection) -> None:
        """Let others take the connection."""

    def turn(self, row: tuple[Table, int]) -> AbstractAsyncContextManager[None]:
        """A turn at taking a row, of which each process gives one at a time.

        Raises:
            StoreUnavailable: others do not let the row go.
        """
        return nullcontext()

    @abstractmethod
    def row_lock(self, table: Table, row_id: int) -> str:
        """A statement without parameters that finds a row, and takes it where the transaction does not take all."""

    async def take_row(self, connection: Connection, table: Table, row_id: int, *, begin: bool) -> bool:
        """Take a row until the transaction ends, after others who have it, or find that there is none.

        The transaction may have to `begin` first.
        """
        # As text, for one journey: a statement with parameters would need one of its own on PostgreSQL.
        lock = self.row_lock(table, row_id)
        return await self.execute(connection, *((self.begin, lock) if begin else (lock,))) == 1

    async def read(self, statement: Executable, *, patience: int = 1, **values: Any) -> Sequence[Row]:
        """Run a statement that changes nothing and stands for itself.

        It may take `patience` times as long as others: for one that returns much.

        Raises:
            StoreUnavailable: the database is away or busy, or every connection is in use.
        """
        await self.ensure_ready()
        if patience > 1:
            return await self._fetch_patiently(statement, values, patience)
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
        await self.ensure_ready()
        return await uncut(self._fetch_alone(statement, values, to_write=True))

    def transaction(self) -> "Transaction":
        """A transaction, to be entered."""
        return Transaction(self)

    async def fetch(
        self,
        connection: Connection,
        statement: Executable,
        values: Mapping[str, Any],
        *,
        within: float | None = None,
    ) -> Sequence[Row]:
        """Run a statement on a connection and fetch all that it returns."""
        known = self._statements.get(statement)
        if known is None:
            known = self._statements[statement] = self._compiled(statement)
        self._note(known.sql)
        return await connection.fetch(known.sql, [values[name] for name in known.names], within=within)

    async def execute(self, connection: Connection, *statements: str) -> int:
        """Run statements that take no values, in one journey; how many rows the last has found."""
        for sql in statements:
            self._note(sql)
        return await connection.execute(*statements)

    async def roll_back(self, connection: Connection) -> None:
        """Undo what has been begun on a connection."""
        self._note("ROLLBACK")
        try:
            await connection.roll_back()
        except Exception:  # noqa: BLE001
            # Nobody can say what state this connection is in.
            await connection.give_up()

    async def _fetch_alone(self, statement: Executable, values: Mapping[str, Any], *, to_write: bool) -> Sequence[Row]:
        with self.translated:
            while True:
                connection = await self.take(to_write=to_write)
                try:
                    return await self.fetch(connection, statement, values)
                except SessionEnded:
                    # While nobody used it. There are only so many of these, and new ones are made then.
                    continue
                finally:
                    await self.give_back(connection)

    async def _fetch_patiently(self, statement: Executable, values: Mapping[str, Any], patience: int) -> Sequence[Row]:
        """Run a statement that may take `patience` times as long, where time is limited."""
        return await self._fetch_alone(statement, values, to_write=False)

    async def _open_and_check(self) -> None:
        with naming(self.name):
            await self.open()
            if self._check is not None:
                await self._check(self)
        if not self._is_said:
            self._is_said = True
            _log.info("The database is %s.", self.name)

    async def _end(self) -> None:
        await self._readiness.end()
        await self.close()

    def _compiled(self, statement: Executable) -> _Statement:
        assert isinstance(statement, ClauseElement)
        compiled = statement.compile(dialect=self._dialect)
        assert isinstance(compiled, SQLCompiler)
        return _Statement(compiled.string, tuple(compiled.positiontup or ()))

    def _note(self, sql: str) -> None:
        if self._log is not None:
            self._log.info("%s", sql)


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


class Transaction:
    """A block that is one transaction: committed when it ends, rolled back when an exception leaves it.

    It takes a connection and begins with the first that is asked of it.

    Raises:
        StoreUnavailable: the database is away or busy, or every connection is in use. When that happens while the block
            ends, whether it was kept is not known.
    """

    def __init__(self, database: Database, *, is_checked: bool = True, begin: Sequence[str] = ()) -> None:
        self._database = database
        self._is_checked = is_checked
        self._begin_with = begin or (database.begin,)
        self._connection: Connection | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        await self.end(error)

    async def end(self, error: BaseException | None) -> None:
        """Keep what has been done, or undo it because of the error."""
        if self._connection is not None:
            # Waited for, so that whoever looks next sees whether it was kept.
            await uncut(self._end(self._connection, error))

    async def take_row(self, table: Table, row_id: int) -> bool:
        """Take a row until the transaction ends, after others who have it, or find that there is none.

        Raises:
            StoreUnavailable: the database is away or busy, or others do not let the row go.
        """
        with self._database.translated:
            if self._connection is not None:
                return await self._database.take_row(self._connection, table, row_id, begin=False)
            await self._database.ensure_ready()
            async with self._database.turn((table, row_id)):
                return await self._begin(
                    lambda connection: self._database.take_row(connection, table, row_id, begin=True)
                )

    async def fetch(
        self, statement: Executable, *, patience: int = 1, within: float | None = None, **values: Any
    ) -> Sequence[Row]:
        """Run a statement and fetch all that it returns, `within` so many seconds where that is not the usual time.

        While a row is taken, nobody has more `patience` than usual.

        Raises:
            StoreUnavailable: the database is away or busy.
            ConstraintBroken: a constraint of the tables stands against it.
        """
        with self._database.translated:
            if self._connection is None:
                if self._is_checked:
                    await self._database.ensure_ready()
                await self._begin(lambda connection: self._database.execute(connection, *self._begin_with))
                assert self._connection is not None
            return await self._database.fetch(self._connection, statement, values, within=within)

    async def _begin(self, ask: Callable[[Connection], Awaitable[T]]) -> T:
        """Take a connection, and begin with what is asked of it."""
        while True:
            self._connection = await self._database.take(to_write=True)
            try:
                return await ask(self._connection)
            except SessionEnded:
                # While nobody used it. There are only so many of these, and new ones are made then.
                ended, self._connection = self._connection, None
                await self._database.give_back(ended)

    async def _end(self, connection: Connection, error: BaseException | None) -> None:
        try:
            if error is None:
                await self._commit(connection)
            else:
                await self._database.roll_back(connection)
        finally:
            await self._database.give_back(connection)

    async def _commit(self, connection: Connection) -> None:
        try:
            with self._database.translated:
                await self._database.execute(connection, "COMMIT")
        except BaseException:
            await self._database.roll_back(connection)
            raise


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
