"""Serving the application as the command line asks for it."""

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
"""How long a worker may take to end after its grace time, before it is killed."""


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How the application is served. Times are in seconds."""

    host: str = "127.0.0.1"
    port: int = 8000
    uds: Path | None = None
    """A Unix domain socket to listen on, in place of host and port."""
    workers: int = 1
    """Processes that serve."""
    reload: bool = False
    """Whether to start again when a source file changes."""
    keep_alive: int = 75
    """How long a connection without requests stays open: longer than common proxies and clients keep it (nginx 60)."""
    request_timeout: float = 30
    """How long a request may take to arrive."""
    graceful_timeout: int = 10
    """How long requests may go on once the server has been asked to end."""
    limit_concurrency: int | None = None
    """Requests that a process answers at once; more are answered with 503."""
    access_log: bool = False
    """Whether every request is logged."""


def serve(application: str, options: ServerOptions) -> None:
    """Serve the application at this import path until a signal (SIGTERM, SIGINT) asks to end.

    Raises:
        SystemExit: the start has failed, with a status other than 0; the reason has been logged.
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
        # The application reads what TRUSTED_PROXIES say itself.
        proxy_headers=False,
        limit_concurrency=options.limit_concurrency,
        timeout_keep_alive=options.keep_alive,
        timeout_graceful_shutdown=options.graceful_timeout,
    )
    if not (_serve_on_socket(config, options.uds) if options.uds else _serve(config)):
        sys.exit(STARTUP_FAILURE)


def _serve_on_socket(config: Config, path: Path) -> bool:
    _remove_left_socket(path)
    listener = config.bind_socket()
    try:
        return _serve(config, listener)
    finally:
        path.unlink(missing_ok=True)


def _serve(config: Config, listener: socket.socket | None = None) -> bool:
    """Whether the start has succeeded, told after the end."""
    server = Server(config)
    if config.should_reload:
        ChangeReload(config, target=server.run, sockets=[listener or config.bind_socket()]).run()
        return True
    if config.workers > 1:
        workers = _Workers(config, sockets=[listener or config.bind_socket()])
        workers.run()
        return workers.started
    # uvicorn sends itself again the signal that has ended it, which would end the process here and now.
    signal.signal(signal.SIGTERM, _end)
    with suppress(KeyboardInterrupt):
        server.run([listener] if listener else None)
    return server.started


def _end(*_: object) -> None:
    sys.exit(0)


class _Workers(Multiprocess):
    """uvicorn's worker processes, of which none is waited for without end."""

    @property
    def started(self) -> bool:
        """Whether no worker has failed to start."""
        return all(process.exitcode != STARTUP_FAILURE for process in self.processes)

    def join_all(self) -> None:
        """Wait until every worker has ended, and kill those that do not."""
        grace = self.config.timeout_graceful_shutdown or 0
        for process in self.processes:
            process.process.join(grace + END_SECONDS)
            if process.process.is_alive():
                process.process.kill()
        super().join_all()


def _remove_left_socket(path: Path) -> None:
    """Remove the socket of a server that was killed. One on which somebody listens stays, and binding to it fails."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
        try:
            client.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
