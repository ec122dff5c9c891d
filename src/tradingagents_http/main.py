"""The HTTP service as the environment configures it: `app` is for uvicorn, gunicorn and their like."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from tradingagents_adapters.container import Container, running
from tradingagents_adapters.settings import ConfigurationError, Settings, load_settings
from tradingagents_core.errors import TradingAgentsError
from tradingagents_http.app import create_app
from tradingagents_http.middleware import BriefStartFailure

BOOT_FAILED = 3
"""The exit status on which gunicorn gives up; on any other it starts the worker again and again."""


def _configured_app() -> FastAPI:
    try:
        settings = load_settings(Settings)
    except ConfigurationError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(BOOT_FAILED)
    container = Container(settings=settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with running(container):
            yield

    app = create_app(container.use_cases(), cors_origins=settings.cors_origins, lifespan=lifespan)
    app.add_middleware(BriefStartFailure, expected=(ConfigurationError, TradingAgentsError))
    return app


app = _configured_app()
