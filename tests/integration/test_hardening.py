"""Attacks on a running server."""

import http.client
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import psutil
import pytest
from processes import GUNICORN, KEY, SERVE, Machine, Server, answered

from tradingagents_http.requests.bodies import JSON_MAX_BYTES

EMAIL, PASSWORD = "user@example.com", "SecurePassword123"
OTHER_EMAIL = "other@example.com"


@pytest.fixture
def machine(tmp_path) -> Machine:
    machine = Machine(tmp_path, {"JWT_SECRET_KEY": KEY, "TRUSTED_PROXIES": '["127.0.0.1"]'})
    for email in (EMAIL, OTHER_EMAIL):
        machine.run("tradingagents", "users", "create", email, "--password-stdin", typed=f"{PASSWORD}\n")
    return machine


@pytest.fixture
def server(machine: Machine) -> Iterator[Server]:
    with machine.serving(*SERVE) as server:
        yield server


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for tests that leave no state behind."""
    with Machine(tmp_path_factory.mktemp("shared"), {"JWT_SECRET_KEY": KEY}).serving(*SERVE) as server:
        yield server


def log_in(server: Server, password: str, *, email: str = EMAIL, source: str = "203.0.113.7") -> httpx.Response:
    return server.client.post(
        "/api/v1/auth/login",
        data={"username": email, "password": password},
        headers={"X-Forwarded-For": source},
    )


# Guessing


def test_guessing_is_answered_with_429_and_a_growing_wait_but_not_elsewhere(server: Server) -> None:
    statuses = [log_in(server, "wrong password").status_code for _ in range(10)]
    refused = log_in(server, PASSWORD)

    assert statuses == [401] * 10
    assert (refused.status_code, list(refused.json())) == (429, ["detail"])
    assert int(refused.headers["Retry-After"]) >= 1
    assert log_in(server, PASSWORD, source="198.51.100.1").status_code == 200
    assert log_in(server, PASSWORD, email=OTHER_EMAIL).status_code == 200


def test_all_workers_count_together(machine: Machine) -> None:
    with machine.serving(*GUNICORN) as server:
        statuses = []
        for _ in range(11):
            # A connection for each guess, so that the workers share the guesses.
            with httpx.Client(base_url=server.client.base_url, trust_env=False) as client:
                form = {"username": EMAIL, "password": "wrong password"}
                statuses.append(client.post("/api/v1/auth/login", data=form).status_code)
    assert statuses == [401] * 10 + [429]


def test_a_forwarded_address_counts_for_nothing_where_no_proxy_is_trusted(machine: Machine) -> None:
    with machine.given(TRUSTED_PROXIES="[]").serving(*SERVE) as server:
        statuses = [log_in(server, "wrong password", source=f"203.0.113.{n}").status_code for n in range(11)]
    assert statuses == [401] * 10 + [429]


def test_logins_are_logged_with_their_outcome_and_nothing_secret(machine: Machine, server: Server) -> None:
    token = log_in(server, PASSWORD).json()["access_token"]
    log_in(server, "WrongPassword-in-the-log?")
    log_in(server, "x", email="nobody@example.com\r\nERROR: forged")
    said = server.output()

    assert "Login from 203.0.113.7: user 1" in said
    assert "Login from 203.0.113.7: refused for user 1" in said
    assert "Login from 203.0.113.7: refused for an unknown user" in said
    for secret in (PASSWORD, "WrongPassword-in-the-log?", token, KEY, "argon2", "forged"):
        assert secret not in said


def test_a_hash_that_cannot_be_read_is_a_logged_401(machine: Machine, server: Server) -> None:
    with closing(sqlite3.connect(machine.folder / "tradingagents.db")) as connection:
        connection.execute("UPDATE tradingagents_users SET password_hash = 'plain text' WHERE email = ?", [EMAIL])
        connection.commit()

    assert log_in(server, PASSWORD).status_code == 401
    assert "password hash cannot be read" in server.output()
    assert "plain text" not in server.output()


# Floods


def test_a_flood_of_logins_leaves_everybody_else_served(server: Server) -> None:
    token = server.token(OTHER_EMAIL, PASSWORD)
    process = psutil.Process(server.process.pid)
    flooding = threading.Event()

    def guess(number: int) -> int:
        with httpx.Client(base_url=server.client.base_url, trust_env=False, timeout=30) as client:
            flooding.set()
            form = {"username": f"user{number}@example.com", "password": "wrong password"}
            headers = {"X-Forwarded-For": f"198.51.{number // 200}.{number % 200}"}
            return client.post("/api/v1/auth/login", data=form, headers=headers).status_code

    with ThreadPoolExecutor(100) as pool:
        guesses = [pool.submit(guess, number) for number in range(300)]
        flooding.wait(30)
        slowest, largest = 0.0, 0
        while not all(each.done() for each in guesses):
            begun = time.monotonic()
            assert server.client.get("/health").status_code == 200
            answer = server.client.get("/api/v1/strategies", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 200
            slowest = max(slowest, time.monotonic() - begun)
            largest = max(largest, process.memory_info().rss)
        statuses = {each.result() for each in guesses}

    assert statuses <= {401, 429, 503}
    # The limit detects a hang, and measures nothing: the machine also runs a hundred clients.
    assert slowest < 5
    assert largest < 400 * 1024 * 1024


def test_a_very_long_body_is_refused_while_it_comes_and_costs_no_memory(shared_server: Server) -> None:
    process = psutil.Process(shared_server.process.pid)
    before = process.memory_info().rss
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with socket.create_connection(("127.0.0.1", shared_server.client.base_url.port), timeout=30) as connection:
        connection.sendall(
            b"POST /api/v1/strategies HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(32):
            connection.sendall(chunk)
        answer = answered(connection)
        for _ in range(200 * 16 - 32):
            connection.sendall(chunk)
        grown = process.memory_info().rss - before

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert grown < 32 * 1024 * 1024
    assert shared_server.client.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("path", "limit"),
    [("/api/v1/strategies", JSON_MAX_BYTES), ("/api/v1/auth/login", 8192), ("/nowhere", JSON_MAX_BYTES)],
)
def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(
    shared_server: Server, path: str, limit: int
) -> None:
    with socket.create_connection(("127.0.0.1", shared_server.client.base_url.port), timeout=30) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {limit + 1}\r\n\r\n".encode())
        answer = answered(connection)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'{"detail":"' in answer


# Mistakes of the service


def test_a_500_says_nothing_is_logged_once_with_its_id_and_leaves_the_connection_usable(
    machine: Machine, server: Server
) -> None:
    token = server.token(EMAIL, PASSWORD)
    with closing(sqlite3.connect(machine.folder / "tradingagents.db")) as database:
        database.execute("DROP TABLE tradingagents_strategies")
    connection = http.client.HTTPConnection("127.0.0.1", server.client.base_url.port, timeout=30)
    with closing(connection):
        connection.request("GET", "/api/v1/strategies", headers={"Authorization": f"Bearer {token}"})
        failed = connection.getresponse()
        body, used = failed.read(), connection.sock
        connection.request("GET", "/health")
        healthy = connection.getresponse()
        healthy.read()
        assert connection.sock is used

    assert (failed.status, body) == (500, b'{"detail":"Internal Server Error"}')
    assert healthy.status == 200
    assert server.output().count(f"request {failed.headers['X-Request-ID']}: GET '/api/v1/strategies'") == 1
    assert server.output().count("Traceback (most recent call last)") >= 1
    assert server.output().count("no such table: strategies") <= 2


# Headers


@pytest.mark.parametrize("path", ["/health", "/api/v1/strategies", "/nowhere", "/docs", "/openapi.json"])
def test_every_answer_tells_browsers_and_caches_to_keep_out(shared_server: Server, path: str) -> None:
    headers = shared_server.client.get(path).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert path == "/docs" or headers["Cache-Control"] == "no-store"
    assert "Server" not in headers


def test_the_policy_of_the_pages_lets_their_own_scripts_run_and_no_others(shared_server: Server) -> None:
    policy = shared_server.client.get("/docs").headers["Content-Security-Policy"]

    assert "script-src 'self' 'unsafe-inline';" in policy
    assert not re.search(r"https?:|\*|unsafe-eval", policy)


# Heads


def connected(server: Server) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.client.base_url.port), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


@pytest.mark.parametrize(
    "begin",
    [
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Filler: ",
        b"POST /health HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Filler: ",
    ],
    ids=["a head", "trailers"],
)
def test_a_head_or_trailers_that_go_on_and_on_are_cut_off(shared_server: Server, begin: bytes) -> None:
    process = psutil.Process(shared_server.process.pid)
    before = process.memory_info().rss
    with connected(shared_server) as connection:
        connection.sendall(begin)
        with pytest.raises(ConnectionError):
            connection.sendall(b"x" * (64 * 1024 * 1024))
    assert process.memory_info().rss - before < 32 * 1024 * 1024
    assert shared_server.client.get("/health").status_code == 200


def test_a_head_of_ordinary_size_is_read_in_any_number_of_pieces(shared_server: Server) -> None:
    head = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Filler: " + b"x" * 500 + b"\r\n\r\n"
    with connected(shared_server) as connection:
        for start in range(0, len(head), 7):
            connection.sendall(head[start : start + 7])
        assert answered(connection).startswith(b"HTTP/1.1 200 ")
