"""What a process may do with files, and whose they are: for the lines that tell an operator."""

import os
from pathlib import Path


def may(path: Path, what: int) -> bool:
    """Whether this process may do that (`os.R_OK`, `os.W_OK`, `os.X_OK`) with a file or folder."""
    # As the system decides for files that are opened, where it can be asked for that.
    return os.access(path, what, effective_ids=os.access in os.supports_effective_ids)


def owner(path: Path) -> str:
    """The user to whom a file or folder belongs."""
    return _name(path.stat().st_uid)


def own_user() -> str:
    """The user as whom this process runs."""
    return _name(os.geteuid())


def _name(user: int) -> str:
    # Not everywhere there, and needed for a refusal only.
    import pwd  # noqa: PLC0415

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
