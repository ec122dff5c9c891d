"""Connecting to PostgreSQL: to the first usable host of the URL."""

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import asyncpg

from tradingagents_adapters.database_url import MakeTls, PostgresqlUrl, is_socket
from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.options import DatabaseOptions

_TCP_OPTIONS: Final = {
    "keepalives": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "keepalives_idle": (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", None)),
    "keepalives_interval": (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPINTVL", None)),
    "keepalives_count": (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPCNT", None)),
    "tcp_user_timeout": (socket.IPPROTO_TCP, getattr(socket, "TCP_USER_TIMEOUT", None)),
}
"""The socket options that parameters of a URL set."""

_DEFAULT_HOSTS: Final = ["localhost"] if os.name == "nt" else ["/var/run/postgresql", "/tmp", "localhost"]  # noqa: S108
"""For a URL without a host: where packages and PostgreSQL's own builds put the socket, and then TCP."""

_MAY_NEED_OTHER_ENCRYPTION: Final = (
    ConnectionError,
    ssl.SSLError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.ConnectionDoesNotExistError,
)
"""Errors of a server that may accept the connection with TLS instead of without TLS, or the other way round."""


def connect_options(database: DatabaseOptions) -> dict[str, Any]:
    """The arguments of `connect` for this database."""
    options = {"timeout": database.connect_timeout} | PostgresqlUrl.of(database.url).driver_options(
        client_settings=database.client_settings
    )
    options["connection_class"] = _connection_class(options.pop("tcp_options"))
    if database.pgbouncer:
        # Prepared statements and session settings would stay in a server connection that another client uses next.
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
    """Connect to the first usable host.

    Each host has an equal share of the timeout, so that a silent host does not block the next host. The driver would
    spend the whole timeout on the first host.

    Raises:
        ConfigurationError: the driver does not support a setting in PostgreSQL's environment variables or files.
    """
    addresses = list(zip(host, port, strict=True)) or [(None, None)]
    # Given several hosts, the driver would accept any kind of server: it gets one host at a time.
    kinds = ["standby", "any"] if target_session_attrs == "prefer-standby" else [target_session_attrs]
    attempts = [(*address, kind) for kind in kinds for address in addresses]
    problem: Exception | None = None
    for each_host, each_port, kind in attempts:
        try:
            async with asyncio.timeout(timeout / len(attempts)):
                return await _connect_to_host(
                    each_host, dsn=dsn, port=each_port, timeout=None, target_session_attrs=kind, **options
                )
        except asyncpg.ClientConfigurationError as error:
            raise _unusable_variables(error) from None
        except FileNotFoundError as error:
            problem = FileNotFoundError(error.errno, error.strerror, each_host) if is_socket(each_host) else error
        except TimeoutError:
            problem = TimeoutError(
                f"{each_host or 'the server'} did not take the connection within {timeout / len(attempts):g} s "
                "(DATABASE_CONNECT_TIMEOUT or connect_timeout, shared by all hosts)"
            )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            problem = error
        except ValueError as error:
            raise _unusable_variables(error) from None
        except asyncpg.TargetServerAttributeNotMatched as error:
            problem = ConnectionError(str(error))
    assert problem is not None
    raise problem


async def _connect_to_host(
    host: str | None, *, tls: Sequence[MakeTls | None] = (), direct_tls: bool | None = None, **options: Any
) -> Any:
    """Connect to a host.

    `tls` are the ways to encrypt, in the order of preference: functions that make a TLS context, and None for a
    connection without TLS. Without `tls` the driver decides, and reads PostgreSQL's environment variables and files.
    """
    if not tls:
        return await asyncpg.connect(host=host, direct_tls=direct_tls, **options)
    problem: Exception | None = None
    for make in [None] if is_socket(host) else tls:
        context, direct = (make(), direct_tls) if make else (False, False)
        try:
            return await asyncpg.connect(host=host or _DEFAULT_HOSTS, ssl=context, direct_tls=direct, **options)
        except _MAY_NEED_OTHER_ENCRYPTION as error:
            # A wrong password is more useful to know than the server's refusal of the other encryption.
            if not isinstance(problem, asyncpg.InvalidPasswordError):
                problem = error
    assert problem is not None
    raise problem


def _unusable_variables(error: ValueError) -> ConfigurationError:
    # The URL has been checked; the environment variables and files that the driver reads have not.
    return ConfigurationError(f"PostgreSQL's client settings (PG...) cannot be used: {error.args[0]}")


def _connection_class(tcp_options: Mapping[str, int]) -> type[Any]:
    """The driver's connection class, with these socket options where the operating system supports them."""
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
