"""Database errors become errors of the core here, and nowhere else."""

import sqlite3
from typing import Final

import asyncpg
from sqlalchemy.exc import DBAPIError

from tradingagents_core.errors import StoreUnavailable

_SQLITE_UNAVAILABLE: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}
"""The primary result codes that say "not now", in the low byte of a code."""

_POSTGRESQL_UNAVAILABLE: Final = (
    "08",  # the connection failed
    "25006",  # the server takes no writes: a standby, or a primary that has been replaced
    "25P03",  # the transaction was idle for too long
    "28",  # the log-in was refused
    "3D",  # there is no such database
    "40",  # rolled back: a deadlock, a conflict of transactions
    "53",  # out of connections, memory or disk
    "55P03",  # a lock was not to be had in time
    "57",  # shutting down, starting up, or the statement took too long
    "58",  # the server's system failed
)
"""What a SQLSTATE begins with that says "not now" (PostgreSQL, appendix A)."""


class ConstraintBroken(Exception):
    """A statement was refused by the tables: a value that has to be `unique` was there already; else a row that was
    referred to was missing."""

    def __init__(self, *, unique: bool) -> None:
        super().__init__(unique)
        self.unique = unique


class TableMissing(Exception):
    """A statement asked for a table that is not there."""


class SessionEnded(Exception):
    """The server had ended the session of a connection before the statement was sent."""


class _Translated:
    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if not isinstance(error, Exception):
            return
        # SQLAlchemy, which runs the migrations, wraps the errors of the drivers.
        said = error.orig if isinstance(error, DBAPIError) and error.orig else error
        if isinstance(said, sqlite3.IntegrityError | asyncpg.IntegrityConstraintViolationError):
            raise ConstraintBroken(unique=_is_unique_violation(said)) from error
        if _sqlstate(said) == "42P01" or (
            isinstance(said, sqlite3.OperationalError) and str(said).startswith("no such table")
        ):
            raise TableMissing from error
        if _says_not_now(said):
            raise StoreUnavailable(reason=_first_line(said)) from error


TRANSLATED: Final = _Translated()
"""A context that turns what means "away, busy or out of connections" into `StoreUnavailable`.

Errors that are a mistake of this program pass as they are.

Raises:
    StoreUnavailable: the database could not be asked, or did not answer in time.
    ConstraintBroken: a constraint of the tables stands against it; only the store knows the fact behind it.
    TableMissing: there is no such table.
"""


def _is_unique_violation(error: Exception) -> bool:
    return _sqlite_code(error) == sqlite3.SQLITE_CONSTRAINT_UNIQUE or _sqlstate(error) == "23505"


def _says_not_now(error: BaseException) -> bool:
    # An invalid cached statement: a migration has changed a column since it was prepared. The driver has forgotten all
    # statements by now, and outside a transaction it has tried again.
    return (
        isinstance(error, OSError | TimeoutError | SessionEnded | asyncpg.InvalidCachedStatementError)
        # What the driver says about a connection that is gone; what it says about wrong values is a `ValueError`, too.
        or (isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError))
        or _sqlite_code(error) & 0xFF in _SQLITE_UNAVAILABLE
        or _sqlstate(error).startswith(_POSTGRESQL_UNAVAILABLE)
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _sqlite_code(error: BaseException) -> int:
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK))


def _sqlstate(error: BaseException) -> str:
    return str(getattr(error, "sqlstate", None) or "")
