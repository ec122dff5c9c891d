"""Runs the project's commands as a person would, in an empty folder and without the developer's environment."""

import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import httpx

CHECKOUT: Final = Path(__file__).parents[2]
COMMANDS: Final = Path(sys.executable).parent
KEY: Final = "a key of tests, long enough for every algorithm: 0123456789abcdef"
START_SECONDS: Final = 40
END_SECONDS: Final = 20
POLL_SECONDS: Final = 0.02

UVICORN: Final = ("uvicorn", "tradingagents.api.main:app")
GUNICORN: Final = ("gunicorn", "tradingagents.api.main:app", "-w", "4", "-k", "uvicorn.workers.UvicornWorker")
SERVE: Final = ("tradingagents", "serve")

T = TypeVar("T")

# A process that a shell starts in the background ignores SIGINT, and so do its children: the command would, too.
_ON_ITS_TERMINAL: Final = """\
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.login_tty(0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, and a client for it."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path

    def output(self) -> str:
        """The server's standard output and standard error."""
        return self.log.read_text()

    def wait_for_output(self, text: str, *, times: int) -> None:
        """Wait until the server has written the text `times` times."""
        deadline = time.monotonic() + START_SECONDS
        while self.output().count(text) < times:
            assert time.monotonic() < deadline, f"{text!r} did not come {times} times:\n{self.output()}"
            time.sleep(POLL_SECONDS)

    def stop(self) -> int:
        """Stop the server (SIGTERM), wait until it has ended, and return its exit status."""
        self.process.terminate()
        return self.process.wait(END_SECONDS)

    def kill(self) -> None:
        """Kill the server (SIGKILL)."""
        self.process.kill()
        self.process.wait(END_SECONDS)

    def log_in(self, email: str, password: str) -> httpx.Response:
        """The answer to a login."""
        return self.client.post("/api/v1/auth/login", data={"username": email, "password": password})

    def token(self, email: str, password: str) -> str:
        """The token of a successful login."""
        response = self.log_in(email, password)
        assert response.status_code == 200, response.text
        return response.json()["access_token"]


@dataclass(frozen=True, slots=True)
class Machine:
    """A folder in which commands run, and their environment variables besides PATH, HOME and LANG."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    commands: Path = COMMANDS

    def given(self, **variables: str) -> "Machine":
        """The same machine with more variables."""
        return Machine(self.folder, {**self.variables, **variables}, self.commands)

    def run(self, *command: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command with this standard input, and wait for its end."""
        with self.started(*command) as process:
            output, errors = process.communicate(typed, timeout=START_SECONDS)
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    @contextmanager
    def started(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """Start a command with pipes to its standard input, output and error."""
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                _kill_session(process)

    def run_on_terminal(self, *command: str, answers: Sequence[tuple[str, str]]) -> tuple[int, str]:
        """Run a command on a terminal, and type each answer after its question. Returns exit status and screen."""
        ours, theirs = pty.openpty()
        with ExitStack() as stack:
            stack.callback(os.close, ours)
            try:
                launch = (sys.executable, "-c", _ON_ITS_TERMINAL, *command)
                environment = self._environment()
                process = stack.enter_context(
                    subprocess.Popen(
                        launch, cwd=self.folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
                    )
                )
            finally:
                os.close(theirs)
            stack.callback(_kill_session, process)
            screen = ""
            for question, answer in answers:
                before = len(screen)
                while question not in screen[before:]:
                    more = _read(ours)
                    assert more, f"{question!r} was not asked:\n{screen}"
                    screen += more
                os.write(ours, answer.encode())
            while more := _read(ours):
                screen += more
            return process.wait(END_SECONDS), screen

    @contextmanager
    def serving(self, *command: str, socket_path: Path | None = None) -> Iterator[Server]:
        """A block with a server that answers on a free port of the loopback interface, or on a Unix socket."""
        port = _free_port()
        log = self.folder / f"server-{port}.log"
        environment = self._environment()
        if command[0] == "gunicorn":
            environment["GUNICORN_CMD_ARGS"] = f"--bind 127.0.0.1:{port}"
        elif command[0] == "make":
            environment["PORT"] = str(port)
        else:
            command = (*command, "--port", str(port))
        with (
            log.open("wb") as output,
            subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
            httpx.Client(
                transport=httpx.HTTPTransport(uds=str(socket_path)) if socket_path else None,
                base_url=f"http://127.0.0.1:{port}",
                trust_env=False,
                timeout=START_SECONDS,
            ) as client,
        ):
            server = Server(process, client, log)
            try:
                if socket_path:
                    _wait_until_listening(server, socket_path)
                _wait_until_healthy(server)
                yield server
            finally:
                _kill_session(process)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.commands}{os.pathsep}{os.defpath}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            **self.variables,
        }


def at_once(
    work: Callable[[T], subprocess.CompletedProcess[str]], on: Sequence[T], *, most: int = 4
) -> list[subprocess.CompletedProcess[str]]:
    """Run commands concurrently, at most `most` at a time, and return their results."""
    with ThreadPoolExecutor(most) as people:
        return list(people.map(work, on))


def answered(connection: socket.socket) -> bytes:
    """Read an answer in JSON from a connection, in any number of pieces."""
    answer = b""
    while not answer.endswith(b"}"):
        more = connection.recv(65536)
        assert more, f"the connection was closed after {answer!r}"
        answer += more
    return answer


def only_line(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line that a command wrote, on standard error."""
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert len(lines) == 1, ended.stderr
    return lines[0]


def _wait_until_healthy(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(httpx.TransportError):
            if server.client.get("/health").status_code == 200:
                return
        assert server.process.poll() is None, f"the server ended:\n{server.output()}"
        assert time.monotonic() < deadline, f"the server does not answer:\n{server.output()}"
        time.sleep(POLL_SECONDS)


def _wait_until_listening(server: Server, path: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    with socket.socket(socket.AF_UNIX) as client:
        while client.connect_ex(str(path)):
            assert server.process.poll() is None, f"the server ended:\n{server.output()}"
            assert time.monotonic() < deadline, f"the server does not listen:\n{server.output()}"
            time.sleep(POLL_SECONDS)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _read(terminal: int) -> str:
    """Read the next output on the screen; empty after the last process has left the terminal."""
    ready, _, _ = select.select([terminal], [], [], END_SECONDS)
    assert ready, "the terminal is silent"
    try:
        return os.read(terminal, 4096).decode()
    except OSError:
        return ""


def _kill_session(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Kill the remaining processes of a session: a process and its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
