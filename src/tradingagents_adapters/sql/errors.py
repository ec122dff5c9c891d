"""The errors of the SQL layer. Database errors become errors of the core here, and nowhere else."""

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import asyncpg
from sqlalchemy import PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tradingagents_adapters.sql.tables import metadata
from tradingagents_core.errors import Misuse, StoreUnavailable

_SQLITE_UNAVAILABLE: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}
"""Primary result codes (the low byte of a result code) of errors that a retry may resolve."""

_POSTGRESQL_UNAVAILABLE: Final = (
    "08",  # the connection failed
    "25006",  # the server is read-only: a standby, or a former primary
    "25P03",  # the transaction was idle for too long
    "40",  # rolled back: a deadlock, a conflict of transactions
    "53",  # out of connections, memory or disk
    "55P03",  # a lock was not acquired in time
    "57",  # shutting down, starting up, or a statement timed out
    "58",  # a system error on the server
)
"""How the SQLSTATEs of errors begin that a retry may resolve (PostgreSQL, appendix A)."""

_POSTGRESQL_REFUSALS: Final = {
    "28P01": "check the user and the password in DATABASE_URL, where special characters are percent-encoded",
    "28": "check the user in DATABASE_URL, and what the server's pg_hba.conf lets in",
    "3D": "create it, or name another one in DATABASE_URL",
    "3F": "create the schema that the role's search_path names, or GRANT USAGE ON SCHEMA public TO {role}",
    "42501": "GRANT the right to {role}, or have the owner of the tables do this",
    "42P07": "it is another application's; name a database in DATABASE_URL that is the service's own",
    "55000": "let the database accept connections, or name another one in DATABASE_URL",
}
"""How the SQLSTATEs of errors begin that an operator has to resolve, each with the remedy."""

_SQLITE_REFUSALS: Final = {
    sqlite3.SQLITE_NOTADB: "name another file in DATABASE_URL, or move this one away",
}
"""SQLite's primary result codes of errors that an operator has to resolve, each with the remedy."""

_ASYNCPG_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_DENIED: Final = re.compile('permission denied for (?P<kind>schema|table|sequence|database) "?(?P<name>[^"]+?)"?$')
_GRANTS: Final = {
    "schema": "GRANT USAGE, CREATE ON SCHEMA {name} TO {role}",
    "table": "GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {role}",
    "sequence": "GRANT USAGE ON SEQUENCE {name} TO {role}",
    "database": "GRANT CONNECT ON DATABASE {name} TO {role}",
}
_TABLE_EXISTS: Final = re.compile(r"table \S+ already exists")

_UNIQUE: Final = {
    ", ".join(f"{table.name}.{column.name}" for column in constraint.columns): str(constraint.name)
    for table in metadata.tables.values()
    for constraint in table.constraints
    if isinstance(constraint, PrimaryKeyConstraint | UniqueConstraint)
}
"""The names of constraints, by their columns as SQLite's error message lists them."""

_SQLITE_UNIQUE: Final = re.compile(r"UNIQUE constraint failed: (?P<columns>\w+\.\w+(, \w+\.\w+)*)$")


class ConstraintBroken(Exception):
    """A statement was refused by the constraint of this name.

    The name is None where the database does not report it: on SQLite for every constraint that is not a primary key or
    unique.
    """

    def __init__(self, constraint: str | None) -> None:
        super().__init__(constraint)
        self.constraint = constraint


@contextmanager
def refused_by(constraint: str, refusal: Exception) -> Iterator[None]:
    """A block that raises `refusal` where this constraint refuses a statement."""
    try:
        yield
    except ConstraintBroken as error:
        if error.constraint != constraint:
            raise
        raise refusal from error


class TableMissing(Exception):
    """A statement names a table that does not exist."""


class SessionEnded(Exception):
    """The server had ended the session of a connection before the statement was sent."""


class NoOpenTransaction(Misuse):
    """A block should work in the open transaction of a host's connection, and there is none."""


class ConnectionOfAnotherDatabase(Misuse):
    """A block should work on a host's connection, which is one to another database than that of the stores."""


class DatabaseLost(Exception):
    """The database was removed or replaced, and has to be prepared again. The text says what happened."""


class DataWouldBeDropped(Exception):
    """A downgrade would drop `tables`: those that hold data, each with its number of rows."""

    def __init__(self, tables: Mapping[str, int]) -> None:
        # The argument of the constructor, so that copies and pickles of the error can call the constructor again.
        super().__init__(tables)
        self.tables = tables

    def __str__(self) -> str:
        return ", ".join(f"{name} ({rows} {'row' if rows == 1 else 'rows'})" for name, rows in self.tables.items())


class Translated:
    """A context that translates database errors. Errors that are bugs of this program are passed on unchanged.

    A `GRANT` in the reason of an error names `role`, the database's role.

    Raises:
        StoreUnavailable: the database is away, busy or out of connections, or did not respond in time. The error is
            lasting where an operator has to resolve it.
        ConstraintBroken: a constraint refused the statement. Only the store knows which rule the constraint stands for.
        TableMissing: a table does not exist.
    """

    def __init__(self, *, role: str | None = None, lose: Callable[[str], None] | None = None) -> None:
        self._role = quoted(role) if role else "the role in DATABASE_URL"
        self._lose = lose

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if not isinstance(error, Exception):
            return
        cause = driver_error(error)
        if isinstance(cause, DatabaseLost) and self._lose is not None:
            self._lose(str(cause))
            raise StoreUnavailable(reason=str(cause), is_logged=True) from None
        if isinstance(cause, sqlite3.IntegrityError) or _sqlstate(cause).startswith("23"):
            raise ConstraintBroken(_constraint(cause)) from error
        if _sqlstate(cause) == "42P01" or (
            isinstance(cause, sqlite3.OperationalError) and str(cause).startswith("no such table")
        ):
            raise TableMissing from error
        if (remedy := self._remedy(cause)) is not None:
            raise StoreUnavailable(reason=f"{_first_line(cause)}; {remedy}", is_lasting=True) from error
        if _is_unavailable(cause) or _has_lost_connection(error):
            raise StoreUnavailable(reason=_first_line(cause)) from error

    def _remedy(self, error: Exception) -> str | None:
        """What an operator has to do before a retry can succeed; None for other errors."""
        if isinstance(error, sqlite3.OperationalError) and _TABLE_EXISTS.match(str(error)):
            return _POSTGRESQL_REFUSALS["42P07"]
        state = _sqlstate(error)
        if state == "42501" and (denied := _DENIED.match(_first_line(error))):
            return _GRANTS[denied["kind"]].format(name=quoted(denied["name"]), role=self._role)
        for begin, remedy in _POSTGRESQL_REFUSALS.items():
            if state.startswith(begin):
                return remedy.format(role=self._role)
        return _SQLITE_REFUSALS.get(_sqlite_code(error) & 0xFF)


def quoted(name: str) -> str:
    """A name as an SQL identifier, quoted where needed."""
    return name if re.fullmatch("[a-z_][a-z0-9_]*", name) else '"{}"'.format(name.replace('"', '""'))


def driver_error(error: Exception) -> Exception:
    """The error as the driver raised it. SQLAlchemy wraps the error once or twice."""
    if isinstance(error, DBAPIError) and isinstance(error.orig, Exception):
        inner = error.orig.__cause__
        return inner if isinstance(inner, _ASYNCPG_ERRORS) else error.orig
    return error


def is_statement_canceled(error: BaseException | None) -> bool:
    """Whether PostgreSQL canceled a statement: its lock timeout or statement timeout expired."""
    return isinstance(error, Exception) and _sqlstate(driver_error(error)) in {"55P03", "57014"}


def _constraint(error: Exception) -> str | None:
    if isinstance(error, sqlite3.IntegrityError):
        failed = _SQLITE_UNIQUE.search(str(error))
        return _UNIQUE.get(failed["columns"]) if failed else None
    name = getattr(error, "constraint_name", None)
    return None if name is None else str(name)


def _is_unavailable(error: BaseException) -> bool:
    # InvalidCachedStatementError: a migration changed a column after the statement was prepared. The driver has emptied
    # its cache of statements. Outside a transaction the driver retries the statement itself.
    return (
        isinstance(error, OSError | TimeoutError | PoolTimeout | SessionEnded | asyncpg.InvalidCachedStatementError)
        # An InterfaceError about a closed connection. An InterfaceError about wrong values is a `ValueError`, too.
        or (isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError))
        or _sqlite_code(error) & 0xFF in _SQLITE_UNAVAILABLE
        or _sqlstate(error).startswith(_POSTGRESQL_UNAVAILABLE)
    )


def _has_lost_connection(error: Exception) -> bool:
    """Whether SQLAlchemy has found a connection lost, or refuses further statements on a lost connection."""
    return isinstance(error, PendingRollbackError) or (isinstance(error, DBAPIError) and error.connection_invalidated)


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _sqlite_code(error: BaseException) -> int:
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK))


def _sqlstate(error: BaseException) -> str:
    return str(getattr(error, "sqlstate", None) or "")
