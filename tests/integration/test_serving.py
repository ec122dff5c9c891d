"""How servers start and stop, and how long they wait for clients."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import httpx
import psutil
import pytest
from postgresql import wait_until
from processes import END_SECONDS, GUNICORN, KEY, SERVE, UVICORN, Machine, Server, answered

EMAIL: Final = "user@example.com"
PASSWORD: Final = "SecurePassword123"
STRATEGIES: Final = "/api/v1/strategies"
HALF_A_BODY: Final = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nusername="


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, {"JWT_SECRET_KEY": KEY})


@contextmanager
def connected(server: Server, sent: bytes = b"") -> Iterator[socket.socket]:
    """A block with a connection over which these bytes were sent."""
    with socket.create_connection(("127.0.0.1", server.client.base_url.port), timeout=30) as connection:
        connection.sendall(sent)
        yield connection


def all_received(connection: socket.socket) -> bytes:
    received = b""
    while more := connection.recv(65536):
        received += more
    return received


def workers_of(server: Server) -> list[psutil.Process]:
    children = psutil.Process(server.process.pid).children()
    return [process for process in children if "spawn_main" in str(process.cmdline())]


# Stopping


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_ends_though_a_client_has_sent_half_a_body(machine: Machine, workers: str) -> None:
    with machine.serving(*SERVE, "--workers", workers, "--graceful-timeout", "1") as server, ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(connected(server, HALF_A_BODY))
        server.client.get("/health")
        server.stop()
    assert "Traceback" not in server.output()


def test_a_request_that_is_cut_by_the_end_of_the_server_is_answered_with_503(machine: Machine) -> None:
    with machine.serving(*SERVE, "--graceful-timeout", "1") as server, connected(server, HALF_A_BODY) as connection:
        server.client.get("/health")
        server.process.terminate()
        answer = all_received(connection)
        server.process.wait(END_SECONDS)

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: " in answer.lower()
    assert b'{"detail":"' in answer


def test_a_server_ends_though_a_client_does_not_read_its_answer(machine: Machine) -> None:
    with machine.serving(*SERVE, "--graceful-timeout", "1") as server, ExitStack() as stack:
        connection = stack.enter_context(socket.socket())
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.client.base_url.port))
        ask = b"GET /static-offline-docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.sendall(ask * 8)
        # The beginning has arrived, so the rest will follow.
        assert connection.recv(1)
        server.stop()


def test_a_server_ends_though_a_worker_hangs(machine: Machine) -> None:
    with machine.serving(*SERVE, "--workers", "2", "--graceful-timeout", "0") as server:
        server.wait_for_output("Application startup complete.", times=2)
        workers_of(server)[0].suspend()
        server.stop()


def test_a_request_that_is_being_answered_is_answered_to_its_end(machine: Machine) -> None:
    with machine.serving(*SERVE) as server, connected(server, HALF_A_BODY) as connection:
        server.client.get("/health")
        server.process.terminate()
        server.wait_for_output("Shutting down", times=1)
        connection.sendall(b"x" * 91)
        answer = all_received(connection)
        assert server.process.wait(END_SECONDS) in (0, -signal.SIGTERM)
    assert answer.startswith(b"HTTP/1.1 415 ")


# Waiting


@pytest.mark.parametrize(
    "sent", [b"GET /health HTTP/1.1\r\nHost: loc", HALF_A_BODY], ids=["half a head", "half a body"]
)
def test_a_request_that_does_not_arrive_in_time_is_answered_with_408(machine: Machine, sent: bytes) -> None:
    with machine.serving(*SERVE, "--request-timeout", "0.5") as server, connected(server, sent) as connection:
        answer = all_received(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b'{"detail":"The request should arrive within 0.5 seconds"}')


def test_a_connection_without_requests_stays_open_as_long_as_asked_for(machine: Machine) -> None:
    with machine.serving(*SERVE, "--keep-alive", "1") as server:
        with connected(server, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n") as connection:
            begun = time.monotonic()
            assert all_received(connection).startswith(b"HTTP/1.1 200 ")
            assert time.monotonic() - begun > 0.8
        server.stop()


def test_by_default_a_connection_outlasts_a_poll_every_five_seconds(machine: Machine) -> None:
    help_text = machine.run("tradingagents", "serve", "--help").stdout
    assert "[default: 75]" in help_text
    with machine.serving(*SERVE) as server, connected(server) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answered(connection).startswith(b"HTTP/1.1 200 ")
        # Longer than uvicorn's own five seconds.
        time.sleep(5.5)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answered(connection).startswith(b"HTTP/1.1 200 ")


# Starting


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    "fault", ["the key is missing", "the port is taken", "the socket cannot be made", "the schema is too old"]
)
def test_a_start_that_fails_ends_with_a_status_that_says_so(machine: Machine, workers: str, fault: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = "0"
        options: tuple[str, ...] = ()
        match fault:
            case "the key is missing":
                machine = Machine(machine.folder)
            case "the port is taken":
                port = str(listener.getsockname()[1])
            case "the socket cannot be made":
                options = ("--uds", str(machine.folder / "no" / "folder"))
            case "the schema is too old":
                machine = machine.given(MIGRATE_ON_START="false")
        ended = machine.run(*SERVE, "--workers", workers, "--port", port, *options)

    assert ended.returncode > 0
    assert "Traceback" not in ended.stderr


# Unix sockets


def test_a_server_listens_on_a_unix_socket_also_after_it_was_killed_and_removes_it_at_its_end(machine: Machine) -> None:
    path = machine.folder / "api.sock"
    for workers, end in (("1", Server.kill), ("2", Server.kill), ("1", Server.stop), ("2", Server.stop)):
        with machine.serving(*SERVE, "--uds", str(path), "--workers", workers, socket_path=path) as server:
            assert server.client.get("/health").status_code == 200
            end(server)
            assert path.is_socket() == (end is Server.kill)


def test_a_unix_socket_on_which_somebody_listens_is_left_to_them(machine: Machine) -> None:
    path = machine.folder / "api.sock"
    with machine.serving(*SERVE, "--uds", str(path), socket_path=path) as server:
        second = machine.run(*SERVE, "--uds", str(path))
        assert second.returncode > 0
        assert "in use" in second.stderr
        assert server.client.get("/health").status_code == 200


# Behind a prefix

BEHIND_A_PREFIX: Final = {
    "serve with --root-path": (SERVE, ("--root-path", "/trading/api"), {}),
    "serve": (SERVE, (), {"ROOT_PATH": "/trading/api/"}),
    "two workers": (SERVE, ("--workers", "2", "--root-path", "/trading/api"), {}),
    "gunicorn": (GUNICORN, (), {"ROOT_PATH": "/trading/api"}),
    "uvicorn": (UVICORN, (), {"ROOT_PATH": "/trading/api"}),
    "uvicorn with --root-path": (UVICORN, ("--root-path", "/trading/api"), {}),
    "uvicorn that knows better": (UVICORN, ("--root-path", "/trading/api"), {"ROOT_PATH": "/another"}),
}


@pytest.mark.parametrize(("command", "options", "variables"), BEHIND_A_PREFIX.values(), ids=BEHIND_A_PREFIX.keys())
def test_links_lead_back_through_the_prefix_that_a_proxy_strips(
    machine: Machine, command: tuple[str, ...], options: tuple[str, ...], variables: dict[str, str]
) -> None:
    machine.run("tradingagents", "users", "create", EMAIL, "--password-stdin", typed=f"{PASSWORD}\n")
    with machine.given(**variables).serving(*command, *options) as server:
        headers = {"Authorization": f"Bearer {server.token(EMAIL, PASSWORD)}"}
        created = server.client.post(STRATEGIES, headers=headers, json={"name": "a"})
        unstripped = server.client.get(f"/trading/api{STRATEGIES}", headers=headers)
        docs = server.client.get("/docs").text
        redoc = server.client.get("/redoc").text
        document = server.client.get("/openapi.json").json()
        too_large = server.client.post("/api/v1/auth/login", content=b"x" * 8193)

    assert created.headers["Location"] == f"/trading/api{STRATEGIES}/1"
    assert unstripped.status_code == 200 or command is UVICORN
    assert "/trading/api/openapi.json" in docs
    assert 'src="/trading/api/static-offline-docs/' in docs
    assert "/trading/api/openapi.json" in redoc
    assert [server["url"] for server in document["servers"]] == ["/trading/api"]
    flow = document["components"]["securitySchemes"]["OAuth2Password"]["flows"]["password"]
    assert flow["tokenUrl"] == "/trading/api/api/v1/auth/login"
    assert too_large.status_code == 413


@pytest.mark.parametrize("prefix", ["trading", "/a b", "/a//b", "/a/../b", "/a?b", "https://example.com/a"])
def test_a_prefix_that_is_no_path_is_refused_in_one_line(machine: Machine, prefix: str) -> None:
    refused = machine.run(*SERVE, "--root-path", prefix)
    (line,) = refused.stderr.splitlines()
    assert line.startswith("error: ROOT_PATH should be a path such as /trading")
    assert refused.returncode == 1


# Staying


def test_requests_beyond_the_limit_are_answered_with_503_and_the_limit_is_no_limit_to_connections(
    machine: Machine,
) -> None:
    with machine.serving(*SERVE, "--limit-concurrency", "2") as server, ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(connected(server))
        assert server.client.get("/health").status_code == 200

        def is_refused() -> bool:
            # A retry may be refused while the previous request still counts.
            stack.enter_context(connected(server, HALF_A_BODY))
            answer = server.client.get("/health")
            return answer.status_code == 503 and answer.headers["Retry-After"] == "1"

        wait_until(is_refused, 20, lambda: "nothing was refused")


def test_a_worker_that_is_killed_is_replaced(machine: Machine) -> None:
    with machine.serving(*SERVE, "--workers", "2") as server:
        server.wait_for_output("Application startup complete.", times=2)
        workers_of(server)[0].kill()
        server.wait_for_output("Application startup complete.", times=3)
        assert httpx.get(server.client.base_url.join("/health"), trust_env=False).status_code == 200
        assert server.process.poll() is None
