"""Every mistake of an operator, in every command: one line that names the variable or file, and no traceback."""

import re
import shutil
from collections.abc import Iterator
from subprocess import CompletedProcess
from typing import Final, TypeAlias

import pytest
from processes import CHECKOUT, KEY, SERVE, UVICORN, Machine, at_once

PASSWORD: Final = "SecurePassword123\n"
EMAIL: Final = "user@example.com"

SERVERS: Final = {
    "serve": (*SERVE, "--port", "0"),
    "serve, two workers": (*SERVE, "--port", "0", "--workers", "2"),
    "uvicorn": (*UVICORN, "--port", "0"),
    "gunicorn": ("gunicorn", "tradingagents.api.main:app", "-k", "uvicorn.workers.UvicornWorker"),
}
COMMANDS: Final = {
    "migrate": ("tradingagents", "migrate"),
    "migrate --to": ("tradingagents", "migrate", "--to", "head"),
    "users create": ("tradingagents", "users", "create", EMAIL, "--password-stdin"),
    "users list": ("tradingagents", "users", "list"),
    "users set-password": ("tradingagents", "users", "set-password", EMAIL, "--password-stdin"),
    "users deactivate": ("tradingagents", "users", "deactivate", EMAIL),
    "users activate": ("tradingagents", "users", "activate", EMAIL),
    "users delete": ("tradingagents", "users", "delete", EMAIL, "--yes"),
    "keys create": ("tradingagents", "keys", "create", EMAIL, "--name", "bot", "--scope", "strategies:read"),
    "sessions list": ("tradingagents", "sessions", "list", EMAIL),
    "alembic": ("alembic", "--config", str(CHECKOUT / "alembic.ini"), "upgrade", "head"),
}
EVERYWHERE: Final = SERVERS | COMMANDS

Mistake: TypeAlias = tuple[dict[str, str], str]
"""Variables, and the text that the line has to contain."""

MISTAKES: Final[dict[str, Mistake]] = {
    "a URL that is none": ({"DATABASE_URL": "foo"}, "DATABASE_URL "),
    "another kind of database": ({"DATABASE_URL": "mysql://u:TheSecret@localhost/db"}, "DATABASE_URL "),
    "a folder that does not exist": ({"DATABASE_URL": "sqlite:///./missing/some.db"}, "DATABASE_URL "),
    "a folder in place of the file": (
        {"DATABASE_URL": "sqlite:///./folder"},
        "{folder}/folder is a folder: DATABASE_URL ",
    ),
    "a file that is no database": ({"DATABASE_URL": "sqlite:///./text"}, "{folder}/text: file is not a database; "),
    "a number that is none": ({"DATABASE_POOL_SIZE": "many"}, "DATABASE_POOL_SIZE "),
}
OF_SERVERS: Final[dict[str, Mistake]] = {
    "no key": ({"JWT_SECRET_KEY": ""}, "JWT_SECRET_KEY "),
    "an algorithm that there is not": ({"JWT_ALGORITHM": "none"}, "JWT_ALGORITHM "),
    "no private key": ({"JWT_ALGORITHM": "ES256"}, "JWT_SECRET_KEY should be in PEM for ES256"),
    "two keys": ({"JWT_SECRET_KEY_FILE": "./text"}, "JWT_SECRET_KEY and JWT_SECRET_KEY_FILE are both set"),
    "a folder in place of the key": (
        {"JWT_SECRET_KEY": "", "JWT_SECRET_KEY_FILE": "./folder"},
        "JWT_SECRET_KEY_FILE names a folder",
    ),
    "a text in place of previous keys": (
        {"JWT_PREVIOUS_KEYS_FILE": "./text"},
        "JWT_PREVIOUS_KEYS_FILE: line 1 should begin with the name of an algorithm",
    ),
}
CASES: Final = {
    (command, mistake): (EVERYWHERE[command], variables, named)
    for commands, mistakes in ((EVERYWHERE, MISTAKES), (SERVERS, OF_SERVERS))
    for command in commands
    for mistake, (variables, named) in mistakes.items()
}
PROGRESS: Final = re.compile(r"INFO|\[.*\] \[(INFO|ERROR)\] |ERROR: +Application startup failed")
"""The beginnings of the servers' and alembic's own lines."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "folder").mkdir()
    (folder / "text").write_text("Not a database, but long enough to be read as one. " * 40)
    yield Machine(folder, {"JWT_SECRET_KEY": KEY, "GUNICORN_CMD_ARGS": "--bind 127.0.0.1:0"})
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def ended(machine: Machine) -> dict[tuple[str, str], CompletedProcess[str]]:
    """The results of every command with every mistake."""
    done = at_once(lambda case: machine.given(**case[1]).run(*case[0], typed=PASSWORD), list(CASES.values()))
    return dict(zip(CASES, done, strict=True))


@pytest.mark.parametrize(("command", "mistake"), CASES)
def test_a_mistake_is_one_line_that_names_the_variable_or_file(
    ended: dict[tuple[str, str], CompletedProcess[str]], machine: Machine, command: str, mistake: str
) -> None:
    refused = ended[command, mistake]
    _, _, named = CASES[command, mistake]
    lines = refused.stderr.splitlines()
    said = [line for line in lines if named.format(folder=machine.folder) in line]
    # Each worker may log the error, and a server adds a line of its own.
    assert len(said) == 1 or (command == "serve, two workers" and len(set(said)) == 1), refused.stderr
    assert refused.returncode != 0
    assert refused.stdout == ""
    if command not in ("gunicorn", "serve, two workers"):
        assert [line for line in lines if line not in said and not PROGRESS.match(line)] == []
        assert "Traceback" not in refused.stderr
    # Gunicorn prints a traceback when workers end; no traceback may include this project.
    assert re.search(r'File ".*tradingagents_', refused.stderr) is None
    assert "TheSecret" not in refused.stderr
