"""The documented ways to run the API, and the document's client, as processes."""

import json
import re
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from postgresql import wait_until
from processes import GUNICORN, KEY, SERVE, UVICORN, Machine, only_line

STRATEGIES: Final = "/api/v1/strategies"
EMAIL: Final = "user@example.com"
PASSWORD: Final = "password123"

CLIENT: Final = """\
import httpx
async def main():
    async with httpx.AsyncClient(base_url="http://localhost:8000") as client:
        # Login
        response = await client.post("/api/v1/auth/login", data={
            "username": "user@example.com",
            "password": "password123"
        })
        token = response.json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        # List strategies
        response = await client.get("/api/v1/strategies", headers=headers)
        strategies = response.json()["items"]
        # Create strategy
        response = await client.post("/api/v1/strategies", headers=headers, json={
            "name": "New Strategy",
            "description": "Test",
            "parameters": {},
        })
        new_strategy = response.json()
        print(f"Created strategy: {new_strategy['id']}")
import asyncio
asyncio.run(main())
"""
"""The Python client example of the reference, whose published text has lost its indentation."""

WAYS_TO_SERVE: Final = {
    "uvicorn": UVICORN,
    "uvicorn with --reload": (*UVICORN, "--reload"),
    "uvicorn with the module of the HTTP side": ("uvicorn", "tradingagents_service.asgi:app"),
    "tradingagents serve": SERVE,
}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, {"JWT_SECRET_KEY": KEY})


@pytest.fixture(scope="module")
def give_account(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Machine], None]:
    first = Machine(tmp_path_factory.mktemp("account"))
    created = first.run("tradingagents", "users", "create", EMAIL, "--password-stdin", typed=f"{PASSWORD}\n")
    assert created.returncode == 0, created.stderr

    def copy(machine: Machine) -> None:
        shutil.copy(first.folder / "tradingagents.db", machine.folder)

    return copy


@pytest.mark.parametrize("command", WAYS_TO_SERVE.values(), ids=WAYS_TO_SERVE.keys())
def test_a_server_answers_on_an_empty_database_and_ends_by_itself_when_asked_to(
    machine: Machine, command: tuple[str, ...]
) -> None:
    with machine.serving(*command) as server:
        health = server.client.get("/health")
        login = server.log_in(EMAIL, PASSWORD)
        status = server.stop()

    assert health.json() == {"status": "healthy", "version": "1.0.0"}
    assert login.status_code == 401
    assert status in (0, -signal.SIGTERM)
    assert "Application shutdown complete." in server.output()
    assert "Traceback" not in server.output()


@pytest.fixture(scope="module")
def gunicorn_on_an_empty_database(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str]:
    """The result and the output of a gunicorn that was stopped after all its workers had started."""
    machine = Machine(tmp_path_factory.mktemp("gunicorn"), {"JWT_SECRET_KEY": KEY})
    with machine.serving(*GUNICORN) as server:
        server.wait_for_output("Application startup complete.", times=4)
        return server.stop(), server.output()


def test_four_gunicorn_workers_migrate_an_empty_database_at_once_and_all_come_up(
    gunicorn_on_an_empty_database: tuple[int, str],
) -> None:
    _, output = gunicorn_on_an_empty_database
    started = re.findall(r"Started server process \[(\d+)\]", output)
    booted = re.findall(r"Booting worker with pid: (\d+)", output)
    assert len(booted) == 4
    assert sorted(started) == sorted(booted)


def test_gunicorn_and_its_workers_end_by_themselves_when_asked_to(
    gunicorn_on_an_empty_database: tuple[int, str],
) -> None:
    status, output = gunicorn_on_an_empty_database
    assert status == 0
    assert output.count("Application shutdown complete.") == 4
    assert "Traceback" not in output


def test_what_was_acknowledged_is_there_after_the_server_was_killed(
    machine: Machine, give_account: Callable[[Machine], None]
) -> None:
    give_account(machine)
    with machine.serving(*UVICORN) as server:
        headers = {"Authorization": f"Bearer {server.token(EMAIL, PASSWORD)}"}
        created = [
            server.client.post("/api/v1/strategies", headers=headers, json={"name": name, "parameters": {"n": name}})
            for name in ("first", "second", "third")
        ]
        server.kill()
    assert [response.status_code for response in created] == [201, 201, 201]

    with machine.serving(*UVICORN) as server:
        listed = server.client.get("/api/v1/strategies", headers=headers).json()

    assert listed["items"] == [response.json() for response in created]


def test_the_documents_client_creates_its_strategy_once_and_is_refused_a_second_one(
    machine: Machine, give_account: Callable[[Machine], None]
) -> None:
    give_account(machine)
    with machine.serving(*UVICORN) as server:
        client = machine.folder / "client.py"
        # The reference's "localhost" stays: the client connects to the name, not to the address.
        client.write_text(CLIENT.replace(":8000", f":{server.client.base_url.port}"))
        first, second = (machine.run(sys.executable, "client.py") for _ in range(2))
        headers = {"Authorization": f"Bearer {server.token(EMAIL, PASSWORD)}"}
        listed = server.client.get("/api/v1/strategies", headers=headers).json()

    assert (first.returncode, first.stdout, first.stderr) == (0, "Created strategy: 1\n", "")
    assert second.returncode == 1
    assert second.stderr.endswith("KeyError: 'id'\n")
    assert '"POST /api/v1/strategies HTTP/1.1" 409' in server.output()
    assert [item["name"] for item in listed["items"]] == ["New Strategy"], json.dumps(listed)


def test_a_deactivated_user_is_refused_by_a_running_server_before_long(
    machine: Machine, give_account: Callable[[Machine], None]
) -> None:
    give_account(machine)
    with machine.serving(*SERVE) as server:
        headers = {"Authorization": f"Bearer {server.token(EMAIL, PASSWORD)}"}
        statuses = [server.client.get(STRATEGIES, headers=headers).status_code]

        def is_refused() -> bool:
            statuses.append(server.client.get(STRATEGIES, headers=headers).status_code)
            return statuses[-1] == 401

        assert machine.run("tradingagents", "users", "deactivate", EMAIL).returncode == 0
        wait_until(is_refused, 30, lambda: f"still let in: {statuses}")
    assert set(statuses) == {200, 401}


@pytest.mark.parametrize(
    ("command", "times"),
    [(SERVE, 0), ((*SERVE, "--access-log"), 3), (UVICORN, 3)],
    ids=["by default", "with --access-log", "uvicorn"],
)
def test_requests_are_logged_only_when_asked_for(machine: Machine, command: tuple[str, ...], times: int) -> None:
    with machine.serving(*command) as server:
        for _ in range(3):
            server.client.get(STRATEGIES)
        server.stop()
    assert server.output().count(f'"GET {STRATEGIES} HTTP/1.1" 401') == times


def test_what_the_service_logs_is_left_to_whoever_has_said_where_logs_go(machine: Machine) -> None:
    handler = {"class": "logging.StreamHandler", "formatter": "plain"}
    configuration = {
        "version": 1,
        "formatters": {"plain": {"format": "as configured: %(message)s"}},
        "handlers": {"plain": handler},
        "root": {"handlers": ["plain"], "level": "INFO"},
    }
    (machine.folder / "logging.json").write_text(json.dumps(configuration))
    with machine.serving(*UVICORN, "--log-config", "logging.json") as server:
        server.log_in(EMAIL, PASSWORD)
        server.stop()
    (line,) = [line for line in server.output().splitlines() if "refused for an unknown user" in line]
    assert line.startswith("as configured: Login from ")


def test_requests_are_logged_under_the_address_of_their_connection_whatever_they_say_of_themselves(
    machine: Machine,
) -> None:
    # A server for any application would trust this header from every client.
    with machine.given(FORWARDED_ALLOW_IPS="*").serving(*SERVE, "--access-log") as server:
        server.client.get(STRATEGIES, headers={"X-Forwarded-For": "203.0.113.7, 203.0.113.8"})
        server.stop()
    assert server.output().count(f'"GET {STRATEGIES} HTTP/1.1" 401') == 1
    assert "203.0.113" not in server.output()


@pytest.fixture
def machine_of_a_later_version(machine: Machine, give_account: Callable[[Machine], None]) -> Machine:
    """A machine whose database has the schema of a later version."""
    give_account(machine)
    with closing(sqlite3.connect(machine.folder / "tradingagents.db")) as connection:
        connection.execute("UPDATE tradingagents_alembic_version SET version_num = '9999'")
        connection.commit()
    return machine


@pytest.mark.parametrize("command", [("tradingagents", "migrate"), ("tradingagents", "users", "list")])
def test_a_command_refuses_a_schema_of_a_later_version_in_one_line(
    machine_of_a_later_version: Machine, command: tuple[str, ...]
) -> None:
    refused = machine_of_a_later_version.run(*command)
    place = machine_of_a_later_version.folder / "tradingagents.db"
    assert only_line(refused).startswith(f"error: {place}: the database's schema ")
    assert "9999" in only_line(refused)
    assert refused.returncode == 1


@pytest.mark.parametrize("migrates", ["true", "false"])
def test_a_server_refuses_a_schema_of_a_later_version_in_one_line(
    machine_of_a_later_version: Machine, migrates: str
) -> None:
    refused = machine_of_a_later_version.given(MIGRATE_ON_START=migrates).run(*SERVE, "--port", "0")
    (line,) = [line for line in refused.stderr.splitlines() if "schema" in line]
    assert "9999" in line
    assert "Traceback" not in refused.stderr
    assert refused.returncode != 0
