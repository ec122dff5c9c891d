"""Doors: what a use case costs over the engine of a host, and in a transaction of a host, beside the drivers."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from statistics import median
from typing import Any, Final, TypeAlias

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks import report
from benchmarks.databases import Contents, Server
from benchmarks.rounds import Pace
from tradingagents_adapters.clock import utc_now
from tradingagents_adapters.database_url import read_database_url
from tradingagents_adapters.sql import EngineDatabase, open_database
from tradingagents_adapters.sql.drivers.aiosqlite import PRAGMAS
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.strategies import SqlStrategyStore
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.parameters import Parameters
from tradingagents_core.domain.strategies import StrategyContent
from tradingagents_core.use_cases import StrategyUseCases

PACE: Final = Pace(rounds=5, seconds=1)

CONTENTS: Final = Contents(owners=16, strategies_each=100)

Calls: TypeAlias = Mapping[str, Callable[[], Awaitable[object]]]
"""The measured use cases, by name."""

_ANN: Final = Caller(user_id=1)
_numbers: Final = count()


def measured(servers: Sequence[Server], pace: Pace) -> Iterator[str]:
    """The tables, as soon as each is measured."""
    for server in servers:
        yield f"### {server.kind}"
        with server.fresh(CONTENTS) as url:
            times = asyncio.run(_measured(url, pace))
        first, *others = times
        yield report.table(
            ["", f"{first}, µs", *others],
            (
                [call, f"{taken * 1e6:,.0f}", *(_ratio(times[other].get(call), taken) for other in others)]
                for call, taken in times[first].items()
            ),
        )


def _ratio(taken: float | None, of: float) -> str:
    return "" if taken is None else f"{taken / of:.1f}"


async def _measured(url: str, pace: Pace) -> Mapping[str, Mapping[str, float]]:
    """The median seconds of each call, by the way in which the database is used."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(DatabaseOptions(url=read_database_url(url))))
        engine = await stack.enter_async_context(_engine(url))
        over_engine = await stack.enter_async_context(EngineDatabase(engine))
        contenders = {
            "drivers": _calls(StrategyUseCases.over(store=SqlStrategyStore(database), clock=utc_now)),
            "engine": _calls(StrategyUseCases.over(store=SqlStrategyStore(over_engine), clock=utc_now)),
            "transaction of a host": _calls_of_host(engine, over_engine),
        }
        times: dict[str, dict[str, list[float]]] = {
            name: {call: [] for call in calls} for name, calls in contenders.items()
        }
        for _ in range(pace.rounds):
            for call in times["drivers"]:
                for name, calls in contenders.items():
                    if call in calls:
                        times[name][call].append(await _seconds_each(calls[call], pace.seconds))
    return {name: {call: median(each) for call, each in calls.items()} for name, calls in times.items()}


async def _seconds_each(call: Callable[[], Awaitable[object]], seconds: float) -> float:
    begun, calls = time.perf_counter(), 0
    while (taken := time.perf_counter() - begun) < seconds:
        await call()
        calls += 1
    return taken / calls


def _calls(strategies: StrategyUseCases) -> Calls:
    return {
        "get": lambda: strategies.get(caller=_ANN, strategy_id=1),
        "page of 20": lambda: strategies.list(caller=_ANN, limit=20),
        "create": lambda: _create(strategies),
        "update": lambda: _update(strategies),
    }


def _calls_of_host(engine: AsyncEngine, database: EngineDatabase) -> Calls:
    strategies = StrategyUseCases.over(store=SqlStrategyStore(database), clock=utc_now)

    def within(call: Callable[[StrategyUseCases], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
        async def called() -> None:
            async with engine.begin() as connection, database.strategies_within(connection, _ANN.user_id) as work:
                await call(strategies.within(work))

        return called

    return {"create": within(_create), "update": within(_update)}


async def _create(strategies: StrategyUseCases) -> object:
    content = StrategyContent(name=f"New {next(_numbers)}", parameters=Parameters({"fast_period": 10}))
    return await strategies.create(caller=_ANN, content=content)


async def _update(strategies: StrategyUseCases) -> object:
    changes = {"parameters": Parameters({"fast_period": next(_numbers)})}
    return await strategies.update(caller=_ANN, strategy_id=1, changes=changes)  # type: ignore[arg-type]


@asynccontextmanager
async def _engine(url: str) -> AsyncIterator[AsyncEngine]:
    """An engine of a host, on SQLite with the settings of the driver."""
    engine = create_async_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine.sync_engine, "connect")
        def set_up(connection: Any, _: object) -> None:
            cursor = connection.cursor()
            for pragma in PRAGMAS:
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

    yield engine
    await engine.dispose()
