"""Which database is used, and how long it is waited for."""

from dataclasses import dataclass

from sqlalchemy.engine import URL


@dataclass(frozen=True, kw_only=True)
class DatabaseOptions:
    """A database and the limits of its use. Times are in seconds; the limits are for PostgreSQL."""

    url: URL
    """What `read_database_url` has read."""
    echo: bool = False
    """Whether statements are logged."""
    pool_size: int = 15
    """Connections that a process has at most."""
    pool_timeout: float = 2
    """How long a caller waits for a connection."""
    connect_timeout: float = 1.5
    """How long connecting may take, shared by the hosts of the URL; `connect_timeout` in the URL wins."""
    statement_timeout: float = 2
    """How long a statement may take, and how long it may wait for a lock. Large pages have more."""
    answer_timeout: float = 2.5
    """How long an answer may take to arrive until its connection is closed. Large pages have more."""
    pgbouncer: bool = False
    """Whether the database is reached through pgbouncer in transaction mode."""

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file of SQLite's."""
        return self.url.get_backend_name() == "sqlite"
