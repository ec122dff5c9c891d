"""The HTTP service, configured by the environment. `app` is for ASGI servers, such as uvicorn and gunicorn.

The import reads the environment, and changes nothing in the process. A wrong configuration is an exception of the
import.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from gunicorn.errors import AppImportError
from uvicorn.importer import ImportFromStringError

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_core.errors import TradingAgentsError
from tradingagents_http import create_app
from tradingagents_http.middleware import BriefStartFailure
from tradingagents_service.container import Container, running
from tradingagents_service.own_process import OwnProcess
from tradingagents_service.settings import Settings, load_settings


class WronglyConfigured(ConfigurationError, ImportFromStringError, AppImportError):  # type: ignore[misc]
    """The application cannot be made with its configuration. The message is one line for the operator.

    uvicorn raises `ImportFromStringError` itself, and gunicorn `AppImportError`, for an application that cannot be
    imported. So both show the message without a traceback, and end. After any other exception `uvicorn --workers` would
    start its workers again and again.
    """


def _configured_app() -> FastAPI:
    try:
        settings = load_settings(Settings)
    except ConfigurationError as error:
        raise WronglyConfigured(str(error)) from None
    container = Container(options=settings.core)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with running(container, waits_for_database=True):
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
    app.add_middleware(OwnProcess)
    return app


app = _configured_app()
