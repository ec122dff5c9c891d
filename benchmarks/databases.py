"""Databases with contents, for all contenders."""

import asyncio
import functools
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

import psutil
from postgresql import Database, Databases, running_server
from processes import CHECKOUT, Machine
from sqlalchemy.engine import make_url

from tradingagents_adapters.argon2_passwords import Argon2PasswordHasher

Kind = Literal["SQLite", "PostgreSQL"]

PASSWORD: Final = "SecurePassword123"
"""The password of every user."""

FIRST_REVISION: Final = "0001"
"""The schema with users and strategies only, which the other contenders use."""

_ROWS_AT_ONCE: Final = 10_000
_PARAMETERS: Final = (
    '{"fast_period":10,"slow_period":20,"symbols":["AAPL","MSFT"],"risk":{"stop_loss":0.02,"take_profit":0.05}}'
)

_MAINTENANCE: Final[Mapping[Kind, Sequence[str]]] = {
    # An SQLite file keeps the journal mode of the migrations. Each contender sets its own mode.
    "SQLite": ("ANALYZE", "PRAGMA journal_mode=DELETE"),
    "PostgreSQL": ("VACUUM ANALYZE", "CHECKPOINT"),
}
"""Work that a server would otherwise do in the background during the first requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Owners 1, 2, ... with `strategies_each` strategies each. Strategy ids start at 1 and go owner by owner."""

    owners: int
    strategies_each: int
    strategies_of_one_more: int = 0
    """The number of strategies of one more owner, after all others."""

    def strategies_of(self, owner_id: int) -> range:
        """The ids of an owner's strategies."""
        first = (owner_id - 1) * self.strategies_each + 1
        count = self.strategies_each if owner_id <= self.owners else self.strategies_of_one_more
        return range(first, first + count)


class Server(ABC):
    """Creates and drops databases of one kind."""

    kind: Kind
    version: str

    @contextmanager
    def fresh(self, contents: Contents, *, revision: str = "head", checkout: Path = CHECKOUT) -> Iterator[str]:
        """The URL of a new database with these contents, which is dropped when the block ends.

        Its schema is migrated to this revision by the migrations of the checkout.
        """
        with self._empty() as url:
            machine = Machine(checkout, {"DATABASE_URL": url, "PYTHONPATH": str(checkout / "src")})
            # Fill the database first: the tables of the first revision are the same in every checkout.
            _migrate(machine, FIRST_REVISION)
            for statement in _inserts(self.kind, contents):
                self._run(url, statement)
            _migrate(machine, revision)
            for statement in _MAINTENANCE[self.kind]:
                self._run(url, statement)
            yield url

    @abstractmethod
    def connections(self, url: str, process: psutil.Process) -> int:
        """The number of open connections to a database that only this process uses."""

    @abstractmethod
    def _empty(self) -> AbstractContextManager[str]: ...

    @abstractmethod
    def _run(self, url: str, statement: str) -> None: ...


class SqliteFiles(Server):
    """SQLite databases in temporary folders."""

    kind = "SQLite"
    version = sqlite3.sqlite_version

    def connections(self, url: str, process: psutil.Process) -> int:
        return sum(each.path == _path(url) for each in process.open_files())

    @contextmanager
    def _empty(self) -> Iterator[str]:
        with TemporaryDirectory(prefix="benchmark-") as folder:
            yield f"sqlite+aiosqlite:///{folder}/tradingagents.db"

    def _run(self, url: str, statement: str) -> None:
        with closing(sqlite3.connect(_path(url), isolation_level=None)) as connection:
            connection.execute(statement)


class PostgresqlDatabases(Server):
    """Databases on the PostgreSQL server that is installed with the tests."""

    kind = "PostgreSQL"

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self.version = databases.maintenance.sql("SHOW server_version")[0]

    def connections(self, url: str, process: psutil.Process) -> int:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        return int(_database(url).sql(f"SELECT count(*) FROM pg_stat_activity WHERE {others}")[0])

    @contextmanager
    def _empty(self) -> Iterator[str]:
        with self._databases.fresh() as database:
            yield database.setting

    def _run(self, url: str, statement: str) -> None:
        _database(url).sql(statement)


@contextmanager
def servers() -> Iterator[tuple[Server, Server]]:
    """The two servers until the block ends. They write every commit to the disk, as in production."""
    with running_server(durable=True, settings={"shared_buffers": "128MB", "autovacuum": "on"}) as server:
        yield SqliteFiles(), PostgresqlDatabases(server.databases)


def email(owner_id: int) -> str:
    """The e-mail address of an owner."""
    return f"owner{owner_id}@example.com"


def _path(url: str) -> str:
    return url.partition(":///")[2]


def _database(url: str) -> Database:
    return Database(make_url(url))


def _inserts(kind: Kind, contents: Contents) -> Iterator[str]:
    """Statements that store the contents, in batches of at most `_ROWS_AT_ONCE` rows."""
    time = "'2026-01-15 11:00:00.123456'" if kind == "SQLite" else "timestamptz '2026-01-15 11:00:00.123456+00'"
    all_owners = range(1, contents.owners + 1 + bool(contents.strategies_of_one_more))
    for some in _batches(all_owners, _ROWS_AT_ONCE):
        yield (
            "INSERT INTO users (email, password_hash, is_active, created_at, updated_at)"
            f" SELECT 'owner' || n || '@example.com', '{_password_hash()}', true, {time}, {time}"
            f" FROM {_numbers(kind, some)} AS o ORDER BY n"
        )
    for owners in _batches(range(1, contents.owners + 1), max(1, _ROWS_AT_ONCE // contents.strategies_each)):
        yield from _strategies(kind, time, owners, contents.strategies_each)
    if contents.strategies_of_one_more:
        yield from _strategies(kind, time, all_owners[-1:], contents.strategies_of_one_more)


def _strategies(kind: Kind, time: str, owners: range, each: int) -> Iterator[str]:
    for some in _batches(range(1, each + 1), _ROWS_AT_ONCE):
        yield (
            "INSERT INTO strategies (owner_id, name, description, parameters, is_active, created_at, updated_at)"
            f" SELECT o.n, 'Strategy ' || s.n, 'Buy oversold, sell overbought', '{_PARAMETERS}', s.n % 4 > 0,"
            f" {time}, {time} FROM {_numbers(kind, owners)} AS o CROSS JOIN {_numbers(kind, some)} AS s"
            " ORDER BY o.n, s.n"
        )


def _migrate(machine: Machine, revision: str) -> None:
    ended = machine.run("alembic", "upgrade", revision)
    assert ended.returncode == 0, ended.stderr


def _numbers(kind: Kind, of: range) -> str:
    """An SQL table of these numbers, in a column `n`."""
    if kind == "PostgreSQL":
        return f"(SELECT generate_series({of[0]}, {of[-1]}) AS n)"
    return (
        f"(WITH RECURSIVE n(n) AS (VALUES ({of[0]}) UNION ALL SELECT n + 1 FROM n WHERE n < {of[-1]}) SELECT n FROM n)"
    )


def _batches(whole: range, size: int) -> Iterator[range]:
    return (whole[start : start + size] for start in range(0, len(whole), size))


@functools.cache
def _password_hash() -> str:
    """A hash with the default parameters of the service."""
    return asyncio.run(Argon2PasswordHasher().hash(PASSWORD))
