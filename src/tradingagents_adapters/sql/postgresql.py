"""How connections to PostgreSQL are made: by whichever host of the URL may be used."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import asyncpg

from tradingagents_adapters.database_url import PostgresqlUrl, is_socket
from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.options import DatabaseOptions

_TCP_OPTIONS: Final = {
    "keepalives": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "keepalives_idle": (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", None)),
    "keepalives_interval": (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPINTVL", None)),
    "keepalives_count": (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPCNT", None)),
    "tcp_user_timeout": (socket.IPPROTO_TCP, getattr(socket, "TCP_USER_TIMEOUT", None)),
}
"""Which options of a socket the parameters of a URL are."""


def connect_options(database: DatabaseOptions) -> dict[str, Any]:
    """What `connect` is given for this database."""
    options = {"timeout": database.connect_timeout} | PostgresqlUrl.of(database.url).driver_options()
    options["connection_class"] = _connection_class(options.pop("tcp_options"))
    if database.pgbouncer:
        # A prepared statement would live in a server connection that somebody else is given next, and so would a
        # setting of the session.
        options["statement_cache_size"] = 0
    return options


async def connect(
    dsn: str | None = None,
    *,
    timeout: float,  # noqa: ASYNC109
    host: Sequence[str | None] = (),
    port: Sequence[int | None] = (),
    target_session_attrs: str | None = None,
    **options: Any,
) -> Any:
    """Connect to the first host that may be used.

    Each has its share of the time, so that a silent one keeps nobody from the next; the driver would spend it all on
    the first.

    Raises:
        ConfigurationError: the driver cannot do what variables or files of PostgreSQL's clients ask for.
    """
    addresses = list(zip(host, port, strict=True)) or [(None, None)]
    # The driver would be content with any host: it is given one at a time.
    kinds = ["standby", "any"] if target_session_attrs == "prefer-standby" else [target_session_attrs]
    attempts = [(*address, kind) for kind in kinds for address in addresses]
    problem: Exception | None = None
    for each_host, each_port, kind in attempts:
        try:
            return await asyncpg.connect(
                dsn,
                host=each_host,
                port=each_port,
                timeout=timeout / len(attempts),
                target_session_attrs=kind,
                **options,
            )
        except asyncpg.ClientConfigurationError as error:
            raise _unusable_variables(error) from None
        except FileNotFoundError as error:
            problem = FileNotFoundError(error.errno, error.strerror, each_host) if is_socket(each_host) else error
        except TimeoutError:
            problem = TimeoutError(
                f"{each_host or 'the server'} did not take the connection within {timeout / len(attempts):g} s "
                "(DATABASE_CONNECT_TIMEOUT, shared by all hosts)"
            )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            problem = error
        except ValueError as error:
            raise _unusable_variables(error) from None
        except asyncpg.TargetServerAttributeNotMatched as error:
            problem = ConnectionError(str(error))
    assert problem is not None
    raise problem


def _unusable_variables(error: ValueError) -> ConfigurationError:
    # What the URL says has been checked; what else the driver reads has not.
    return ConfigurationError(f"PostgreSQL's client settings (PG...) cannot be used: {error.args[0]}")


def _connection_class(tcp_options: Mapping[str, int]) -> type[Any]:
    """The driver's connections, over a socket with these options as far as the operating system has them."""
    if not tcp_options:
        return cast(type[Any], asyncpg.Connection)
    values = [(*_TCP_OPTIONS[name], value) for name, value in tcp_options.items() if _TCP_OPTIONS[name][1] is not None]

    class Connection(asyncpg.Connection):  # type: ignore[misc]
        def __init__(self, protocol: Any, transport: asyncio.BaseTransport, *others: Any) -> None:
            super().__init__(protocol, transport, *others)
            used = transport.get_extra_info("socket")
            if used.family != socket.AF_UNIX:
                for level, option, value in values:
                    used.setsockopt(level, option, value)

    return Connection
