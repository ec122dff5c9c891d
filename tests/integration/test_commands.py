"""The command `tradingagents`, as a person uses it in a shell."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from subprocess import CompletedProcess
from typing import Final

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from processes import KEY, SERVE, Machine, Server, at_once, only_line

from tradingagents_adapters.sql.revision import REVISION
from tradingagents_core import __version__

EMAIL: Final = "ann@example.com"
PASSWORD: Final = "SecurePassword123"
OTHER_PASSWORD: Final = "AnotherPassword456"

CREATE: Final = ("tradingagents", "users", "create")
SET_PASSWORD: Final = ("tradingagents", "users", "set-password")
DEACTIVATE: Final = ("tradingagents", "users", "deactivate")
ACTIVATE: Final = ("tradingagents", "users", "activate")
LIST: Final = ("tradingagents", "users", "list")

NO_ADDRESS: Final = "error: email should be an e-mail address such as user@example.com"
NO_ACCOUNT: Final = "error: there is no account 'nobody@example.com'; `tradingagents users list` lists all accounts"
NO_TERMINAL: Final = "error: there is no terminal to ask for the password; send it with --password-stdin"
TOO_SHORT: Final = "error: password should have at least 8 characters"

REFUSALS: Final = {
    "creating an account twice, in capitals": (
        (*CREATE, "ANN@Example.COM", "--password-stdin"),
        f"{PASSWORD}\n",
        "error: A user with this e-mail already exists",
    ),
    "creating an account without an address": ((*CREATE, "ann", "--password-stdin"), f"{PASSWORD}\n", NO_ADDRESS),
    "creating an account with a short password": ((*CREATE, "b@example.com", "--password-stdin"), "short\n", TOO_SHORT),
    "creating an account without a password": ((*CREATE, "b@example.com", "--password-stdin"), "", TOO_SHORT),
    "creating an account with nobody to ask": ((*CREATE, "b@example.com"), f"{PASSWORD}\n", NO_TERMINAL),
    "a short new password": ((*SET_PASSWORD, EMAIL, "--password-stdin"), "short\n", TOO_SHORT),
    "a new password with nobody to ask": ((*SET_PASSWORD, EMAIL), f"{PASSWORD}\n", NO_TERMINAL),
    "a new password for nobody": (
        (*SET_PASSWORD, "nobody@example.com", "--password-stdin"),
        f"{PASSWORD}\n",
        NO_ACCOUNT,
    ),
    "deactivating nobody": ((*DEACTIVATE, "nobody@example.com"), "", NO_ACCOUNT),
    "activating nobody": ((*ACTIVATE, "nobody@example.com"), "", NO_ACCOUNT),
}

PASSWORDS_AS_ARGUMENTS: Final = [
    (*CREATE, "b@example.com", "--password", PASSWORD),
    (*CREATE, "b@example.com", f"--password-stdin={PASSWORD}"),
    (*SET_PASSWORD, EMAIL, OTHER_PASSWORD),
]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    first = Machine(tmp_path_factory.mktemp("database"))
    created = first.run(*CREATE, EMAIL, "--password-stdin", typed=f"{PASSWORD}\n")
    assert created.returncode == 0, created.stderr
    return first.folder / "tradingagents.db"


@pytest.fixture
def used_machine(machine: Machine, database: Path) -> Machine:
    shutil.copy(database, machine.folder)
    return machine


@pytest.fixture(scope="module")
def shared_machine(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Machine:
    """A machine with an account, for commands that change nothing."""
    machine = Machine(tmp_path_factory.mktemp("shared"))
    shutil.copy(database, machine.folder)
    return machine


@pytest.fixture(scope="module")
def refused(shared_machine: Machine) -> dict[str, CompletedProcess[str]]:
    """The results of all commands in `REFUSALS`."""
    ended = at_once(lambda each: shared_machine.run(*each[0], typed=each[1]), list(REFUSALS.values()))
    return dict(zip(REFUSALS, ended, strict=True))


@pytest.fixture(scope="module")
def server_machine(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Machine:
    """A machine whose server checks with every request whether the user is active."""
    machine = Machine(tmp_path_factory.mktemp("server"), {"JWT_SECRET_KEY": KEY, "IDENTITY_CACHE_SECONDS": "0"})
    shutil.copy(database, machine.folder)
    return machine


@pytest.fixture(scope="module")
def server(server_machine: Machine) -> Iterator[Server]:
    with server_machine.serving(*SERVE) as server:
        yield server


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return count(1)


@pytest.fixture
def new_account(server_machine: Machine, numbers: Iterator[int]) -> str:
    """Another account on the machine with the server, like Ann's except for the e-mail."""
    email = f"user{next(numbers)}@example.com"
    columns = "password_hash, is_active, created_at, updated_at"
    with closing(sqlite3.connect(server_machine.folder / "tradingagents.db")) as connection, connection:
        connection.execute(
            f"INSERT INTO tradingagents_users (email, {columns})"
            f" SELECT ?, {columns} FROM tradingagents_users WHERE email = ?",
            (email, EMAIL),
        )
    return email


def emails(machine: Machine) -> list[str]:
    with closing(sqlite3.connect(machine.folder / "tradingagents.db")) as connection:
        return [email for (email,) in connection.execute("SELECT email FROM tradingagents_users ORDER BY id")]


def which(machine: Machine) -> str:
    """The line on standard error that names the database of a command."""
    return f"database: {machine.folder}/tradingagents.db\n"


def status_of_a_request(server: Server, token: str) -> int:
    return server.client.get("/api/v1/strategies", headers={"Authorization": f"Bearer {token}"}).status_code


def test_a_secret_is_fresh_and_long_enough_for_every_algorithm(machine: Machine) -> None:
    first, second = at_once(lambda command: machine.run("tradingagents", command), ["secret", "secret"])
    assert min(len(first.stdout.strip().encode()), len(second.stdout.strip().encode())) >= 64
    assert first.stdout != second.stdout


@pytest.mark.parametrize("algorithm", ["RS256", "PS512", "ES256", "ES384", "EdDSA"])
def test_a_secret_for_another_algorithm_is_a_fresh_private_key(machine: Machine, algorithm: str) -> None:
    first, second = at_once(
        lambda each: machine.run("tradingagents", "secret", "--algorithm", each), [algorithm, algorithm]
    )
    for printed in (first, second):
        assert printed.stderr == ""
        load_pem_private_key(printed.stdout.encode(), password=None)
    assert first.stdout.startswith("-----BEGIN PRIVATE KEY-----\n")
    assert first.stdout != second.stdout


def test_there_is_no_secret_for_an_unknown_algorithm(machine: Machine) -> None:
    refused = machine.run("tradingagents", "secret", "--algorithm", "none")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "'EdDSA'" in refused.stderr


def test_the_openapi_document_is_printed_without_any_configuration(machine: Machine) -> None:
    printed = machine.run("tradingagents", "openapi")
    assert printed.stderr == ""
    assert "/api/v1/strategies" in json.loads(printed.stdout)["paths"]
    assert list(machine.folder.iterdir()) == []


def test_the_first_account_is_created_on_a_machine_where_nothing_ran_before(machine: Machine) -> None:
    created = machine.run(*CREATE, "Ann@Example.com", "--password-stdin", typed=f"{PASSWORD}\n")
    assert (created.returncode, created.stdout) == (0, "Created the account ann@example.com.\n")
    assert created.stderr == which(machine)
    assert emails(machine) == ["ann@example.com"]


def test_a_machine_where_nothing_ran_before_has_no_accounts(machine: Machine) -> None:
    listed = machine.run(*LIST)
    assert (listed.returncode, listed.stdout) == (0, "")
    assert listed.stderr == which(machine) + "There are no accounts.\n"


def test_migrate_makes_the_database(machine: Machine) -> None:
    migrated = machine.run("tradingagents", "migrate")
    assert (migrated.returncode, migrated.stdout) == (0, "The database is up to date.\n")
    assert migrated.stderr == which(machine)
    assert emails(machine) == []


def test_the_version_is_shown(machine: Machine) -> None:
    shown = machine.run("tradingagents", "--version")
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, f"tradingagents {__version__}\n", "")


# Migrating to a revision


def revision(machine: Machine) -> list[str]:
    with closing(sqlite3.connect(machine.folder / "tradingagents.db")) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE name LIKE '%alembic_version'").fetchall()
        return [number for (table,) in tables for (number,) in connection.execute(f"SELECT version_num FROM {table}")]


def test_migrate_goes_up_to_a_revision_and_down_to_one_where_nothing_is_lost_on_the_way(machine: Machine) -> None:
    for number in ("0003", REVISION, "0002", "0004"):
        migrated = machine.run("tradingagents", "migrate", "--to", number)
        assert (migrated.returncode, migrated.stdout) == (0, f"The database's schema is at revision {number}.\n"), (
            migrated.stderr
        )
        assert revision(machine) == [number]


def test_migrate_asks_on_a_terminal_before_it_drops_what_holds_data(used_machine: Machine) -> None:
    back = ("tradingagents", "migrate", "--to", "base")
    status, screen = used_machine.run_on_terminal(*back, answers=[("Continue? [y/N]: ", "n\n")])
    assert (status, emails(used_machine)) == (1, [EMAIL])
    assert "drops tradingagents_users (1 row)" in screen.replace("\r\n", "")
    status, _ = used_machine.run_on_terminal(*back, answers=[("Continue? [y/N]: ", "y\n")])
    assert (status, revision(used_machine)) == (0, [])


def test_migrate_refuses_without_a_terminal_to_drop_what_holds_data(used_machine: Machine) -> None:
    refused = used_machine.run("tradingagents", "migrate", "--to", "base")
    line = only_line(refused)
    assert line.startswith(
        f"error: {used_machine.folder}/tradingagents.db: the downgrade to base drops tradingagents_users (1 row)"
    )
    assert "--yes" in line
    assert (refused.returncode, emails(used_machine), revision(used_machine)) == (1, [EMAIL], [REVISION])


def test_migrate_drops_what_holds_data_where_that_is_said(used_machine: Machine) -> None:
    dropped = used_machine.run("tradingagents", "migrate", "--to", "base", "--yes")
    assert (dropped.returncode, dropped.stdout) == (0, "The database's schema is at revision base.\n"), dropped.stderr
    assert revision(used_machine) == []


def test_a_revision_that_there_is_not_is_refused_with_those_that_there_are(machine: Machine) -> None:
    refused = machine.run("tradingagents", "migrate", "--to", "0099")
    assert "--to should be one of base, 0001, 0002, " in only_line(refused)
    assert refused.returncode == 1


def test_accounts_are_listed_with_id_status_and_address(shared_machine: Machine) -> None:
    headings, line = shared_machine.run(*LIST).stdout.splitlines()
    assert headings.split() == ["Id", "Status", "Created", "(UTC)", "E-mail"]
    identifier, status, *_, email = line.split()
    assert (identifier, status, email) == ("1", "active", EMAIL)


def test_if_none_creates_the_first_account(machine: Machine) -> None:
    created = machine.run(*CREATE, EMAIL, "--password-stdin", "--if-none", typed=f"{PASSWORD}\n")
    assert (created.returncode, emails(machine)) == (0, [EMAIL])


def test_if_none_creates_no_second_account_and_is_content(used_machine: Machine) -> None:
    created = used_machine.run(*CREATE, "bob@example.com", "--password-stdin", "--if-none", typed=f"{PASSWORD}\n")
    assert (created.returncode, created.stderr, emails(used_machine)) == (0, which(used_machine), [EMAIL])


@pytest.mark.parametrize("what", REFUSALS)
def test_a_refusal_is_one_line_and_status_1(refused: dict[str, CompletedProcess[str]], what: str) -> None:
    assert only_line(refused[what]) == REFUSALS[what][-1]
    assert refused[what].returncode == 1


def test_a_refusal_stores_nothing(refused: dict[str, CompletedProcess[str]], shared_machine: Machine) -> None:
    assert emails(shared_machine) == [EMAIL]


def test_a_database_in_a_folder_that_does_not_exist_is_refused_in_one_line(machine: Machine) -> None:
    refused = machine.given(DATABASE_URL="sqlite+aiosqlite:///./missing/some.db").run(*LIST)
    assert only_line(refused) == "error: DATABASE_URL should name a file in a folder that exists"
    assert refused.returncode == 1


def test_a_file_that_is_no_database_is_refused_in_one_line(machine: Machine) -> None:
    (machine.folder / "tradingagents.db").write_text("Not a database, but long enough to be read as one. " * 40)
    refused = machine.run(*LIST)
    assert only_line(refused).startswith(f"error: {machine.folder}/tradingagents.db: file is not a database; ")
    assert refused.returncode == 1


def test_a_password_is_no_argument(shared_machine: Machine) -> None:
    ended = at_once(lambda command: shared_machine.run(*command), PASSWORDS_AS_ARGUMENTS)
    assert [each.returncode for each in ended] == [2, 2, 2]


def test_a_password_is_a_line_however_it_ends(server_machine: Machine, server: Server, numbers: Iterator[int]) -> None:
    ends = ["", "\n", "\r\n", "\nanother line\n"]
    emails = [f"line{next(numbers)}@example.com" for _ in ends]
    for email, end in zip(emails, ends, strict=True):
        created = server_machine.run(*CREATE, email, "--password-stdin", typed=f" {PASSWORD} {end}")
        assert created.returncode == 0, created.stderr
    assert [server.log_in(email, f" {PASSWORD} ").status_code for email in emails] == [200] * 4


def test_a_mistake_of_the_program_shows_no_password(used_machine: Machine) -> None:
    with closing(sqlite3.connect(used_machine.folder / "tradingagents.db")) as connection:
        connection.execute("ALTER TABLE tradingagents_users RENAME COLUMN created_at TO made_at")
    ended = used_machine.run(*CREATE, "b@example.com", "--password-stdin", typed=f"{OTHER_PASSWORD}\n")
    assert ended.returncode != 0
    assert ended.stderr.startswith("Traceback (most recent call last):\n")
    assert OTHER_PASSWORD not in ended.stdout + ended.stderr


def test_a_new_password_is_asked_for_twice_and_not_shown(machine: Machine) -> None:
    answers = [("Password: ", f"{PASSWORD}\n"), ("confirmation: ", f"{PASSWORD}\n")]
    status, screen = machine.run_on_terminal(*CREATE, EMAIL, answers=answers)
    assert status == 0, screen
    assert PASSWORD not in screen
    assert emails(machine) == [EMAIL]


def test_two_different_passwords_are_asked_for_again(machine: Machine) -> None:
    answers = [
        ("Password: ", f"{PASSWORD}\n"),
        ("confirmation: ", f"{OTHER_PASSWORD}\n"),
        ("Password: ", f"{PASSWORD}\n"),
        ("confirmation: ", f"{PASSWORD}\n"),
    ]
    status, screen = machine.run_on_terminal(*CREATE, EMAIL, answers=answers)
    assert status == 0, screen
    assert "do not match" in screen


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("\x03", id="Ctrl-C"),
        pytest.param("\x04", id="Ctrl-D"),
    ],
)
def test_the_question_for_a_password_can_be_left(machine: Machine, key: str) -> None:
    status, screen = machine.run_on_terminal(*CREATE, EMAIL, answers=[("Password: ", key)])
    assert status != 0
    assert "Traceback" not in screen
    assert machine.run("tradingagents", "users", "list").stdout == ""


def test_a_password_that_was_set_replaces_the_old_one(
    server_machine: Machine, server: Server, new_account: str
) -> None:
    changed = server_machine.run(*SET_PASSWORD, new_account, "--password-stdin", typed=f"{OTHER_PASSWORD}\n")
    assert changed.returncode == 0, changed.stderr
    logins = [server.log_in(new_account, password).status_code for password in (PASSWORD, OTHER_PASSWORD)]
    assert logins == [401, 200]


def test_a_password_set_at_the_prompt_replaces_the_old_one(
    server_machine: Machine, server: Server, new_account: str
) -> None:
    answers = [("Password: ", f"{OTHER_PASSWORD}\n"), ("confirmation: ", f"{OTHER_PASSWORD}\n")]
    status, screen = server_machine.run_on_terminal(*SET_PASSWORD, new_account, answers=answers)
    assert status == 0, screen
    logins = [server.log_in(new_account, password).status_code for password in (PASSWORD, OTHER_PASSWORD)]
    assert logins == [401, 200]


def test_a_disabled_users_token_is_refused_by_the_running_server_at_the_next_request(
    server_machine: Machine, server: Server, new_account: str
) -> None:
    token = server.token(new_account, PASSWORD)
    before = status_of_a_request(server, token)
    assert server_machine.run(*DEACTIVATE, new_account).returncode == 0
    assert (before, status_of_a_request(server, token)) == (200, 401)


def test_a_disabled_user_cannot_log_in_until_activated_again(
    server_machine: Machine, server: Server, new_account: str
) -> None:
    answers = []
    for command in (DEACTIVATE, ACTIVATE):
        assert server_machine.run(*command, new_account.upper()).returncode == 0
        answers.append(server.log_in(new_account, PASSWORD).status_code)
    assert answers == [401, 200]


def test_a_disabled_user_is_listed_as_inactive(used_machine: Machine) -> None:
    assert used_machine.run(*DEACTIVATE, EMAIL).returncode == 0
    assert used_machine.run(*LIST).stdout.splitlines()[1].split()[1] == "inactive"
