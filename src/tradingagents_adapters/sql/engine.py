"""Engines: how connections to each database are opened and set up."""

from typing import Any, Final

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from tradingagents_adapters.settings import DatabaseSettings
from tradingagents_core.domain.parameters import Parameters

SQLITE_BUSY_SECONDS: Final = 5
"""How long a block waits for another process that is writing to the same SQLite file."""

CONNECT_SECONDS: Final = 1.5
"""How long opening a connection to PostgreSQL may take."""

STATEMENT_SECONDS: Final = 2
"""How long PostgreSQL may take for a statement, or to get a lock for it."""

ANSWER_SECONDS: Final = 2.5
"""How long PostgreSQL may take to answer at all; after that its connection is given up."""

IDLE_IN_TRANSACTION_SECONDS: Final = 10
"""How long PostgreSQL keeps a transaction that is asked nothing."""


def open_engine(settings: DatabaseSettings, *, for_migrations: bool = False) -> AsyncEngine:
    """An engine for the database of these settings; it connects when it is first used.

    The drivers stay in autocommit mode: `connections.py` says where a transaction begins and ends. An engine
    `for_migrations` sets no limit to the time of a statement, and lets SQLite replace tables that others refer to.
    """
    open_for = {"sqlite": _open_sqlite, "postgresql": _open_postgresql}
    return open_for[settings.database_url.get_backend_name()](settings, for_migrations)


def _open_sqlite(settings: DatabaseSettings, for_migrations: bool) -> AsyncEngine:
    busy_seconds = 60 if for_migrations else SQLITE_BUSY_SECONDS
    foreign_keys = "OFF" if for_migrations else "ON"

    def set_up(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"foreign_keys={foreign_keys}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    engine = _create(settings, connect_args={"isolation_level": None, "timeout": busy_seconds})
    event.listen(engine.sync_engine, "connect", set_up)
    return engine


def _open_postgresql(settings: DatabaseSettings, for_migrations: bool) -> AsyncEngine:
    connect_args: dict[str, Any] = {"timeout": CONNECT_SECONDS, "async_creator_fn": _connect}
    if not for_migrations:
        connect_args["command_timeout"] = ANSWER_SECONDS
    if settings.database_pgbouncer:
        # A prepared statement would live in a server connection that somebody else is given next, and so would a
        # setting of the session.
        connect_args |= {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
    elif not for_migrations:
        connect_args["server_settings"] = {
            "application_name": "tradingagents",
            "statement_timeout": f"{STATEMENT_SECONDS}s",
            "lock_timeout": f"{STATEMENT_SECONDS}s",
            "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
        }
    engine = _create(settings, isolation_level="AUTOCOMMIT", connect_args=connect_args)
    event.listen(engine.sync_engine, "checkout", _replace_if_closed)
    event.listen(engine.sync_engine, "close", _hang_up)
    return engine


async def _connect(*, timeout: float, **options: Any) -> Any:  # noqa: ASYNC109
    """Connect to the first host that may be used.

    Each has its share of the time, so that a silent one keeps nobody from the next; the driver would spend it all on
    the first.
    """
    host, port = options.pop("host", None), options.pop("port", None)
    addresses = list(zip(host, port, strict=True)) if isinstance(host, list) else [(host, port)]
    problem: Exception | None = None
    for each_host, each_port in addresses:
        try:
            return await asyncpg.connect(host=each_host, port=each_port, timeout=timeout / len(addresses), **options)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            problem = error
        except asyncpg.TargetServerAttributeNotMatched as error:
            problem = ConnectionError(str(error))
    assert problem is not None
    raise problem


def _hang_up(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Close a connection at once: SQLAlchemy and the driver would take their leave of a server that may be silent."""
    driver_connection: Any = connection.driver_connection
    driver_connection.terminate()


def _replace_if_closed(_: DBAPIConnection, entry: ConnectionPoolEntry, __: PoolProxiedConnection) -> None:
    """Have the pool open a new connection for one that the server has closed; the driver knows without asking."""
    driver_connection: Any = entry.driver_connection
    if driver_connection.is_closed():
        raise DisconnectionError("The server has closed the connection")


def _create(settings: DatabaseSettings, **options: Any) -> AsyncEngine:
    return create_async_engine(
        settings.database_url,
        echo=settings.sqlalchemy_echo,
        hide_parameters=True,
        json_serializer=_parameters_to_json,
        json_deserializer=Parameters.from_store,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_pool_overflow,
        pool_timeout=settings.database_pool_timeout,
        skip_autocommit_rollback=True,
        **options,
    )


def _parameters_to_json(parameters: Parameters) -> str:
    return parameters.json
