"""Database errors become errors of the core here, and nowhere else."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

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


@contextmanager
def translated() -> Iterator[None]:
    """Turn what means "away, busy or out of connections" into `StoreUnavailable`.

    A broken constraint passes: only the store knows the fact behind it (`is_unique_violation`). So does every error
    that is a mistake of this program.

    Raises:
        StoreUnavailable: the database could not be asked, or did not answer in time.
    """
    try:
        yield
    except (InterfaceError, PendingRollbackError, PoolTimeoutError, OSError, TimeoutError) as error:
        raise _unavailable(error) from error
    except DBAPIError as error:
        if error.connection_invalidated or _says_not_now(error):
            raise _unavailable(error) from error
        raise


def is_unique_violation(error: IntegrityError) -> bool:
    """Whether a value that has to be unique was there already; else a row that was referred to was missing."""
    return _sqlite_code(error) == sqlite3.SQLITE_CONSTRAINT_UNIQUE or _sqlstate(error) == "23505"


def _says_not_now(error: DBAPIError) -> bool:
    return _sqlite_code(error) & 0xFF in _SQLITE_UNAVAILABLE or _sqlstate(error).startswith(_POSTGRESQL_UNAVAILABLE)


def _unavailable(error: Exception) -> StoreUnavailable:
    said = str(getattr(error, "orig", None) or error).splitlines()
    return StoreUnavailable(reason=said[0] if said else type(error).__name__)


def _sqlite_code(error: DBAPIError) -> int:
    return int(getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_OK))


def _sqlstate(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "")
