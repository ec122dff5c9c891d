"""Servers that start while their database is away, on a newer schema, or without lifespan events."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import psutil
import pytest
from postgresql import PostgresqlServer, running_server, wait_until
from processes import GUNICORN, KEY, SERVE, UVICORN, Machine, Server, only_line

EMAIL: Final = "user@example.com"
PASSWORD: Final = "SecurePassword123"
STRATEGIES: Final = "/api/v1/strategies"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, {"JWT_SECRET_KEY": KEY})


def give_account(machine: Machine) -> None:
    created = machine.run("tradingagents", "users", "create", EMAIL, "--password-stdin", typed=f"{PASSWORD}\n")
    assert created.returncode == 0, created.stderr


def create(server: Server, token: str, name: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return server.client.post(STRATEGIES, headers=headers, json={"name": name}).status_code


# PostgreSQL is away


@pytest.fixture
def postgresql() -> Iterator[PostgresqlServer]:
    """A server that a test may stop and start."""
    with running_server() as server:
        yield server


@pytest.fixture
def on_postgresql(machine: Machine, postgresql: PostgresqlServer) -> Iterator[Machine]:
    with postgresql.databases.fresh() as database:
        machine = machine.given(DATABASE_URL=database.setting)
        assert machine.run("tradingagents", "migrate").returncode == 0
        give_account(machine)
        yield machine


@pytest.mark.parametrize(
    "command", [(*SERVE, "--workers", "2"), UVICORN, GUNICORN], ids=["serve", "uvicorn", "gunicorn"]
)
def test_a_server_that_starts_while_the_database_is_away_answers_503_and_works_once_it_is_back(
    on_postgresql: Machine, postgresql: PostgresqlServer, command: tuple[str, ...]
) -> None:
    postgresql.stop()
    with on_postgresql.serving(*command) as server:
        refused = server.log_in(EMAIL, PASSWORD)
        assert server.client.get("/health").status_code == 200
        postgresql.start()
        wait_until(lambda: server.log_in(EMAIL, PASSWORD).status_code == 200, 30, server.output)
        assert create(server, server.token(EMAIL, PASSWORD), "after it") == 201

    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) >= 1
    assert "Traceback" not in server.output()


def test_a_worker_that_is_lost_while_the_database_is_away_does_not_take_the_others_along(
    on_postgresql: Machine, postgresql: PostgresqlServer
) -> None:
    with on_postgresql.serving(*SERVE, "--workers", "2") as server:
        server.wait_for_output("Application startup complete.", times=2)
        token = server.token(EMAIL, PASSWORD)
        postgresql.stop()
        children = psutil.Process(server.process.pid).children()
        next(child for child in children if "spawn_main" in str(child.cmdline())).kill()
        server.wait_for_output("Application startup complete.", times=3)
        assert server.process.poll() is None
        postgresql.start()
        names = iter(range(1000))
        wait_until(lambda: create(server, token, f"strategy {next(names)}") == 201, 30, server.output)


def test_a_command_does_not_wait_for_a_database_that_is_away(
    on_postgresql: Machine, postgresql: PostgresqlServer
) -> None:
    postgresql.stop()
    refused = on_postgresql.run("tradingagents", "users", "list")
    assert only_line(refused).startswith("error: The database is not available")
    assert refused.returncode == 1
    postgresql.start()


# A newer schema


def make_newer(machine: Machine, revision: str, oldest: str | None) -> None:
    """Change the database as a later version's migration would."""
    with closing(sqlite3.connect(machine.folder / "tradingagents.db")) as connection:
        connection.execute("UPDATE tradingagents_alembic_version SET version_num = ?", [revision])
        connection.execute("DELETE FROM tradingagents_schema_needs")
        if oldest is not None:
            connection.execute("INSERT INTO tradingagents_schema_needs VALUES (?, ?, '1.7.0')", [revision, oldest])
        connection.commit()


def test_a_server_runs_on_a_newer_schema_that_allows_it(machine: Machine) -> None:
    give_account(machine)
    make_newer(machine, "0009", oldest="0006")
    with machine.serving(*SERVE) as server:
        assert create(server, server.token(EMAIL, PASSWORD), "beside it") == 201
    assert machine.run("tradingagents", "users", "list").returncode == 0


@pytest.mark.parametrize(
    ("oldest", "said"),
    [("0009", "needs at least version 1.7.0 of the service"), (None, "is newer than this version of the service")],
)
def test_a_newer_schema_that_does_not_allow_it_is_refused_in_one_line(
    machine: Machine, oldest: str | None, said: str
) -> None:
    give_account(machine)
    make_newer(machine, "0009", oldest)
    for command in (("users", "list"), ("migrate",)):
        refused = machine.run("tradingagents", *command)
        assert said in only_line(refused)
        assert refused.returncode == 1
    started = machine.run(*SERVE, "--port", "0")
    assert said in started.stderr
    assert "Traceback" not in started.stderr
    assert started.returncode > 0


def test_a_migration_says_what_its_schema_needs_upwards_and_downwards(machine: Machine) -> None:
    give_account(machine)

    def needs() -> list[tuple[str, str, str]]:
        with closing(sqlite3.connect(machine.folder / "tradingagents.db")) as connection:
            return connection.execute("SELECT * FROM tradingagents_schema_needs").fetchall()

    assert needs() == [("0007", "0007", "2.0.0")]
    back = machine.run("tradingagents", "migrate", "--to", "0005")
    assert back.returncode == 0, back.stderr
    assert needs() == [("0005", "0003", "1.0.0")]


# A server without lifespan events


@pytest.mark.parametrize("has_account", [True, False], ids=["with a database", "without one"])
def test_without_lifespan_events_requests_are_answered_as_with_them(machine: Machine, has_account: bool) -> None:
    if has_account:
        give_account(machine)
    with machine.serving(*UVICORN, "--lifespan", "off") as server:
        if not has_account:
            assert server.log_in(EMAIL, PASSWORD).status_code == 401
            give_account(machine)
        token = server.token(EMAIL, PASSWORD)
        assert create(server, token, "a") == 201
        assert create(server, token, "b") == 201
        listed = server.client.get(STRATEGIES, headers={"Authorization": f"Bearer {token}"}).json()
    assert listed["total"] == 2
    assert "Traceback" not in server.output()


def test_without_lifespan_events_a_schema_that_is_too_old_is_503_and_one_line_in_the_log(machine: Machine) -> None:
    with machine.given(MIGRATE_ON_START="false").serving(*UVICORN, "--lifespan", "off") as server:
        answers = [server.log_in(EMAIL, PASSWORD) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 503]
    assert server.output().count("tradingagents migrate") == 1
    assert "Traceback" not in server.output()


# The file is removed


def test_a_file_that_is_removed_is_noticed_before_a_change_is_acknowledged(machine: Machine) -> None:
    give_account(machine)
    file = machine.folder / "tradingagents.db"
    with machine.serving(*SERVE) as server:
        token = server.token(EMAIL, PASSWORD)
        assert create(server, token, "before") == 201
        kept = machine.folder / "kept"
        kept.mkdir()
        for each in machine.folder.glob("tradingagents.db*"):
            each.rename(kept / each.name)
        refused = [create(server, token, f"while it is away {number}") for number in range(3)]
        for each in kept.iterdir():
            each.rename(machine.folder / each.name)
        wait_until(lambda: create(server, token, "after") in (201, 409), 20, server.output)
        listed = server.client.get(STRATEGIES, headers={"Authorization": f"Bearer {token}"}).json()

    assert refused == [503, 503, 503]
    assert [item["name"] for item in listed["items"]] == ["before", "after"]
    assert server.output().count(f"{file} was removed or replaced") == 1


def test_a_file_that_is_replaced_is_used_from_then_on(machine: Machine) -> None:
    give_account(machine)
    backup = machine.folder / "backup.db"
    with machine.serving(*SERVE) as server:
        token = server.token(EMAIL, PASSWORD)
        with closing(sqlite3.connect(machine.folder / "tradingagents.db")) as connection:
            connection.execute("VACUUM INTO ?", [str(backup)])
        assert create(server, token, "not in the backup") == 201
        for each in machine.folder.glob("tradingagents.db-*"):
            each.unlink()
        backup.replace(machine.folder / "tradingagents.db")
        names = iter(range(1000))
        wait_until(lambda: create(server, token, f"new {next(names)}") == 201, 20, server.output)
        server.kill()
    with machine.serving(*SERVE) as server:
        listed = server.client.get(STRATEGIES, headers={"Authorization": f"Bearer {token}"}).json()
    assert listed["total"] == 1
    assert listed["items"][0]["name"].startswith("new ")
