"""Files that a process may not read or write: the error at the start names the file and the user."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from processes import KEY, SERVE, Machine, only_line

from tradingagents_adapters.files import owner

LIST: Final = ("tradingagents", "users", "list")
MIGRATE: Final = ("tradingagents", "migrate")
CREATE: Final = ("tradingagents", "users", "create", "user@example.com", "--password-stdin")
SOMEBODY: Final = "65534"
"""A user and a group that own nothing."""

AS_SOMEBODY: Final = ("setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups")


@pytest.fixture(scope="module")
def as_somebody(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The prefix of a command that runs it as a user who owns nothing; empty where the tests do not run as root."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("there is no setpriv on this machine")
    command = Path(sys.executable).with_name("tradingagents")
    readable = subprocess.run((*AS_SOMEBODY, command, "secret"), check=False, capture_output=True)
    if readable.returncode != 0:
        pytest.skip("another user may not run the commands of this checkout")
    return AS_SOMEBODY


@pytest.fixture
def machine() -> Iterator[Machine]:
    # Not in pytest's own folder, which other users may not enter.
    with tempfile.TemporaryDirectory(prefix="files-of-others-") as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        yield Machine(folder, {"JWT_SECRET_KEY": KEY})
        # So that the cleanup can remove the folder.
        folder.chmod(0o755)


def database_of(machine: Machine) -> Path:
    created = machine.run(*CREATE, typed="SecurePassword123\n")
    assert created.returncode == 0, created.stderr
    return machine.folder / "tradingagents.db"


def refuse_folder(machine: Machine) -> str:
    database_of(machine).chmod(0o666)
    machine.folder.chmod(0o555)
    file = machine.folder / "tradingagents.db"
    return f"error: {file}: the folder {machine.folder} may not be written by the user "


def refuse_empty_folder(machine: Machine) -> str:
    machine.folder.chmod(0o555)
    file = machine.folder / "tradingagents.db"
    return f"error: {file}: the folder {machine.folder} may not be written by the user "


def refuse_file(machine: Machine) -> str:
    file = database_of(machine)
    machine.folder.chmod(0o777)
    file.chmod(0o444)
    return f"error: {file} belongs to the user {owner(file)}, and the user "


def refuse_log(machine: Machine) -> str:
    file = database_of(machine)
    file.chmod(0o666)
    machine.folder.chmod(0o777)
    log = Path(f"{file}-wal")
    log.touch()
    log.chmod(0o444)
    return f"error: {log} belongs to the user {owner(log)}, and the user "


def refuse_dotenv(machine: Machine) -> str:
    machine.folder.chmod(0o777)
    dotenv = machine.folder / ".env"
    dotenv.write_text("SQLALCHEMY_ECHO=false\n")
    dotenv.chmod(0o000)
    return f"error: {dotenv} cannot be read by the user "


@pytest.mark.parametrize(
    "refuse",
    [refuse_folder, refuse_empty_folder, refuse_file, refuse_log, refuse_dotenv],
    ids=lambda each: each.__name__,
)
def test_what_another_user_may_not_use_is_named_with_the_user(
    machine: Machine, as_somebody: tuple[str, ...], refuse: Callable[[Machine], str]
) -> None:
    said = refuse(machine)
    for command in (LIST, MIGRATE):
        refused = machine.run(*as_somebody, *command)
        assert only_line(refused).startswith(said), refused.stderr
        assert refused.returncode == 1
    started = machine.run(*as_somebody, *SERVE, "--port", "0")
    assert started.returncode not in (0, None)
    assert sum(said.removeprefix("error: ") in line for line in started.stderr.splitlines()) == 1
    assert "Application startup complete" not in started.stderr
    assert "Traceback" not in started.stderr


def test_a_folder_that_may_not_be_entered_is_named_with_the_user(
    machine: Machine, as_somebody: tuple[str, ...]
) -> None:
    inner = machine.folder / "inner"
    inner.mkdir()
    inner.chmod(0o000)
    refused = machine.given(DATABASE_URL=f"sqlite:///{inner}/some.db").run(*as_somebody, *LIST)
    inner.chmod(0o700)
    assert str(inner) in only_line(refused)
    assert refused.returncode == 1


@pytest.mark.parametrize("variable", ["JWT_SECRET_KEY_FILE", "JWT_PREVIOUS_KEYS_FILE"])
def test_a_key_that_may_not_be_read_is_named_by_its_variable_with_the_user(
    machine: Machine, as_somebody: tuple[str, ...], variable: str
) -> None:
    file = machine.folder / "key"
    file.write_text(KEY)
    file.chmod(0o000)
    secret = "" if variable == "JWT_SECRET_KEY_FILE" else KEY
    refused = machine.given(JWT_SECRET_KEY=secret, **{variable: str(file)}).run(*as_somebody, *SERVE, "--port", "0")
    line = only_line(refused)
    assert line.startswith(f"error: {variable} cannot be read by the user ")
    assert f" and belongs to the user {owner(file)} " in line
    assert refused.returncode != 0


@pytest.mark.parametrize("name", ["tradingagents.db", ".env"])
def test_a_folder_in_place_of_a_file_is_named(machine: Machine, name: str) -> None:
    (machine.folder / name).mkdir()
    for command in (LIST, MIGRATE):
        assert only_line(machine.run(*command)).startswith(f"error: {machine.folder / name} is a folder")


def test_a_virtual_environment_of_that_name_is_no_dotenv(machine: Machine) -> None:
    (machine.folder / ".env").mkdir()
    (machine.folder / ".env" / "pyvenv.cfg").touch()
    assert machine.run(*LIST).returncode == 0


@pytest.mark.parametrize("how", ["users create", "migrate", "serve", "alembic", "behind a link"])
def test_a_new_file_and_those_beside_it_are_for_their_owner_only(machine: Machine, how: str) -> None:
    folder = machine.folder
    if how == "behind a link":
        (folder / "data").mkdir()
        (folder / "tradingagents.db").symlink_to(folder / "data" / "real.db")
    if how == "migrate":
        assert machine.run(*MIGRATE).returncode == 0
    if how == "alembic":
        configuration = str(Path(__file__).parents[2] / "alembic.ini")
        assert machine.run("alembic", "--config", configuration, "upgrade", "head").returncode == 0
    if how in ("users create", "behind a link"):
        database_of(machine)
    with machine.serving(*SERVE) as server:
        server.log_in("user@example.com", "SecurePassword123")
        files = [file for file in folder.rglob("*.db*") if not file.is_symlink()]
        assert len(files) == 3
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_the_mode_of_a_file_that_is_there_stays(machine: Machine) -> None:
    file = database_of(machine)
    file.chmod(0o640)
    assert machine.run(*LIST).returncode == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_each_command_says_which_file_it_has_used(machine: Machine) -> None:
    file = database_of(machine)
    for command in (LIST, MIGRATE, ("tradingagents", "users", "deactivate", "user@example.com")):
        assert machine.run(*command).stderr == f"database: {file}\n"


def test_a_server_says_which_file_it_uses(machine: Machine) -> None:
    with machine.serving(*SERVE) as server:
        assert server.output().count(f"The database is {machine.folder}/tradingagents.db.") == 1
