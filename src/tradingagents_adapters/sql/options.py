"""The database to use, and its limits."""

from dataclasses import dataclass

from sqlalchemy.engine import URL


@dataclass(frozen=True, kw_only=True)
class DatabaseOptions:
    """A database and its limits. Times are in seconds. The limits apply to PostgreSQL."""

    url: URL
    """The URL as `read_database_url` returns it."""
    echo: bool = False
    """Whether statements are logged."""
    pool_size: int = 15
    """The largest number of connections of a process."""
    pool_timeout: float = 2
    """How long a caller waits for a connection."""
    connect_timeout: float = 1.5
    """How long connecting may take, for all hosts of the URL together; `connect_timeout` in the URL overrides it."""
    statement_timeout: float = 2
    """How long a statement may take, and how long it may wait for a lock. Large pages have a longer limit."""
    answer_timeout: float = 2.5
    """How long an answer may take to arrive before the connection is closed. Large pages have a longer limit."""
    pgbouncer: bool = False
    """Whether the database is reached through pgbouncer in transaction mode."""

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is an SQLite file."""
        return self.url.get_backend_name() == "sqlite"
