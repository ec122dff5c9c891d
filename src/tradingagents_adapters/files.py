"""Permissions and owners of files, for messages to operators."""

import os
from pathlib import Path


def may(path: Path, mode: int) -> bool:
    """Whether this process may access a file or folder in this mode (`os.R_OK`, `os.W_OK`, `os.X_OK`)."""
    # With the effective ids, as when a file is opened, on systems that can check them.
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def owner(path: Path) -> str:
    """The owner of a file or folder."""
    return name_of(path.stat().st_uid)


def own_user() -> str:
    """The user that this process runs as."""
    return name_of(os.geteuid())


def name_of(user: int) -> str:
    """The name of a user, or the number of a user without a name."""
    # Windows has no such module; only messages need it.
    import pwd  # noqa: PLC0415

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
