"""Connections that run SQLAlchemy's statements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cachetools import LRUCache
from sqlalchemy import Executable
from sqlalchemy.engine import Dialect
from sqlalchemy.log import InstanceLogger
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

from tradingagents_adapters.sql.drivers.driver import DriverConnection, Row, Statement, with_id

COMPILED_AT_MOST: Final = 500
"""The size of the cache of compiled statements. The least recently used statement is evicted first."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """The SQL text of a statement, and the names of its parameters in the order of the text."""

    sql: str
    names: Sequence[str]


class Compiler:
    """Compiles each statement once, for all connections of a database."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._compiled: LRUCache[Executable, Compiled] = LRUCache(COMPILED_AT_MOST)

    def compiled(self, statement: Executable) -> Compiled:
        """The compiled statement. The cache finds a statement by the identity of the object, not by its text."""
        try:
            return self._compiled[statement]
        except KeyError:
            compiled = self._compiled[statement] = self._compile(statement)
            return compiled

    def _compile(self, statement: Executable) -> Compiled:
        assert isinstance(statement, ClauseElement)
        compiled = statement.compile(dialect=self._dialect)
        assert isinstance(compiled, SQLCompiler)
        return Compiled(compiled.string, tuple(compiled.positiontup or ()))


class Connection:
    """A connection that compiles statements, logs them and has the driver run them."""

    __slots__ = ("_compiler", "_log", "driver_connection")

    def __init__(
        self, driver_connection: DriverConnection, compiler: Compiler, log: InstanceLogger | None = None
    ) -> None:
        self.driver_connection = driver_connection
        self._compiler = compiler
        self._log = log

    async def fetch(
        self, statements: Sequence[Executable], values: Mapping[str, Any], *, within: float | None = None
    ) -> Sequence[Row]:
        """Run statements that share their `values` one after another, and fetch all rows of the last statement.

        `within` is a time limit in seconds in place of the usual limit.
        """
        return await self.driver_connection.fetch(
            *[self._with_values(statement, values) for statement in statements], within=within
        )

    async def execute(self, *statements: str) -> int:
        """Run statements without parameters, and return the number of rows of the last statement.

        They take one round trip where the driver supports that.
        """
        for sql in statements:
            self._log_sql(sql)
        return await self.driver_connection.execute(*statements)

    async def execute_for(self, row_id: int, *statements: str) -> int:
        """Run statements as `execute` does, with an id in the place of `{id}`."""
        if self._log is not None:
            for sql in statements:
                self._log_sql(with_id(sql, row_id))
        return await self.driver_connection.execute_for(row_id, *statements)

    async def commit(self) -> None:
        """Commit the open transaction."""
        self._log_sql("COMMIT")
        await self.driver_connection.commit()

    async def roll_back(self) -> None:
        """Roll back the open transaction; when that fails, terminate the connection."""
        self._log_sql("ROLLBACK")
        try:
            await self.driver_connection.roll_back()
        except Exception:  # noqa: BLE001
            # The state of the connection is unknown.
            await self.driver_connection.terminate()

    def _with_values(self, statement: Executable, values: Mapping[str, Any]) -> Statement:
        compiled = self._compiler.compiled(statement)
        self._log_sql(compiled.sql)
        return compiled.sql, [values[name] for name in compiled.names]

    def _log_sql(self, sql: str) -> None:
        if self._log is not None:
            self._log.info("%s", sql)
