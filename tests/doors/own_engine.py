"""A program with an engine of SQLAlchemy keeps strategies through the connections of that engine."""

import asyncio
import sys

from sqlalchemy.ext.asyncio import create_async_engine

from tradingagents_adapters.clock import utc_now
from tradingagents_adapters.sql import EngineDatabase
from tradingagents_adapters.sql.strategies import SqlStrategyStore
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.strategies import StrategyContent
from tradingagents_core.use_cases import StrategyUseCases


async def main(url: str) -> None:
    engine = create_async_engine(url)
    async with EngineDatabase(engine, migrates=True) as database:
        strategies = StrategyUseCases.over(store=SqlStrategyStore(database), clock=utc_now)
        ann = Caller(user_id=1009)
        await strategies.create(caller=ann, content=StrategyContent(name="Crossover"))
        print([strategy.name for strategy in (await strategies.list(caller=ann)).items])
    await engine.dispose()


asyncio.run(main(sys.argv[1]))
