"""Running the server."""

import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import ChangeReload, Multiprocess

from tradingagents_http.server.limits import LimitedRequests

END_SECONDS: Final = 5
"""How long a worker may run past its grace time before it is killed."""


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Options of the server. Times are in seconds."""

    host: str = "127.0.0.1"
    port: int = 8000
    uds: Path | None = None
    """A Unix domain socket to listen on, instead of host and port."""
    workers: int = 1
    """The number of server processes."""
    reload: bool = False
    """Whether to restart when a source file changes."""
    keep_alive: int = 75
    """How long an idle connection stays open: longer than in common proxies and clients (nginx 60)."""
    request_timeout: float = 30
    """How long a request may take to arrive."""
    graceful_timeout: int = 10
    """How long running requests may continue after the server is told to stop."""
    limit_concurrency: int | None = None
    """The most concurrent requests of a process; further requests are answered with 503."""
    access_log: bool = False
    """Whether every request is logged."""


def serve(application: str, options: ServerOptions) -> None:
    """Serve the application at this import path until SIGTERM or SIGINT.

    Raises:
        SystemExit: the start has failed; the status is not 0, and the reason has been logged.
    """
    config = Config(
        application,
        host=options.host,
        port=options.port,
        uds=None if options.uds is None else str(options.uds),
        workers=options.workers,
        reload=options.reload,
        http=partial(LimitedRequests, request_timeout=options.request_timeout),  # type: ignore[arg-type]
        access_log=options.access_log,
        server_header=False,
        # The application reads `X-Forwarded-For` itself, as TRUSTED_PROXIES says.
        proxy_headers=False,
        limit_concurrency=options.limit_concurrency,
        timeout_keep_alive=options.keep_alive,
        timeout_graceful_shutdown=options.graceful_timeout,
    )
    if not (_serve_on_socket(config, options.uds) if options.uds else _serve(config)):
        sys.exit(STARTUP_FAILURE)


def _serve_on_socket(config: Config, path: Path) -> bool:
    _remove_stale_socket(path)
    listener = config.bind_socket()
    try:
        return _serve(config, listener)
    finally:
        path.unlink(missing_ok=True)


def _serve(config: Config, listener: socket.socket | None = None) -> bool:
    """Serve until the end, and return whether the start succeeded."""
    server = Server(config)
    if config.should_reload:
        ChangeReload(config, target=server.run, sockets=[listener or config.bind_socket()]).run()
        return True
    if config.workers > 1:
        workers = _Workers(config, sockets=[listener or config.bind_socket()])
        workers.run()
        return workers.started
    # At its end uvicorn raises the signal again, which would kill the process at once.
    signal.signal(signal.SIGTERM, _exit_normally)
    with suppress(KeyboardInterrupt):
        server.run([listener] if listener else None)
    return server.started


def _exit_normally(*_: object) -> None:
    sys.exit(0)


class _Workers(Multiprocess):
    """uvicorn's worker processes, with a limit on the wait for their end."""

    @property
    def started(self) -> bool:
        """Whether every worker has started."""
        return all(process.exitcode != STARTUP_FAILURE for process in self.processes)

    def join_all(self) -> None:
        """Wait for every worker to end, and kill workers that take too long."""
        grace = self.config.timeout_graceful_shutdown or 0
        for process in self.processes:
            process.process.join(grace + END_SECONDS)
            if process.process.is_alive():
                process.process.kill()
        super().join_all()


def _remove_stale_socket(path: Path) -> None:
    """Remove the socket of a killed server. The socket of a running server stays, and binding to it fails."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
        try:
            client.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
