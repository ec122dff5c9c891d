"""SQLite through aiosqlite: a connection to read with and one to write with, each in a thread of its own."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from sqlite3 import Row as SqliteRow
from typing import Any, Final, cast

import aiosqlite
from sqlalchemy import Table
from sqlalchemy.dialects.sqlite import dialect

from tradingagents_adapters.settings import DatabaseSettings
from tradingagents_adapters.sql.database import Connection, Database, Row, uncut
from tradingagents_core.errors import StoreUnavailable

BUSY_SECONDS: Final = 5
"""How long a block waits for others who are writing to the same file."""

PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")


class SqliteDatabase(Database):
    """A database in a file. It lets in one writer at a time; those of this process queue up here, in order."""

    begin = "BEGIN IMMEDIATE"

    def __init__(self, settings: DatabaseSettings) -> None:
        super().__init__(dialect(), echo=settings.sqlalchemy_echo)
        assert settings.database_url.database is not None
        self._reader = _AiosqliteConnection(settings.database_url.database)
        self._writer = _AiosqliteConnection(settings.database_url.database)

    async def open(self) -> None:
        self._writers = asyncio.Lock()

    async def close(self) -> None:
        await self._reader.give_up()
        await self._writer.give_up()

    def read_time(self, value: Any) -> datetime:
        return datetime.fromisoformat(value).replace(tzinfo=UTC)

    async def take_row(self, connection: Connection, table: Table, row_id: int, *, begin: bool) -> bool:
        # The transaction itself keeps others from every row.
        if begin:
            await self.execute(connection, self.begin)
        return await self.execute(connection, f"SELECT id FROM {table.name} WHERE id = {row_id:d}") == 1  # noqa: S608

    async def take(self, *, to_write: bool) -> Connection:
        if not to_write:
            return self._reader
        try:
            async with asyncio.timeout(BUSY_SECONDS):
                await self._writers.acquire()
        except TimeoutError:
            raise StoreUnavailable(reason="other writers took too long") from None
        return self._writer

    async def give_back(self, connection: Connection) -> None:
        if connection is self._writer:
            self._writers.release()


class _AiosqliteConnection(Connection):
    """A connection that is opened when it is first needed, and again after it was given up."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._opened: aiosqlite.Connection | None = None
        self._opening = asyncio.Lock()

    async def fetch(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        connection = self._opened
        if connection is None:
            connection = await uncut(self._open())
        # What its thread has begun goes on without the caller; nothing may overtake it.
        rows = await uncut(connection.execute_fetchall(sql, [_as_column(value) for value in values]))
        return cast(Sequence[Row], rows)

    async def execute(self, sql: str) -> int:
        return len(await self.fetch(sql, ()))

    async def roll_back(self) -> None:
        if self._opened is not None and self._opened.in_transaction:
            await self.execute("ROLLBACK")

    async def give_up(self) -> None:
        if self._opened is not None:
            given_up, self._opened = self._opened, None
            await given_up.close()

    async def _open(self) -> aiosqlite.Connection:
        async with self._opening:
            if self._opened is None:
                connection = await aiosqlite.connect(self._file, isolation_level=None, timeout=BUSY_SECONDS)
                try:
                    connection.row_factory = SqliteRow
                    for pragma in PRAGMAS:
                        await connection.execute_fetchall(f"PRAGMA {pragma}")
                except BaseException:
                    await connection.close()
                    raise
                self._opened = connection
            return self._opened


def _as_column(value: object) -> object:
    return (
        value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
        if isinstance(value, datetime)
        else value
    )
