"""PostgreSQL through asyncpg and its pool."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Final, cast
from weakref import WeakValueDictionary

import asyncpg
from sqlalchemy import Executable, Table
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from tradingagents_adapters.database_url import PostgresqlUrl, is_socket, shown_url
from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.database import Check, Connection, Database, Row, Transaction
from tradingagents_adapters.sql.errors import SessionEnded
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_core.errors import StoreUnavailable

IDLE_IN_TRANSACTION_SECONDS: Final = 10
"""How long the server keeps a transaction that is asked nothing."""

_TCP_OPTIONS: Final = {
    "keepalives": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "keepalives_idle": (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", None)),
    "keepalives_interval": (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPINTVL", None)),
    "keepalives_count": (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPCNT", None)),
    "tcp_user_timeout": (socket.IPPROTO_TCP, getattr(socket, "TCP_USER_TIMEOUT", None)),
}
"""Which options of a socket the parameters of a URL are."""


class PostgresqlDatabase(Database):
    """A PostgreSQL database, with connections to it that are kept for the next who needs one."""

    begin = "BEGIN"

    def __init__(self, options: DatabaseOptions, check: Check | None = None) -> None:
        self._connect_options = connect_options(options) | {"command_timeout": options.answer_timeout}
        super().__init__(
            dialect(),  # type: ignore[no-untyped-call]
            name=shown_url(options.url),
            role=self._connect_options.get("user"),
            echo=options.echo,
            check=check,
        )
        if not options.pgbouncer:
            self._connect_options["server_settings"] = {
                "application_name": "tradingagents",
                **self._connect_options["server_settings"],
                "statement_timeout": _milliseconds(options.statement_timeout),
                "lock_timeout": _milliseconds(options.statement_timeout),
                "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
                # For an owner of much of the table PostgreSQL would else walk through everybody's strategies by id.
                "plan_cache_mode": "force_generic_plan",
            }
        self._size = options.pool_size
        self._wait_seconds = options.pool_timeout
        self._statement_seconds = options.statement_timeout
        self._answer_seconds = options.answer_timeout
        self._pool: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        if self._loop is asyncio.get_running_loop():
            return
        # The connections of an event loop that has been closed cannot be closed any more: they go with their pool.
        self._loop = asyncio.get_running_loop()
        self._turns: WeakValueDictionary[tuple[Table, int], asyncio.Lock] = WeakValueDictionary()
        self._free = asyncio.Semaphore(self._size)
        self._pool = await asyncpg.create_pool(
            min_size=0, max_size=self._size, connect=connect, reset=_leave_as_it_is, **self._connect_options
        )

    async def close(self) -> None:
        # At once: a polite goodbye would wait for a server that may be silent.
        if self._loop is asyncio.get_running_loop():
            self._pool.terminate()
        self._loop = None

    def read_time(self, value: Any) -> datetime:
        assert isinstance(value, datetime)
        return value

    async def take(self, *, to_write: bool) -> Connection:
        if self._free.locked():
            await _wait(self._free, self._wait_seconds, "every connection is in use")
        else:
            await self._free.acquire()
        try:
            return _AsyncpgConnection(await self._pool.acquire())
        except BaseException:
            self._free.release()
            raise

    async def give_back(self, connection: Connection) -> None:
        assert isinstance(connection, _AsyncpgConnection)
        try:
            await self._pool.release(connection.pooled)
        finally:
            self._free.release()

    @asynccontextmanager
    async def turn(self, row: tuple[Table, int]) -> AsyncIterator[None]:
        # Who waits here keeps no connection, and costs the server nothing.
        if lock := self._turns.get(row):
            await _wait(lock, self._statement_seconds, "others keep the row for too long")
        else:
            lock = self._turns[row] = asyncio.Lock()
            await lock.acquire()
        try:
            yield
        finally:
            lock.release()

    async def _fetch_patiently(self, statement: Executable, values: Mapping[str, Any], patience: int) -> Sequence[Row]:
        limit = f"SET LOCAL statement_timeout = '{_milliseconds(self._statement_seconds * patience)}'"
        async with Transaction(self, is_checked=False, begin=("BEGIN READ ONLY", limit)) as transaction:
            return await transaction.fetch(statement, within=self._answer_seconds * patience, **values)

    def row_lock(self, table: Table, row_id: int) -> str:
        return f"SELECT FROM {table.name} WHERE id = {row_id:d} FOR UPDATE"


class PgbouncerDatabase(PostgresqlDatabase):
    """A PostgreSQL database behind a pgbouncer in transaction mode.

    It may give each statement outside a transaction to another server connection, even the parts of one statement; so
    here none is outside.
    """

    async def _fetch_alone(self, statement: Executable, values: Mapping[str, Any], *, to_write: bool) -> Sequence[Row]:
        async with Transaction(self, is_checked=False) as transaction:
            return await transaction.fetch(statement, **values)


class _AsyncpgConnection(Connection):
    def __init__(self, connection: Any) -> None:
        self.pooled = connection

    async def fetch(self, sql: str, values: Sequence[Any], *, within: float | None = None) -> Sequence[Row]:
        return cast(Sequence[Row], await self._ask(self.pooled.fetch(sql, *values, timeout=within)))

    async def execute(self, *statements: str) -> int:
        _, _, rows = (await self._ask(self.pooled.execute("; ".join(statements)))).rpartition(" ")
        return int(rows) if rows.isdecimal() else 0

    async def roll_back(self) -> None:
        if self.pooled.is_in_transaction():
            await self.execute("ROLLBACK")

    async def give_up(self) -> None:
        # The pool has back already what the server has closed.
        with suppress(asyncpg.InterfaceError):
            self.pooled.terminate()

    async def _ask(self, question: Awaitable[Any]) -> Any:
        try:
            return await question
        except (TimeoutError, asyncio.CancelledError):
            # The driver would ask the server, which may be silent, to stop, and keep the connection until it has.
            await self.give_up()
            raise
        except asyncpg.InternalClientError as error:
            # The driver has read why the server ended the session, but not yet that the connection is closed.
            await self.give_up()
            raise SessionEnded("the server has ended the session") from error


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
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            problem = error
        except ValueError as error:
            raise _unusable_variables(error) from None
        except asyncpg.TargetServerAttributeNotMatched as error:
            problem = ConnectionError(str(error))
    assert problem is not None
    raise problem


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


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


async def _wait(for_lock: asyncio.Lock | asyncio.Semaphore, seconds: float, otherwise: str) -> None:
    try:
        async with asyncio.timeout(seconds):
            await for_lock.acquire()
    except TimeoutError:
        raise StoreUnavailable(reason=otherwise) from None


async def _leave_as_it_is(_: object) -> None:
    """Nothing has to be reset: every transaction was ended, and nothing else was changed."""
