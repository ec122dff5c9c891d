"""What the service changes in a process that serves nothing but the service."""

import gc
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradingagents_http.server.trailers import ignored_trailers

COLLECT_AFTER: Final = 10_000
"""The number of new objects after which the garbage collector runs."""

_PACKAGES: Final = ("tradingagents_core", "tradingagents_adapters", "tradingagents_http", "tradingagents_service")


class OwnProcess:
    """Sets log, garbage collector and uvicorn of the process for the service while a server runs the application.

    A server sends lifespan events to the application that it serves, and to no application that is mounted in another
    one. So the process of an application that only imports or mounts the service stays as it is. When the server has
    stopped, everything is as before.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        with ExitStack() as changes:
            changes.enter_context(log_on_standard_error())

            async def send_and_change(message: Message) -> None:
                if message["type"] == "lifespan.startup.complete":
                    changes.enter_context(ignored_trailers())
                    changes.enter_context(frozen_startup_objects())
                await send(message)

            await self._app(scope, receive, send_and_change)


@contextmanager
def frozen_startup_objects() -> Iterator[None]:
    """Exclude the objects of the start from garbage collection, since most of them live as long as the process.

    Otherwise every full collection stops all requests for about 50 ms.
    """
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


@contextmanager
def log_on_standard_error() -> Iterator[None]:
    """Write the service's log to standard error, unless the operator has configured logging."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    unconfigured = [logger for logger in map(logging.getLogger, _PACKAGES) if not logger.hasHandlers()]
    levels = [logger.level for logger in unconfigured]
    for logger in unconfigured:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(unconfigured, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
