"""The commands on machines with unusual accounts, folders and permissions."""

import stat
from collections.abc import Iterator
from typing import Final

import pytest
from processes import KEY, SERVE, Machine, Server

EMAIL: Final = "user@example.com"
PASSWORD: Final = "SecurePassword123"

STRICTLY: Final = ("sh", "-c", 'umask 077; unset HOME; exec "$@"', "sh")
"""Runs a command as a user without a home folder, whose umask hides new files from other users."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine with an account. The absolute path of its database has a blank and a non-ASCII letter."""
    folder = tmp_path_factory.mktemp("a folder with blänks")
    url = f"sqlite+aiosqlite:///{folder / 'the database.db'}"
    machine = Machine(folder, {"JWT_SECRET_KEY": KEY, "DATABASE_URL": url})
    create = ("tradingagents", "users", "create", EMAIL, "--password-stdin")
    created = machine.run(*STRICTLY, *create, typed=f"{PASSWORD}\n")
    assert (created.returncode, created.stderr) == (0, f"database: {folder / 'the database.db'}\n")
    return machine


@pytest.fixture(scope="module")
def server(machine: Machine) -> Iterator[Server]:
    with machine.serving(*STRICTLY, *SERVE) as server:
        yield server


def test_an_account_and_a_server_work_in_a_folder_with_blanks_without_a_home(server: Server) -> None:
    headers = {"Authorization": f"Bearer {server.token(EMAIL, PASSWORD)}"}
    created = server.client.post("/api/v1/strategies", headers=headers, json={"name": "Mine"})
    assert created.status_code == 201


def test_a_strict_umask_counts_for_the_files_of_the_database(machine: Machine, server: Server) -> None:
    files = list(machine.folder.glob("the database.db*"))
    assert machine.folder / "the database.db" in files
    assert [file for file in files if stat.S_IMODE(file.stat().st_mode) & 0o077] == []


def test_a_home_that_does_not_exist_is_not_needed(machine: Machine) -> None:
    listed = machine.given(HOME="/nonexistent").run("tradingagents", "users", "list")
    assert (listed.returncode, listed.stderr) == (0, f"database: {machine.folder / 'the database.db'}\n")
    assert EMAIL in listed.stdout
