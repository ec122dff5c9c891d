"""The database to use, and its limits."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sqlalchemy.engine import URL

from tradingagents_adapters.database_url import read_database_url
from tradingagents_adapters.errors import ConfigurationError


class Limits(NamedTuple):
    """The smallest and the largest allowed value of a number."""

    least: float
    most: float


POOL_SIZE: Final = Limits(1, 1000)
POOL_TIMEOUT: Final = Limits(0.001, 60)
CONNECT_TIMEOUT: Final = Limits(0.1, 600)
STATEMENT_TIMEOUT: Final = Limits(0.1, 3600)
ANSWER_TIMEOUT: Final = Limits(0.1, 3600)


@dataclass(frozen=True, init=False)
class DatabaseOptions:
    """A database and its limits. Times are in seconds. The limits apply to PostgreSQL."""

    url: URL = field(repr=False)
    """The URL. The constructor also takes a text, in every form that `read_database_url` reads."""
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
    client_settings: bool = False
    """Whether PostgreSQL's environment variables and files complete the URL, as in libpq."""

    # The constructor that dataclasses generate would take no text as URL.
    def __init__(
        self,
        *,
        url: str | URL,
        echo: bool = echo,
        pool_size: int = pool_size,
        pool_timeout: float = pool_timeout,
        connect_timeout: float = connect_timeout,
        statement_timeout: float = statement_timeout,
        answer_timeout: float = answer_timeout,
        pgbouncer: bool = pgbouncer,
        client_settings: bool = client_settings,
    ) -> None:
        """Read the URL, and check every option.

        Raises:
            ConfigurationError: an option cannot be used. The message is one line, begins with the name of the option,
                and repeats no secret.
        """
        values = {
            "echo": _switch("echo", echo),
            "pool_size": _whole_number("pool_size", pool_size, POOL_SIZE),
            "pool_timeout": _seconds("pool_timeout", pool_timeout, POOL_TIMEOUT),
            "connect_timeout": _seconds("connect_timeout", connect_timeout, CONNECT_TIMEOUT),
            "statement_timeout": _seconds("statement_timeout", statement_timeout, STATEMENT_TIMEOUT),
            "answer_timeout": _seconds("answer_timeout", answer_timeout, ANSWER_TIMEOUT),
            "pgbouncer": _switch("pgbouncer", pgbouncer),
            "client_settings": _switch("client_settings", client_settings),
        }
        try:
            values["url"] = read_database_url(url, client_settings=client_settings)
        except ValueError as error:
            raise ConfigurationError(f"url {error}") from None
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is an SQLite file."""
        return self.url.get_backend_name() == "sqlite"


def _switch(name: str, value: object) -> object:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} should be True or False")
    return value


def _whole_number(name: str, value: object, limits: Limits) -> object:
    if not isinstance(value, int) or isinstance(value, bool) or not limits.least <= value <= limits.most:
        raise ConfigurationError(f"{name} should be a whole number from {limits.least:g} to {limits.most:g}")
    return value


def _seconds(name: str, value: object, limits: Limits) -> object:
    # NaN is not within limits either.
    if not isinstance(value, int | float) or isinstance(value, bool) or not limits.least <= value <= limits.most:
        raise ConfigurationError(f"{name} should be a number of seconds from {limits.least:g} to {limits.most:g}")
    return value
