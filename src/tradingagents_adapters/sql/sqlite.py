"""The files of an SQLite database."""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeAlias

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.files import may, name_of, own_user
from tradingagents_adapters.sql.options import DatabaseOptions

OWNER_ONLY: Final = 0o600
"""The mode of a new file."""

FileId: TypeAlias = tuple[int, int] | None
"""The identity of a file: its device and inode numbers. None stands for no file."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files that a connection opened: the database, its write-ahead log, and the index of the log."""

    paths: tuple[str, str, str]
    ids: tuple[FileId, FileId, FileId]

    @classmethod
    def of(cls, path: Path) -> Self:
        """The files that exist now."""
        # SQLite keeps the log beside the target of a symbolic link.
        real = os.path.realpath(path)
        log, index = f"{real}-wal", f"{real}-shm"
        return cls((str(path), log, index), (file_id_of(str(path)), file_id_of(log), file_id_of(index)))

    @property
    def database(self) -> FileId:
        """The identity of the database file."""
        return self.ids[0]

    def are_in_place(self) -> bool:
        """Whether the same files are still at their paths."""
        return all(file_id_of(path) == file_id for path, file_id in zip(self.paths, self.ids, strict=True))


def file_of(options: DatabaseOptions) -> Path:
    """The absolute path of the database file of these options."""
    assert options.url.database is not None
    return Path(options.url.database).absolute()


def create_file(path: Path) -> None:
    """Create an empty file that only its owner may read, unless the file exists: it will hold password hashes.

    SQLite gives the log and its index the same mode.
    """
    # An existing file is not opened: closing it would release the locks that SQLite holds on it in this process.
    with suppress(FileExistsError):
        os.close(os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY))


def check_files(path: Path) -> None:
    """Return when this process may write or create the database file, and the files that SQLite keeps beside it.

    Raises:
        ConfigurationError: this process may not, or the path is a folder.
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
        # Another process that closes the database removes the log and its index: a file may be gone by now.
        if not may(each, os.R_OK | os.W_OK) and each.exists():
            raise ConfigurationError(
                f"{each} belongs to the user {name_of(found.st_uid)}, and the user {own_user()} may not read "
                "and write it: give it to that user, or name another file in DATABASE_URL"
            )
    if real.parent.is_dir() and not may(real.parent, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"the folder {real.parent} may not be written by the user {own_user()}, and SQLite keeps files "
            "beside its database: give the folder to that user, or name a file elsewhere in DATABASE_URL"
        )


def file_id_of(path: str) -> FileId:
    """The identity of the file at a path now."""
    try:
        found = os.stat(path)  # noqa: PTH116 - runs with each commit, and a `Path` takes three times as long
    except OSError:
        return None
    return found.st_dev, found.st_ino
