"""The HTTP service, configured by the environment. `app` is for ASGI servers, such as uvicorn and gunicorn."""

import gc
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_core.errors import TradingAgentsError
from tradingagents_http.app import create_app
from tradingagents_http.middleware import BriefStartFailure
from tradingagents_http.server.trailers import ignore_trailers
from tradingagents_service.container import Container, running
from tradingagents_service.settings import Settings, load_settings

COLLECT_AFTER: Final = 10_000
"""The number of new objects after which the garbage collector runs."""

BOOT_FAILED: Final = 3
"""The exit status at which gunicorn stops. After any other status gunicorn restarts the worker again and again."""


def _configured_app() -> FastAPI:
    _log_to_standard_error()
    ignore_trailers()
    try:
        settings = load_settings(Settings)
    except ConfigurationError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(BOOT_FAILED)
    container = Container(options=settings.core)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with running(container, waits_for_database=True):
            _freeze_startup_objects()
            yield

    app = create_app(
        container.use_cases(),
        cors_origins=settings.cors_origins,
        cors_allow_headers=settings.cors_allow_headers,
        cors_allow_credentials=settings.cors_allow_credentials,
        trusted_proxies=settings.trusted_proxies,
        root_path=settings.root_path,
        lifespan=lifespan,
    )
    app.add_middleware(BriefStartFailure, expected=(ConfigurationError, TradingAgentsError))
    return app


def _freeze_startup_objects() -> None:
    """Exclude the objects of the start from garbage collection, since most of them live as long as the process.

    Otherwise every full collection stops all requests for about 50 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def _log_to_standard_error() -> None:
    """Write the service's log to standard error, unless the operator has configured logging."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    for package in ("tradingagents_core", "tradingagents_adapters", "tradingagents_http", "tradingagents_service"):
        logger = logging.getLogger(package)
        if not logger.hasHandlers():
            logger.addHandler(handler)
            logger.setLevel(logging.INFO)


app = _configured_app()
