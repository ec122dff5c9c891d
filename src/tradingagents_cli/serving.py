"""The command `serve`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from tradingagents_http.server.run import ServerOptions
from tradingagents_http.server.run import serve as serve_http
from tradingagents_service import APPLICATION
from tradingagents_service.settings import Settings, load_settings


def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = ServerOptions.host,
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = ServerOptions.port,
    uds: Annotated[Path | None, typer.Option(help="Unix socket to listen on, instead of host and port.")] = None,
    workers: Annotated[int, typer.Option(help="Number of server processes.", min=1)] = ServerOptions.workers,
    reload: Annotated[bool, typer.Option("--reload", help="Restart when a source file changes.")] = False,
    root_path: Annotated[
        str | None, typer.Option(help="Prefix that a proxy strips from the paths.", show_default="ROOT_PATH")
    ] = None,
    keep_alive: Annotated[
        int, typer.Option(help="Seconds that an idle connection stays open.", min=0)
    ] = ServerOptions.keep_alive,
    request_timeout: Annotated[
        float, typer.Option(help="Seconds that a request may take to arrive.", min=0.1)
    ] = ServerOptions.request_timeout,
    graceful_timeout: Annotated[
        int, typer.Option(help="Seconds that running requests may continue after the server is told to stop.", min=0)
    ] = ServerOptions.graceful_timeout,
    limit_concurrency: Annotated[
        int | None,
        typer.Option(help="Concurrent requests of a process; further requests are answered with 503.", min=1),
    ] = None,
    access_log: Annotated[bool, typer.Option("--access-log", help="Log every request.")] = False,
) -> None:
    """Serve the API over HTTP."""
    if root_path is not None:
        # The workers read all settings from the environment.
        os.environ["ROOT_PATH"] = root_path
    load_settings(Settings)
    serve_http(
        APPLICATION,
        ServerOptions(
            host=host,
            port=port,
            uds=uds,
            workers=workers,
            reload=reload,
            keep_alive=keep_alive,
            request_timeout=request_timeout,
            graceful_timeout=graceful_timeout,
            limit_concurrency=limit_concurrency,
            access_log=access_log,
        ),
    )
