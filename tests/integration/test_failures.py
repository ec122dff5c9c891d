"""The answers of the API when a store fails."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from inspect import getmembers, isclass
from typing import cast

import httpx
import pytest
from in_process import Api

from tradingagents_core import errors
from tradingagents_core.errors import NotFound, StoreUnavailable, TradingAgentsError, UserNotFound
from tradingagents_core.ports import StrategyStore
from tradingagents_core.use_cases import UseCases
from tradingagents_core.use_cases.strategies import ListStrategies
from tradingagents_http.app import create_app
from tradingagents_http.errors import STATUSES

pytestmark = pytest.mark.anyio

STRATEGIES = "/api/v1/strategies"


class BrokenStore(StrategyStore):
    """A store whose blocks raise a given error."""

    def __init__(self, fail: Callable[[], Exception]) -> None:
        self._fail = fail

    @asynccontextmanager
    async def read(self) -> AsyncIterator[None]:
        raise self._fail()
        yield

    @asynccontextmanager
    async def write(self, owner_id: int) -> AsyncIterator[None]:
        raise self._fail()
        yield


async def list_over_a_store_that_fails(api: Api, fail: Callable[[], Exception]) -> httpx.Response:
    broken = ListStrategies(store=cast(StrategyStore, BrokenStore(fail)))
    core = cast(UseCases, replace(api.core, strategies=replace(api.core.strategies, list=broken)))
    app = create_app(core, cors_origins=["*"])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.get(STRATEGIES, headers={**api.ann.headers, "Origin": "https://x.example"})


async def test_an_unexpected_error_is_500_and_says_nothing(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    response = await list_over_a_store_that_fails(api, lambda: RuntimeError("the password is swordfish"))

    assert (response.status_code, response.json()) == (500, {"detail": "Internal Server Error"})
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "GET" in record.getMessage()
    assert STRATEGIES in record.getMessage()
    assert record.exc_info is not None


async def test_a_store_that_is_away_is_503_with_retry_after(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    response = await list_over_a_store_that_fails(api, lambda: StoreUnavailable(reason="away", retry_after=7))

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "7"
    assert isinstance(response.json()["detail"], str)
    assert [record.levelname for record in caplog.records if record.name.startswith("tradingagents")] == ["WARNING"]


CORE_ERRORS = [error for _, error in getmembers(errors, isclass) if issubclass(error, TradingAgentsError)]


@pytest.mark.parametrize("error", [error for error in CORE_ERRORS if error is not TradingAgentsError])
def test_every_core_error_has_one_status(error: type[TradingAgentsError]) -> None:
    families = [family for family in error.__mro__ if family in STATUSES]
    # The account of a caller may be removed, unlike the other things that are not found.
    assert families == ([UserNotFound, NotFound] if error is UserNotFound else families[:1])
    assert families
