"""SQLite through aiosqlite: one connection for reading and one for writing, each in a thread of its own."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, cast

import aiosqlite
from sqlalchemy.dialects.sqlite import dialect

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.drivers.driver import Driver, DriverConnection, Row, Statement
from tradingagents_adapters.sql.drivers.sqlite_values import as_column, time_of_column
from tradingagents_adapters.sql.errors import DatabaseLost
from tradingagents_adapters.sql.row_queue import acquire_within
from tradingagents_adapters.sql.sqlite import Files, check_files, create_file, file_id_of
from tradingagents_core.errors import StoreUnavailable
from tradingagents_core.ports import shielded

BUSY_SECONDS: Final = 5
"""How long a statement waits for locks of other processes, and a writer for other writers of this process."""

CHECK_SECONDS: Final = 1
"""The time between checks that the files are in place. Commits check each time."""

BEGIN: Final = "BEGIN IMMEDIATE"

PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")


class AiosqliteDriver(Driver):
    """A database in a file. One writer at a time may use it; the writers of this process queue here, in order.

    Acknowledged changes are in the file at the path. After the file was removed or replaced, nothing more is committed,
    and the database is prepared again with the file that is at the path then. Only the first preparation in a process
    creates a missing file.
    """

    begin = (BEGIN,)
    for_update = ""

    def __init__(self, path: Path) -> None:
        # Absolute, so that the path stays valid when the process changes its working directory.
        self._path = path.absolute()
        self.name = str(self._path)
        self.dialect = dialect()
        self._reader = _AiosqliteConnection(self._path)
        self._writer = _AiosqliteConnection(self._path)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_been_open = False

    async def open(self) -> None:
        if self._loop is not asyncio.get_running_loop():
            self._loop = asyncio.get_running_loop()
            self._writing, self._opening = asyncio.Lock(), asyncio.Lock()
        check_files(self._path)
        # A writer may still be rolling back.
        await self._wait_to_write()
        try:
            async with self._opening:
                for connection in (self._writer, self._reader):
                    await connection.abandon_lost_files()
                await self.close()
        finally:
            self._writing.release()

    async def close(self) -> None:
        await self._reader.terminate()
        await self._writer.terminate()

    async def acquire(self, *, to_write: bool) -> DriverConnection:
        if not to_write:
            return await self._opened(self._reader)
        await self._wait_to_write()
        try:
            return await self._opened(self._writer)
        except BaseException:
            self._writing.release()
            raise

    async def release(self, connection: DriverConnection) -> None:
        if connection is self._writer:
            self._writing.release()

    def read_time(self, value: Any) -> datetime:
        return time_of_column(value)

    async def _wait_to_write(self) -> None:
        await acquire_within(
            self._writing, BUSY_SECONDS, "other writers of this process, which use the SQLite file one at a time"
        )

    async def _opened(self, connection: "_AiosqliteConnection") -> "_AiosqliteConnection":
        if connection.thread is None:
            await shielded(self._open_file(connection))
        return connection

    async def _open_file(self, connection: "_AiosqliteConnection") -> None:
        async with self._opening:
            if connection.thread is not None:
                return
            other = self._writer if connection is self._reader else self._reader
            thread = await _Thread.opened(
                self._path, may_create=not self._has_been_open, is_writer=other is self._reader
            )
            if other.thread is not None and other.thread.files.database != thread.files.database:
                await thread.close()
                raise DatabaseLost(_lost(self._path))
            connection.thread = thread
            self._has_been_open = True


class _FilesLost(Exception):
    """The files of a connection were removed or replaced."""


class _Thread(aiosqlite.Connection):
    """A connection in its thread. Each call runs several statements: a call costs more time than a statement."""

    files: Files

    def __init__(self, path: Path, *, may_create: bool, is_writer: bool) -> None:
        uri = f"{path.as_uri()}?mode={'rwc' if may_create else 'rw'}"
        connect = partial(sqlite3.connect, uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS)
        super().__init__(connect, iter_chunk_size=64)
        self._path = path
        self._is_writer = is_writer
        self._next_check_at = 0.0
        # A process that exits without closing its databases does not wait for their threads.
        self._thread.daemon = True

    @classmethod
    async def opened(cls, path: Path, *, may_create: bool, is_writer: bool) -> Self:
        """A new connection, set up.

        Raises:
            StoreUnavailable: the file was replaced while it was opened.
        """
        before = file_id_of(str(path))
        if may_create:
            create_file(path)
        thread = cls(path, may_create=may_create, is_writer=is_writer)
        try:
            await thread
        except BaseException:
            # The thread still reports its end to the event loop, which has to run until then.
            await asyncio.to_thread(thread._thread.join)
            raise
        try:
            await thread._execute(thread._set_up)  # type: ignore[no-untyped-call]
            if before not in (None, thread.files.database):
                raise StoreUnavailable(reason="the database file was replaced while it was opened")
        except BaseException:
            await thread.close()
            raise
        return thread

    async def fetch_last(self, statements: Sequence[Statement]) -> Sequence[Row]:
        """Run statements one after another, and fetch all rows of the last statement.

        Raises:
            _FilesLost: the files were removed or replaced. Whether a commit was kept is unknown.
        """
        return cast(Sequence[Row], await self._execute(self._fetch_last, statements))  # type: ignore[no-untyped-call]

    async def abandon_lost_files(self) -> None:
        """Write the log into a database file that was removed or replaced, and remove the log.

        SQLite would read a log that stays into the new file.

        Raises:
            ConfigurationError: the log cannot be written into the old file.
        """
        await self._execute(self._abandon_lost_files)  # type: ignore[no-untyped-call]

    def _set_up(self) -> None:
        self.row_factory = sqlite3.Row
        for pragma in PRAGMAS:
            self._conn.execute(f"PRAGMA {pragma}")
        # The first read opens the log and its index.
        self._conn.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        self.files = Files.of(self._path)

    def _fetch_last(self, statements: Sequence[Statement]) -> Sequence[Row]:
        commits = self._is_writer and self._ends_transaction(statements)
        if commits or time.monotonic() >= self._next_check_at:
            self._check_files()
        rows: Sequence[Row] = ()
        for sql, values in statements:
            rows = self._conn.execute(sql, values).fetchall()
        if commits:
            # The files may have been removed or replaced between the first check and the commit.
            self._check_files()
        return rows

    def _ends_transaction(self, statements: Sequence[Statement]) -> bool:
        """Whether these statements of a writer end a transaction, or run outside one."""
        (first, _), (last, _) = statements[0], statements[-1]
        return last == "COMMIT" or (not self._conn.in_transaction and first != BEGIN)

    def _check_files(self) -> None:
        if not self.files.are_in_place():
            raise _FilesLost
        self._next_check_at = time.monotonic() + CHECK_SECONDS

    def _abandon_lost_files(self) -> None:
        if self.files.are_in_place():
            return
        _, *log = zip(self.files.paths, self.files.ids, strict=True)
        try:
            busy, pages, written = self._conn.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        except sqlite3.Error:
            busy = True
        if busy or pages != written:
            raise ConfigurationError(
                f"{self._path} was removed or replaced, and its log cannot be written into the old file: "
                f"stop the service, and move {log[0][0]} away before the next start"
            )
        for path, file_id in log:
            if file_id is not None and file_id_of(path) == file_id:
                Path(path).unlink()


class _AiosqliteConnection(DriverConnection):
    """A connection with a thread from its opening to its termination."""

    def __init__(self, path: Path) -> None:
        self.thread: _Thread | None = None
        self._path = path

    async def fetch(self, *statements: Statement, within: float | None = None) -> Sequence[Row]:
        return await self._run([(sql, [as_column(value) for value in values]) for sql, values in statements])

    async def execute(self, *statements: str) -> int:
        return len(await self._run([(sql, ()) for sql in statements]))

    async def roll_back(self) -> None:
        if self.thread is not None:
            await self.thread.rollback()

    async def terminate(self) -> None:
        if self.thread is not None:
            terminated, self.thread = self.thread, None
            await terminated.close()

    async def abandon_lost_files(self) -> None:
        """Write the log into a database file that was removed or replaced, and remove the log."""
        if self.thread is not None:
            await self.thread.abandon_lost_files()

    async def _run(self, statements: Sequence[Statement]) -> Sequence[Row]:
        if self.thread is None:
            raise StoreUnavailable(reason="the connection to the SQLite file was closed")
        try:
            # The thread finishes the statements of a cancelled caller. The next call waits for them.
            return await self.thread.fetch_last(statements)
        except _FilesLost:
            raise DatabaseLost(_lost(self._path)) from None
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise StoreUnavailable(
                    reason=f"another process kept the SQLite file {self._path} locked for {BUSY_SECONDS:g} s"
                ) from error
            raise


def _lost(path: Path) -> str:
    return f"The database file {path} was removed or replaced"
