"""Database errors become errors of the core here, and nowhere else."""

import re
import sqlite3
from collections.abc import Callable
from typing import Final

import asyncpg
from sqlalchemy import PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.exc import DBAPIError

from tradingagents_adapters.sql.tables import metadata
from tradingagents_core.errors import StoreUnavailable

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
"""The primary result codes that say "not now", in the low byte of a code."""

_POSTGRESQL_UNAVAILABLE: Final = (
    "08",  # the connection failed
    "25006",  # the server takes no writes: a standby, or a primary that has been replaced
    "25P03",  # the transaction was idle for too long
    "40",  # rolled back: a deadlock, a conflict of transactions
    "53",  # out of connections, memory or disk
    "55P03",  # a lock was not to be had in time
    "57",  # shutting down, starting up, or the statement took too long
    "58",  # the server's system failed
)
"""What a SQLSTATE begins with that says "not now" (PostgreSQL, appendix A)."""

_POSTGRESQL_REFUSALS: Final = {
    "28P01": "check the user and the password in DATABASE_URL, where special characters are percent-encoded",
    "28": "check the user in DATABASE_URL, and what the server's pg_hba.conf lets in",
    "3D": "create it, or name another one in DATABASE_URL",
    "3F": "create the schema that the role's search_path names, or GRANT USAGE ON SCHEMA public TO {role}",
    "42501": "GRANT the right to {role}, or have the owner of the tables do this",
    "42P07": "it is another application's; name a database in DATABASE_URL that is the service's own",
    "55000": "let the database accept connections, or name another one in DATABASE_URL",
}
"""What a SQLSTATE begins with that says "not until an operator has mended this", and what mends it."""

_SQLITE_REFUSALS: Final = {
    sqlite3.SQLITE_NOTADB: "name another file in DATABASE_URL, or move this one away",
}
"""The same for SQLite's primary result codes."""

_DENIED: Final = re.compile('permission denied for (?P<kind>schema|table|sequence|database) "?(?P<name>[^"]+?)"?$')
_GRANTS: Final = {
    "schema": "GRANT USAGE, CREATE ON SCHEMA {name} TO {role}",
    "table": "GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {role}",
    "sequence": "GRANT USAGE ON SEQUENCE {name} TO {role}",
    "database": "GRANT CONNECT ON DATABASE {name} TO {role}",
}
_ALREADY_THERE: Final = re.compile(r"table \S+ already exists")


_UNIQUE: Final = {
    ", ".join(f"{table.name}.{column.name}" for column in constraint.columns): str(constraint.name)
    for table in metadata.tables.values()
    for constraint in table.constraints
    if isinstance(constraint, PrimaryKeyConstraint | UniqueConstraint)
}
"""The names of constraints by their columns, as SQLite says them."""

_SQLITE_UNIQUE: Final = re.compile(r"UNIQUE constraint failed: (?P<columns>\w+\.\w+(, \w+\.\w+)*)$")


class ConstraintBroken(Exception):
    """A statement was refused by a constraint of the tables, which has this name.

    None stands for a constraint whose name the database does not say: on SQLite one that is no key and not unique.
    """

    def __init__(self, constraint: str | None) -> None:
        super().__init__(constraint)
        self.constraint = constraint


class TableMissing(Exception):
    """A statement asked for a table that is not there."""


class SessionEnded(Exception):
    """The server had ended the session of a connection before the statement was sent."""


class DatabaseLost(Exception):
    """The database was removed or replaced, and has to be prepared again. The text says what happened."""


class Translated:
    """A context that turns what means "away, busy or out of connections" into `StoreUnavailable`, and what an operator
    has to mend into one that is lasting.

    Errors that are a mistake of this program pass as they are. `role` is the database's role, for whom something may
    have to be granted.

    Raises:
        StoreUnavailable: the database could not be asked, did not answer in time, or refuses to.
        ConstraintBroken: a constraint of the tables stands against it; only the store knows the fact behind it.
        TableMissing: there is no such table.
    """

    def __init__(self, *, role: str | None = None, lose: Callable[[str], None] | None = None) -> None:
        self._role = quoted(role) if role else "the role in DATABASE_URL"
        self._lose = lose

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if not isinstance(error, Exception):
            return
        said = _of_driver(error)
        if isinstance(said, DatabaseLost) and self._lose is not None:
            self._lose(str(said))
            raise StoreUnavailable(reason=str(said), is_logged=True) from None
        if isinstance(said, sqlite3.IntegrityError) or _sqlstate(said).startswith("23"):
            raise ConstraintBroken(_constraint(said)) from error
        if _sqlstate(said) == "42P01" or (
            isinstance(said, sqlite3.OperationalError) and str(said).startswith("no such table")
        ):
            raise TableMissing from error
        if (mending := self._mending(said)) is not None:
            raise StoreUnavailable(reason=f"{_first_line(said)}; {mending}", is_lasting=True) from error
        if _says_not_now(said):
            raise StoreUnavailable(reason=_first_line(said)) from error

    def _mending(self, error: Exception) -> str | None:
        """What has to be done before the database does what it refused; None where it did not refuse for good."""
        if isinstance(error, sqlite3.OperationalError) and _ALREADY_THERE.match(str(error)):
            return _POSTGRESQL_REFUSALS["42P07"]
        state = _sqlstate(error)
        if state == "42501" and (denied := _DENIED.match(_first_line(error))):
            return _GRANTS[denied["kind"]].format(name=quoted(denied["name"]), role=self._role)
        for begin, mending in _POSTGRESQL_REFUSALS.items():
            if state.startswith(begin):
                return mending.format(role=self._role)
        return _SQLITE_REFUSALS.get(_sqlite_code(error) & 0xFF)


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return name if re.fullmatch("[a-z_][a-z0-9_]*", name) else '"{}"'.format(name.replace('"', '""'))


def _of_driver(error: Exception) -> Exception:
    """The error as the driver raised it: SQLAlchemy, which runs the migrations, wraps it once or twice."""
    if isinstance(error, DBAPIError) and isinstance(error.orig, Exception):
        inner = error.orig.__cause__
        return inner if isinstance(inner, asyncpg.PostgresError) else error.orig
    return error


def is_statement_canceled(error: BaseException | None) -> bool:
    """Whether PostgreSQL has canceled a statement, which had waited for a lock or worked for too long."""
    return error is not None and _sqlstate(error) in {"55P03", "57014"}


def _constraint(error: Exception) -> str | None:
    if isinstance(error, sqlite3.IntegrityError):
        failed = _SQLITE_UNIQUE.search(str(error))
        return _UNIQUE.get(failed["columns"]) if failed else None
    name = getattr(error, "constraint_name", None)
    return None if name is None else str(name)


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
