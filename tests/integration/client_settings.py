"""Environment variables and files that PostgreSQL's clients read, all of them misleading."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import asyncpg
import pytest

_READ: Final = re.compile(r"""(?:environ\.get\(|getenv\(|environ\[)\s*["'](\w+)["']""")

VARIABLES: Final = sorted(
    {
        name
        for file in Path(asyncpg.__file__).parent.glob("*.py")
        # This file starts servers for asyncpg's own tests.
        if file.name != "cluster.py"
        for name in _READ.findall(file.read_text())
    }
)
"""Every environment variable that the driver's source reads."""

USERS: Final = ("USER", "LOGNAME", "LNAME", "USERNAME")
"""The variables from which Python takes the name of the current user."""


def misleading_files(home: Path) -> None:
    """Write every file that PostgreSQL's clients read in a home folder."""
    (home / ".postgresql").mkdir()
    for name in ("root.crt", "root.crl", "postgresql.crt", "postgresql.key"):
        (home / ".postgresql" / name).write_text("nonsense\n")
    (home / ".pg_service.conf").write_text("[nonsense]\nhost=nonsense.invalid\nuser=nonsense\n")
    passwords = home / ".pgpass"
    passwords.write_text("*:*:*:*:nonsense\n")
    passwords.chmod(0o600)


def misleading_variables(home: Path) -> Mapping[str, str]:
    """Every variable with a value that stops or changes a connection."""
    nonsense = dict.fromkeys((*VARIABLES, *USERS), "nonsense")
    return nonsense | {"HOME": str(home), "SSLKEYLOGFILE": str(home / "missing" / "keys")}


@contextmanager
def misled(home: Path) -> Iterator[None]:
    """A block in which every variable and file of PostgreSQL's clients is misleading."""
    misleading_files(home)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in misleading_variables(home).items():
            patched.setenv(name, value)
        yield
