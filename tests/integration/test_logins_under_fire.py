"""Logins while other clients guess passwords, and while the database cannot be written."""

import math
import multiprocessing
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from processes import KEY, SERVE, Machine, Server

EMAIL: Final = "user@example.com"
PASSWORD: Final = "SecurePassword123"
GUESSERS: Final = 100
BOUND_SECONDS: Final = 15
"""Far beyond the five seconds of an answer, since the clients share the machine with the server."""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path, {"JWT_SECRET_KEY": KEY, "TRUSTED_PROXIES": '["127.0.0.1"]'})
    created = machine.run("tradingagents", "users", "create", EMAIL, "--password-stdin", typed=f"{PASSWORD}\n")
    assert created.returncode == 0, created.stderr
    return machine


@pytest.fixture
def server(machine: Machine) -> Iterator[Server]:
    with machine.serving(*SERVE) as server:
        yield server


def log_in(server: Server, password: str, *, email: str = EMAIL, source: str = "198.51.100.1") -> httpx.Response:
    with httpx.Client(base_url=server.client.base_url, trust_env=False, timeout=BOUND_SECONDS) as client:
        return client.post(
            "/api/v1/auth/login",
            data={"username": email, "password": password},
            headers={"X-Forwarded-For": source},
        )


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@contextmanager
def busy_cores() -> Iterator[None]:
    """Programs that use every core, for a limited time."""
    spinning = [
        multiprocessing.get_context("spawn").Process(target=spin, args=(30,))
        for _ in range(multiprocessing.cpu_count())
    ]
    for process in spinning:
        process.start()
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.join()


def guess(server: Server, source: str) -> Counter[int]:
    """Guess three times, and return the number of answers with each status."""
    return Counter(log_in(server, f"wrong {turn}", source=source).status_code for turn in range(3))


def test_the_owner_gets_in_from_elsewhere_and_everybody_is_answered_while_a_hundred_guess(server: Server) -> None:
    with busy_cores(), ThreadPoolExecutor(GUESSERS) as pool:
        guesses = [pool.submit(guess, server, "203.0.113.7") for _ in range(GUESSERS)]
        owner = [log_in(server, PASSWORD).status_code for _ in range(3)]
        statuses = sum((each.result() for each in guesses), Counter())

    assert owner == [200, 200, 200]
    assert set(statuses) <= {401, 429, 503}


def test_an_owner_who_has_logged_in_before_gets_in_while_a_hundred_networks_guess(server: Server) -> None:
    assert log_in(server, PASSWORD).status_code == 200
    with busy_cores(), ThreadPoolExecutor(GUESSERS) as pool:
        guesses = [pool.submit(guess, server, f"203.0.{number}.7") for number in range(GUESSERS)]
        owner = [log_in(server, PASSWORD).status_code for _ in range(3)]
        statuses = sum((each.result() for each in guesses), Counter())

    assert owner == [200, 200, 200]
    assert set(statuses) <= {401, 429, 503}


def test_guesses_at_once_on_one_account_are_not_all_checked(server: Server) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(GUESSERS) as pool:
        statuses = Counter(pool.map(lambda number: log_in(server, f"wrong {number}").status_code, range(GUESSERS)))
    # Each failure beyond the free ones doubles the wait, which begins with a second: a slow machine checks some more.
    waits = int(math.log2(time.monotonic() - began + 1))
    assert set(statuses) == {401, 429}
    assert statuses[401] <= 11 + waits


def test_a_success_on_an_account_of_ones_own_does_not_clear_what_was_counted_for_the_source(server: Server) -> None:
    statuses = []
    for number in range(60):
        statuses.append(log_in(server, "wrong", email=f"victim{number}@example.com").status_code)
        if number % 9 == 8:
            # The owner's own failed login, so that the successful login clears it.
            statuses.append(log_in(server, "wrong").status_code)
            statuses.append(log_in(server, PASSWORD).status_code)
    assert 429 in statuses


@contextmanager
def locked(machine: Machine) -> Iterator[None]:
    """A block during which another connection locks the database against writes."""
    with closing(sqlite3.connect(machine.folder / "tradingagents.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def test_no_session_opens_and_failures_are_counted_while_nothing_can_be_written(
    machine: Machine, server: Server
) -> None:
    with locked(machine):
        right = [log_in(server, PASSWORD) for _ in range(2)]
        wrong = [log_in(server, "wrong password", source="203.0.113.7").status_code for _ in range(10)]

    assert ([each.status_code for each in right], wrong) == ([503, 503], [401] * 10)
    assert all(int(each.headers["Retry-After"]) >= 1 for each in right)
    assert log_in(server, PASSWORD).status_code == 200
    # After ten failures each further one doubles the wait: on a slow machine a wait may be over before the next guess.
    guesses = [log_in(server, "wrong password", source="203.0.113.7").status_code for _ in range(9)]
    assert 429 in guesses
    assert server.output().count("counted in memory meanwhile") == 1


def test_an_old_password_is_refused_as_soon_as_another_is_set(machine: Machine, server: Server) -> None:
    assert log_in(server, PASSWORD).status_code == 200
    machine.run("tradingagents", "users", "set-password", EMAIL, "--password-stdin", typed="AnotherPassword456\n")
    assert log_in(server, PASSWORD).status_code == 401
    assert log_in(server, "AnotherPassword456").status_code == 200
