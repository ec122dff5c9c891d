"""The commands for API keys and sessions, and the deletion of accounts, as an operator uses them in a shell."""

import asyncio
import hashlib
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Final

import pytest
from postgresql import Database
from processes import Machine, at_once, only_line

from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.strategies import StrategyContent
from tradingagents_service import open_core

ANN: Final = "ann@example.com"
BOB: Final = "bob@example.com"
PASSWORD: Final = "SecurePassword123"

CREATE: Final = ("tradingagents", "keys", "create")
KEYS: Final = ("tradingagents", "keys", "list")
REVOKE: Final = ("tradingagents", "keys", "revoke")
SESSIONS: Final = ("tradingagents", "sessions", "list")
END: Final = ("tradingagents", "sessions", "end")
DELETE: Final = ("tradingagents", "users", "delete")
USERS: Final = ("tradingagents", "users", "list")

NAMED: Final = ("--name", "bot")
READS: Final = ("--scope", "strategies:read")
PREFIX: Final = "ta_12345678"
EXPIRY: Final = "2099-01-31 18:00"
NAME: Final = "the [red] bot :smile: of Zoë"

NO_ACCOUNT: Final = "error: there is no account 'nobody@example.com'; `tradingagents users list` lists all accounts"
NO_TIME: Final = (
    "error: --expires-at should be a time with its zone, such as 2027-01-31T18:00:00+01:00, or a date in UTC, such as"
    " 2027-01-31"
)
NO_SCOPE: Final = (
    "error: --scope should be strategies:read or strategies:write; for several scopes, give --scope several times"
)

REFUSALS: Final = {
    "a key for nobody": ((*CREATE, "nobody@example.com", *NAMED, *READS), NO_ACCOUNT),
    "the keys of nobody": ((*KEYS, "nobody@example.com"), NO_ACCOUNT),
    "the sessions of nobody": ((*SESSIONS, "nobody@example.com"), NO_ACCOUNT),
    "the end of nobody's sessions": ((*END, "nobody@example.com"), NO_ACCOUNT),
    "the deletion of nobody": ((*DELETE, "nobody@example.com", "--yes"), NO_ACCOUNT),
    "a deletion with nobody to ask": (
        (*DELETE, ANN),
        "error: there is no terminal to ask for a confirmation; add --yes to delete the account",
    ),
    "a scope that there is not": ((*CREATE, ANN, *NAMED, "--scope", "strategies:delete"), NO_SCOPE),
    "two scopes in one option": ((*CREATE, ANN, *NAMED, "--scope", "strategies:read,strategies:write"), NO_SCOPE),
    "a blank name": ((*CREATE, ANN, "--name", " ", *READS), "error: name should not be blank"),
    "a key that has expired": (
        (*CREATE, ANN, *NAMED, *READS, "--expires-at", "2020-01-31"),
        "error: expires_at should be in the future",
    ),
    "a time without a zone": ((*CREATE, ANN, *NAMED, *READS, "--expires-at", "2099-01-31T18:00:00"), NO_TIME),
    "a time that is none": ((*CREATE, ANN, *NAMED, *READS, "--expires-at", "tomorrow"), NO_TIME),
    "a day that there is not": ((*CREATE, ANN, *NAMED, *READS, "--expires-at", "2099-02-30"), NO_TIME),
    "the revocation of a key that there is not": (
        (*REVOKE, "7"),
        "error: there is no API key with the id 7; `tradingagents keys list EMAIL` lists the keys of an account",
    ),
}


@pytest.fixture(scope="module")
def two_accounts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    machine = Machine(tmp_path_factory.mktemp("accounts"))
    for email in (ANN, BOB):
        succeeded(machine.run("tradingagents", "users", "create", email, "--password-stdin", typed=f"{PASSWORD}\n"))
    return machine.folder / "tradingagents.db"


@pytest.fixture
def machine(tmp_path: Path, two_accounts: Path) -> Machine:
    """A machine with the accounts of Ann (1) and Bob (2)."""
    shutil.copy(two_accounts, tmp_path)
    return Machine(tmp_path)


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory, two_accounts: Path) -> Iterator[dict[str, CompletedProcess[str]]]:
    """The results of all commands in `REFUSALS`, on one machine."""
    machine = Machine(tmp_path_factory.mktemp("refusals"))
    shutil.copy(two_accounts, machine.folder)
    ended = at_once(lambda each: machine.run(*each[0]), list(REFUSALS.values()))
    yield dict(zip(REFUSALS, ended, strict=True))
    assert rows(machine, "SELECT count(*) FROM tradingagents_api_keys") == [(0,)]
    assert rows(machine, "SELECT count(*) FROM tradingagents_users") == [(2,)]


def succeeded(ended: CompletedProcess[str]) -> str:
    """The standard output of a command that has succeeded."""
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def objects(machine: Machine, *command: str) -> list[dict[str, Any]]:
    return json.loads(succeeded(machine.run(*command, "--json")))


def rows(machine: Machine, statement: str) -> list[Any]:
    with closing(sqlite3.connect(machine.folder / "tradingagents.db")) as connection:
        return connection.execute(statement).fetchall()


def open_sessions(machine: Machine, number: int, *, user_id: int, lifetime: timedelta = timedelta(hours=1)) -> None:
    now = datetime.now(UTC).replace(tzinfo=None)
    session = (user_id, *(time.isoformat(" ", "microseconds") for time in (now, now, now + lifetime)))
    with closing(sqlite3.connect(machine.folder / "tradingagents.db")) as connection, connection:
        connection.executemany(
            "INSERT INTO tradingagents_sessions (user_id, created_at, last_used_at, expires_at) VALUES (?, ?, ?, ?)",
            [session] * number,
        )


def add_keys(machine: Machine, number: int, *, user_id: int = 1, name: str = "bot") -> None:
    with closing(sqlite3.connect(machine.folder / "tradingagents.db")) as connection, connection:
        connection.executemany(
            "INSERT INTO tradingagents_api_keys (user_id, name, scopes, prefix, key_hash, created_at, expires_at)"
            " VALUES (?, ?, 'strategies:read', ?, lower(hex(randomblob(32))), '2026-01-31 08:00:00.000000', ?)",
            [(user_id, name, PREFIX, f"{EXPIRY}:00.000000")] * number,
        )


def create_strategy(machine: Machine, *, owner_id: int) -> None:
    async def create() -> None:
        async with open_core(f"sqlite+aiosqlite:///{machine.folder}/tradingagents.db") as core:
            content = StrategyContent(name="Crossover", parameters={})
            await core.strategies.create(caller=Caller(user_id=owner_id), content=content)

    asyncio.run(create())


# API keys


def test_standard_output_has_the_new_key_and_nothing_else(machine: Machine) -> None:
    created = machine.run(*CREATE, ANN.upper(), *NAMED, *READS)
    assert re.fullmatch(r"ta_[A-Za-z0-9_-]{43}\n", succeeded(created))
    assert created.stderr.splitlines() == [
        f"database: {machine.folder}/tradingagents.db",
        "Created the API key with the id 1. The key never expires, and cannot be shown again.",
    ]


def test_the_printed_key_is_the_stored_one(machine: Machine) -> None:
    key = succeeded(machine.run(*CREATE, ANN, *NAMED, *READS)).strip()
    assert rows(machine, "SELECT user_id, prefix, key_hash FROM tradingagents_api_keys") == [
        (1, key[:11], hashlib.sha256(key.encode()).hexdigest())
    ]


def test_a_key_has_the_name_the_scopes_and_the_end_that_were_asked_for(machine: Machine) -> None:
    both = ("--scope", "strategies:write", *READS)
    created = [
        machine.run(*CREATE, ANN, "--name", NAME, *both, "--expires-at", "2099-01-31T18:00:00+01:00"),
        machine.run(*CREATE, ANN, *NAMED, *READS, "--expires-at", "2099-01-31"),
    ]
    keys = [succeeded(each).strip() for each in created]
    assert "expires at 2099-01-31 17:00 UTC" in created[0].stderr
    assert "expires at 2099-01-31 00:00 UTC" in created[1].stderr
    listed = objects(machine, *KEYS, ANN)
    times = [each.pop("created_at") for each in listed]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time) for time in times)
    assert listed == [
        {
            "id": 1,
            "name": NAME,
            "prefix": keys[0][:11],
            "scopes": ["strategies:read", "strategies:write"],
            "expires_at": "2099-01-31T17:00:00Z",
            "last_used_at": None,
        },
        {
            "id": 2,
            "name": "bot",
            "prefix": keys[1][:11],
            "scopes": ["strategies:read"],
            "expires_at": "2099-01-31T00:00:00Z",
            "last_used_at": None,
        },
    ]


def test_a_revoked_key_is_gone_and_the_others_stay(machine: Machine) -> None:
    for user_id in (1, 2, 1):
        add_keys(machine, 1, user_id=user_id)
    assert succeeded(machine.run(*REVOKE, "1")) == "Revoked the API key with the id 1.\n"
    assert rows(machine, "SELECT id FROM tradingagents_api_keys ORDER BY id") == [(2,), (3,)]
    assert [key["id"] for key in objects(machine, *KEYS, ANN)] == [3]


# Sessions


def test_the_open_sessions_of_an_account_are_listed(machine: Machine) -> None:
    open_sessions(machine, 1, user_id=2)
    open_sessions(machine, 1, user_id=1)
    open_sessions(machine, 1, user_id=1, lifetime=timedelta(seconds=-1))
    (session,) = objects(machine, *SESSIONS, ANN)
    assert session.keys() == {"id", "created_at", "last_used_at", "expires_at"}
    assert session["id"] == 2
    headings, line = succeeded(machine.run(*SESSIONS, ANN)).splitlines()
    assert re.split(" {2,}", headings) == ["Id", "Created (UTC)", "Last used (UTC)", "Expires (UTC)"]
    assert line.split()[0] == "2"


def test_a_long_list_is_complete(machine: Machine) -> None:
    open_sessions(machine, 2001, user_id=1)
    assert [session["id"] for session in objects(machine, *SESSIONS, ANN)] == list(range(1, 2002))


def test_all_sessions_of_an_account_end_and_their_number_is_said(machine: Machine) -> None:
    open_sessions(machine, 3, user_id=1)
    open_sessions(machine, 1, user_id=1, lifetime=timedelta(seconds=-1))
    open_sessions(machine, 1, user_id=2)
    assert succeeded(machine.run(*END, ANN)) == "Ended 3 sessions.\n"
    assert rows(machine, "SELECT user_id FROM tradingagents_sessions") == [(2,)]


# Deletion of accounts


def test_a_deletion_asks_first_and_says_what_is_lost(machine: Machine) -> None:
    create_strategy(machine, owner_id=1)
    question = (
        f"Delete the account {ANN}, its 1 strategy, all its sessions and API keys? This cannot be undone. [y/N]: "
    )
    status, screen = machine.run_on_terminal(*DELETE, ANN.upper(), answers=[(question, "n\n")])
    assert (status, rows(machine, "SELECT email FROM tradingagents_users")) == (1, [(ANN,), (BOB,)])
    assert f"database: {machine.folder}/tradingagents.db" in screen
    status, screen = machine.run_on_terminal(*DELETE, ANN.upper(), answers=[(question, "y\n")])
    assert (status, rows(machine, "SELECT email FROM tradingagents_users")) == (0, [(BOB,)]), screen
    assert rows(machine, "SELECT count(*) FROM tradingagents_strategies") == [(0,)]


def test_a_script_deletes_an_account_and_all_that_it_owns(machine: Machine) -> None:
    create_strategy(machine, owner_id=1)
    create_strategy(machine, owner_id=2)
    for user_id in (1, 2):
        open_sessions(machine, 2, user_id=user_id)
        add_keys(machine, 1, user_id=user_id)
    deleted = machine.run(*DELETE, ANN, "--yes")
    assert succeeded(deleted) == f"Deleted the account {ANN}.\n"
    assert deleted.stderr == f"database: {machine.folder}/tradingagents.db\n"
    assert rows(machine, "SELECT id FROM tradingagents_users") == [(2,)]
    assert rows(machine, "SELECT DISTINCT user_id FROM tradingagents_sessions") == [(2,)]
    assert rows(machine, "SELECT user_id FROM tradingagents_api_keys") == [(2,)]
    assert rows(machine, "SELECT owner_id FROM tradingagents_strategies") == [(2,)]


# Lists


def test_accounts_are_listed_as_json_without_their_hashes(machine: Machine) -> None:
    succeeded(machine.run("tradingagents", "users", "deactivate", BOB))
    listed = objects(machine, *USERS)
    assert [each.keys() for each in listed] == [{"id", "email", "is_active", "created_at"}] * 2
    assert [(each["id"], each["email"], each["is_active"]) for each in listed] == [(1, ANN, True), (2, BOB, False)]


def test_an_empty_list_is_an_empty_array_for_scripts_and_a_sentence_for_people(machine: Machine) -> None:
    commands = [(*KEYS, ANN), (*SESSIONS, ANN)]
    assert [objects(machine, *command) for command in commands] == [[], []]
    shown = at_once(lambda command: machine.run(*command), commands)
    assert [succeeded(each) for each in shown] == ["", ""]
    assert [each.stderr.splitlines()[-1] for each in shown] == [
        f"The account {ANN} has no API keys.",
        f"The account {ANN} has no open sessions.",
    ]


def test_a_table_without_a_terminal_has_each_row_on_one_plain_line(machine: Machine) -> None:
    add_keys(machine, 1, name=NAME)
    piped = machine.given(COLUMNS="40", FORCE_COLOR="1", TTY_COMPATIBLE="1")
    headings, line = succeeded(piped.run(*KEYS, ANN)).splitlines()
    assert re.split(" {2,}", headings) == [
        *("Id", "Name", "Key", "Scopes", "Created (UTC)", "Expires (UTC)", "Last used (UTC)")
    ]
    cells = re.split(" {2,}", line)
    assert (*cells[:4], *cells[5:]) == ("1", NAME, PREFIX, "strategies:read", EXPIRY, "never")


@pytest.mark.parametrize("columns", [200, 80, 40])
def test_a_table_on_a_terminal_shows_everything_however_narrow(machine: Machine, columns: int) -> None:
    add_keys(machine, 1, name=NAME)
    status, screen = machine.given(COLUMNS=str(columns)).run_on_terminal(*KEYS, ANN, answers=[])
    assert status == 0
    shown = screen.split()
    assert [word for word in (*NAME.split(), PREFIX, "strategies:read", *EXPIRY.split()) if word not in shown] == []


def test_a_table_is_wrapped_to_the_width_of_the_terminal(machine: Machine) -> None:
    add_keys(machine, 1, name=NAME + "x" * 50)
    _, screen = machine.given(COLUMNS="80").run_on_terminal(*KEYS, ANN, answers=[])
    _, *table = re.sub(r"\x1b\[\d*m", "", screen).splitlines()
    assert max(len(line) for line in table) <= 80


# Refusals


@pytest.mark.parametrize("what", REFUSALS)
def test_a_refusal_is_one_line_and_status_1(refused: dict[str, CompletedProcess[str]], what: str) -> None:
    assert only_line(refused[what]) == REFUSALS[what][1]
    assert refused[what].returncode == 1


def test_a_key_beyond_the_maximum_is_refused_with_what_to_do(machine: Machine) -> None:
    add_keys(machine, 100)
    refused = machine.run(*CREATE, ANN, *NAMED, *READS)
    assert only_line(refused) == (
        "error: the account has 100 API keys, the maximum; revoke one of them first: `tradingagents keys revoke ID`"
    )
    assert refused.returncode == 1


# PostgreSQL


def test_keys_are_created_listed_and_revoked_on_postgresql(tmp_path: Path, database: Database) -> None:
    machine = Machine(tmp_path, {"DATABASE_URL": database.setting})
    succeeded(machine.run("tradingagents", "users", "create", ANN, "--password-stdin", typed=f"{PASSWORD}\n"))
    key = succeeded(machine.run(*CREATE, ANN, "--name", NAME, *READS, "--expires-at", "2099-01-31"))
    (listed,) = objects(machine, *KEYS, ANN)
    assert (listed["name"], listed["prefix"], listed["expires_at"]) == (NAME, key[:11], "2099-01-31T00:00:00Z")
    succeeded(machine.run(*REVOKE, str(listed["id"])))
    assert objects(machine, *KEYS, ANN) == []
    assert succeeded(machine.run(*END, ANN)) == "Ended 0 sessions.\n"
    assert succeeded(machine.run(*DELETE, ANN, "--yes")) == f"Deleted the account {ANN}.\n"
    assert objects(machine, *USERS) == []
