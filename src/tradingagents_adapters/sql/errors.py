"""Database errors become errors of the core here, and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tradingagents_core.errors import StoreUnavailable

_SQLITE_UNIQUE: Final = "SQLITE_CONSTRAINT_UNIQUE"


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
    except (OperationalError, InterfaceError, PoolTimeoutError, OSError, TimeoutError) as error:
        raise StoreUnavailable from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise StoreUnavailable from error
        raise


def is_unique_violation(error: IntegrityError) -> bool:
    """Whether a value that has to be unique was there already; else a row that was referred to was missing."""
    return getattr(error.orig, "sqlite_errorname", None) == _SQLITE_UNIQUE
