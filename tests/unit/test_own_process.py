"""What changes in the process while a server runs the service, and what does not."""

import asyncio
import gc
import logging
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tradingagents_service.own_process import COLLECT_AFTER, OwnProcess

LOGGER = logging.getLogger("tradingagents_http")


@pytest.fixture
def without_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has not configured logging; pytest has."""
    monkeypatch.setattr(logging.Logger, "hasHandlers", lambda logger: bool(logger.handlers))


def state() -> tuple[Any, ...]:
    return gc.get_threshold(), gc.get_freeze_count(), HttpToolsProtocol.on_header, tuple(LOGGER.handlers), LOGGER.level


def observed(scope: Scope, answer: Message) -> tuple[Any, ...]:
    """The state of the process after the application has sent an answer, and before its end."""
    seen: list[tuple[Any, ...]] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(answer)
        seen.append(state())

    async def receive() -> Message:
        return {}

    async def send(_: Message) -> None:
        pass

    asyncio.run(OwnProcess(application)(scope, receive, send))
    (only,) = seen
    return only


def started() -> tuple[Any, ...]:
    return observed({"type": "lifespan"}, {"type": "lifespan.startup.complete"})


@pytest.mark.usefixtures("without_handlers")
def test_a_server_that_has_started_the_service_has_its_process_set_for_the_service() -> None:
    thresholds, frozen, on_header, handlers, level = started()
    assert thresholds[0] == COLLECT_AFTER
    assert frozen > 0
    assert on_header is not state()[2]
    assert len(handlers) == 1
    assert level == logging.INFO


@pytest.mark.usefixtures("without_handlers")
def test_everything_is_as_before_when_the_server_has_stopped() -> None:
    before = state()
    started()
    assert state() == before


@pytest.mark.usefixtures("without_handlers")
@pytest.mark.parametrize(
    "run",
    [
        lambda: observed({"type": "http"}, {"type": "http.response.start"}),
        lambda: observed({"type": "websocket"}, {"type": "websocket.close"}),
    ],
    ids=["request", "websocket"],
)
def test_an_application_that_only_gets_requests_changes_nothing(run: Callable[[], tuple[Any, ...]]) -> None:
    before = state()
    assert run() == before


@pytest.mark.usefixtures("without_handlers")
def test_a_start_that_fails_is_logged_but_changes_no_server() -> None:
    before = state()
    during = observed({"type": "lifespan"}, {"type": "lifespan.startup.failed"})
    assert during[:3] == before[:3]
    assert len(during[3]) == 1


def test_logging_that_the_operator_has_configured_stays_as_it_is() -> None:
    logging.getLogger().addHandler(handler := logging.NullHandler())
    try:
        assert started()[3:] == state()[3:]
    finally:
        logging.getLogger().removeHandler(handler)
