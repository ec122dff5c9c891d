"""SQLite through aiosqlite: a connection to read with and one to write with, each in a thread of its own."""

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeAlias, cast

import aiosqlite
from sqlalchemy import Table
from sqlalchemy.dialects.sqlite import dialect

from tradingagents_adapters.settings import DatabaseSettings
from tradingagents_adapters.sql.database import Connection, Database, Row, uncut
from tradingagents_core.errors import StoreUnavailable

BUSY_SECONDS: Final = 5
"""How long a block waits for others who are writing to the same file."""

PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")

_Statement: TypeAlias = tuple[str, Sequence[Any]]
"""Its text, and the values of its parameters."""


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
        return datetime.fromisoformat(f"{value}Z")

    def row_lock(self, table: Table, row_id: int) -> str:
        # The transaction itself keeps others from every row.
        return f"SELECT id FROM {table.name} WHERE id = {row_id:d}"  # noqa: S608

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


class _Thread(aiosqlite.Connection):
    """A connection in its thread, which is told several things at once: each telling costs more than a statement."""

    def __init__(self, file: str) -> None:
        super().__init__(partial(sqlite3.connect, file, isolation_level=None, timeout=BUSY_SECONDS), iter_chunk_size=64)

    async def fetch_last(self, *statements: _Statement) -> Sequence[Row]:
        """Run statements one after another, and fetch all that the last of them returns."""
        return cast(Sequence[Row], await self._execute(self._fetch_last, *statements))  # type: ignore[no-untyped-call]

    def _fetch_last(self, *statements: _Statement) -> Sequence[Row]:
        rows: Sequence[Row] = ()
        for sql, values in statements:
            rows = self._conn.execute(sql, values).fetchall()
        return rows


class _AiosqliteConnection(Connection):
    """A connection that is opened when it is first needed, and again after it was given up."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._opened: _Thread | None = None
        self._opening = asyncio.Lock()

    async def fetch(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        return await self._run((sql, [_as_column(value) for value in values]))

    async def execute(self, *statements: str) -> int:
        return len(await self._run(*((sql, ()) for sql in statements)))

    async def roll_back(self) -> None:
        if self._opened is not None:
            await self._opened.rollback()

    async def give_up(self) -> None:
        if self._opened is not None:
            given_up, self._opened = self._opened, None
            await given_up.close()

    async def _run(self, *statements: _Statement) -> Sequence[Row]:
        thread = self._opened
        if thread is None:
            thread = await uncut(self._open())
        # Goes on there without a caller who is cancelled; what is asked next waits for it.
        return await thread.fetch_last(*statements)

    async def _open(self) -> _Thread:
        async with self._opening:
            if self._opened is None:
                thread = _Thread(self._file)
                await thread
                try:
                    thread.row_factory = sqlite3.Row
                    await thread.fetch_last(*((f"PRAGMA {pragma}", ()) for pragma in PRAGMAS))
                except BaseException:
                    await thread.close()
                    raise
                self._opened = thread
            return self._opened


def _as_column(value: object) -> object:
    return (
        value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
        if isinstance(value, datetime)
        else value
    )
