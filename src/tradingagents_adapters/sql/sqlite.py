"""SQLite through aiosqlite: a connection to read with and one to write with, each in a thread of its own."""

import asyncio
import os
import sqlite3
import stat
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeAlias, cast

import aiosqlite
from sqlalchemy import Table
from sqlalchemy.dialects.sqlite import dialect

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.files import may, own_user, owner
from tradingagents_adapters.sql.database import Check, Connection, Database, Row, uncut
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_core.errors import StoreUnavailable

BUSY_SECONDS: Final = 5
"""How long a block waits for others who are writing to the same file."""

LOOK_SECONDS: Final = 1
"""How long statements go on without a look whether the file is still in its place; commits look each time."""

BEGIN: Final = "BEGIN IMMEDIATE"

PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")

OWNER_ONLY: Final = 0o600
"""The mode of a new file."""

_Statement: TypeAlias = tuple[str, Sequence[Any]]
"""Its text, and the values of its parameters."""


class SqliteDatabase(Database):
    """A database in a file. It lets in one writer at a time; those of this process queue up here, in order.

    What is acknowledged is in the file that is at the path: when that has been removed or replaced, nothing more is
    committed, and the database is prepared again, with whatever file is there then. Only the first preparation of all
    makes a file where there is none.
    """

    begin = BEGIN

    def __init__(self, options: DatabaseOptions, check: Check | None = None) -> None:
        # Absolute, so that it stays the same file when the process changes its folder.
        self._path = file_of(options)
        super().__init__(dialect(), name=str(self._path), echo=options.echo, check=check)
        self._reader = _AiosqliteConnection(self._lose)
        self._writer = _AiosqliteConnection(self._lose)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_been_open = False

    async def open(self) -> None:
        if self._loop is not asyncio.get_running_loop():
            self._loop = asyncio.get_running_loop()
            self._writers, self._opening = asyncio.Lock(), asyncio.Lock()
        # After a writer who may still be rolling back.
        check_files(self._path)
        async with self._turn_to_write(), self._opening:
            for connection in (self._writer, self._reader):
                await connection.leave_lost_files()
            await self.close()

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
            return await self._opened(self._reader)
        await self._acquire_writer()
        try:
            return await self._opened(self._writer)
        except BaseException:
            self._writers.release()
            raise

    async def give_back(self, connection: Connection) -> None:
        if connection is self._writer:
            self._writers.release()

    async def _acquire_writer(self) -> None:
        try:
            async with asyncio.timeout(BUSY_SECONDS):
                await self._writers.acquire()
        except TimeoutError:
            raise StoreUnavailable(reason="other writers took too long") from None

    @asynccontextmanager
    async def _turn_to_write(self) -> AsyncIterator[None]:
        await self._acquire_writer()
        try:
            yield
        finally:
            self._writers.release()

    async def _opened(self, connection: "_AiosqliteConnection") -> "_AiosqliteConnection":
        if connection.thread is None:
            await uncut(self._open_file(connection))
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
                raise self._lose()
            connection.thread = thread
            self._has_been_open = True

    def _lose(self) -> StoreUnavailable:
        reason = f"The database file {self._path} was removed or replaced"
        self._readiness.lose(reason)
        return StoreUnavailable(reason=reason, is_logged=True)


_FileId: TypeAlias = tuple[int, int] | None
"""What tells a file from every other that is there at the same time: its device and number; None for no file."""


@dataclass(frozen=True, slots=True)
class _Files:
    """The files that a connection has opened: the database, its write-ahead log, and the index of that."""

    paths: tuple[str, str, str]
    ids: tuple[_FileId, _FileId, _FileId]

    @classmethod
    def of(cls, path: Path) -> Self:
        """The files that are there now."""
        # As SQLite does, which keeps the log beside the file that a link leads to.
        real = os.path.realpath(path)
        log, index = f"{real}-wal", f"{real}-shm"
        return cls((str(path), log, index), (_file_id(str(path)), _file_id(log), _file_id(index)))

    @property
    def database(self) -> _FileId:
        return self.ids[0]

    def are_in_place(self) -> bool:
        """Whether these are the files that somebody finds who opens the database now."""
        return all(_file_id(path) == file_id for path, file_id in zip(self.paths, self.ids, strict=True))


class _FilesLost(Exception):
    """The files of a connection are not those at their paths any more."""


class _Thread(aiosqlite.Connection):
    """A connection in its thread, which is told several things at once: each telling costs more than a statement."""

    files: _Files

    def __init__(self, path: Path, *, may_create: bool, is_writer: bool) -> None:
        uri = f"{path.as_uri()}?mode={'rwc' if may_create else 'rw'}"
        connect = partial(sqlite3.connect, uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS)
        super().__init__(connect, iter_chunk_size=64)
        self._path = path
        self._is_writer = is_writer
        self._look_at = 0.0
        # A process that ends without closing its databases does not wait for them.
        self._thread.daemon = True

    @classmethod
    async def opened(cls, path: Path, *, may_create: bool, is_writer: bool) -> Self:
        """A new connection, set up.

        Raises:
            StoreUnavailable: the file was replaced meanwhile.
        """
        before = _file_id(str(path))
        if may_create:
            create_file(path)
        thread = cls(path, may_create=may_create, is_writer=is_writer)
        try:
            await thread
        except BaseException:
            # It still says goodbye, for which the event loop has to be there.
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

    async def fetch_last(self, *statements: _Statement) -> Sequence[Row]:
        """Run statements one after another, and fetch all that the last of them returns.

        Raises:
            _FilesLost: the files were removed or replaced; what the statements commit may be kept or not.
        """
        return cast(Sequence[Row], await self._execute(self._fetch_last, *statements))  # type: ignore[no-untyped-call]

    async def leave_lost_files(self) -> None:
        """Leave nothing behind that belongs to a file which was removed or replaced.

        All that was committed goes into that file. Its log is removed: SQLite would read it into the new file.

        Raises:
            ConfigurationError: there is something in the log that cannot be written.
        """
        await self._execute(self._leave_lost_files)  # type: ignore[no-untyped-call]

    def _set_up(self) -> None:
        self.row_factory = sqlite3.Row
        for pragma in PRAGMAS:
            self._conn.execute(f"PRAGMA {pragma}")
        # Opens the log and its index.
        self._conn.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        self.files = _Files.of(self._path)

    def _fetch_last(self, *statements: _Statement) -> Sequence[Row]:
        commits = self._is_writer and self._commit(statements)
        if commits or time.monotonic() >= self._look_at:
            self._look()
        rows: Sequence[Row] = ()
        for sql, values in statements:
            rows = self._conn.execute(sql, values).fetchall()
        if commits:
            # Once more: the files may have gone between the look before and the commit.
            self._look()
        return rows

    def _commit(self, statements: Sequence[_Statement]) -> bool:
        """Whether these statements of a writer end a transaction, or stand for themselves."""
        (first, _), (last, _) = statements[0], statements[-1]
        return last == "COMMIT" or (not self._conn.in_transaction and first != BEGIN)

    def _look(self) -> None:
        if not self.files.are_in_place():
            raise _FilesLost
        self._look_at = time.monotonic() + LOOK_SECONDS

    def _leave_lost_files(self) -> None:
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
                f"stop the service, and move {log[0][0]} away before it starts again"
            )
        for path, file_id in log:
            if file_id is not None and _file_id(path) == file_id:
                Path(path).unlink()


class _AiosqliteConnection(Connection):
    """A connection whose thread comes when it is opened, and goes when it is given up."""

    def __init__(self, lose: Callable[[], StoreUnavailable]) -> None:
        self.thread: _Thread | None = None
        self._lose = lose

    async def fetch(self, sql: str, values: Sequence[Any], *, within: float | None = None) -> Sequence[Row]:
        return await self._run((sql, [_as_column(value) for value in values]))

    async def execute(self, *statements: str) -> int:
        return len(await self._run(*((sql, ()) for sql in statements)))

    async def roll_back(self) -> None:
        if self.thread is not None:
            await self.thread.rollback()

    async def give_up(self) -> None:
        if self.thread is not None:
            given_up, self.thread = self.thread, None
            await given_up.close()

    async def leave_lost_files(self) -> None:
        """Leave nothing behind that belongs to a file which was removed or replaced."""
        if self.thread is not None:
            await self.thread.leave_lost_files()

    async def _run(self, *statements: _Statement) -> Sequence[Row]:
        if self.thread is None:
            raise StoreUnavailable(reason="the connection was closed")
        try:
            # Goes on there without a caller who is cancelled; what is asked next waits for it.
            return await self.thread.fetch_last(*statements)
        except _FilesLost:
            raise self._lose() from None


def file_of(options: DatabaseOptions) -> Path:
    """The file in which these options have their data; its absolute path."""
    assert options.url.database is not None
    return Path(options.url.database).absolute()


def create_file(path: Path) -> None:
    """Make an empty file that only its owner may read, where there is none: password hashes go into it.

    SQLite gives the files beside it the same mode.
    """
    # A file that is there is not touched: closing it here would give up the locks that SQLite has on it.
    with suppress(FileExistsError):
        os.close(os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY))


def check_files(path: Path) -> None:
    """Return when this process may write the file, or make it, and the files that SQLite keeps beside it.

    Raises:
        ConfigurationError: it may not, or there is something else in place of the file.
    """
    real = Path(os.path.realpath(path))
    for each in (path, Path(f"{real}-wal"), Path(f"{real}-shm")):
        try:
            found = each.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ConfigurationError(f"{each} cannot be reached by the user {own_user()}: {error.strerror}") from None
        if stat.S_ISDIR(found.st_mode):
            raise ConfigurationError(f"{each} is a folder: DATABASE_URL should name a file")
        if not may(each, os.R_OK | os.W_OK):
            raise ConfigurationError(
                f"{each} belongs to the user {owner(each)}, and the user {own_user()} may not read "
                "and write it: give it to that user, or name another file in DATABASE_URL"
            )
    if real.parent.is_dir() and not may(real.parent, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"the folder {real.parent} may not be written by the user {own_user()}, and SQLite keeps files "
            "beside its database: give the folder to that user, or name a file elsewhere in DATABASE_URL"
        )


def _file_id(path: str) -> _FileId:
    try:
        found = os.stat(path)  # noqa: PTH116 - with each commit, and a `Path` takes three times as long
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _as_column(value: object) -> object:
    return (
        value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
        if isinstance(value, datetime)
        else value
    )
