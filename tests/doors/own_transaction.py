"""A strategy and a row of the program are kept together, or neither is."""

import asyncio
import sys

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tradingagents_adapters.sql import EngineDatabase
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.strategies import StrategyContent
from tradingagents_service import open_core


async def main(url: str) -> None:
    engine = create_async_engine(url)
    database = EngineDatabase(engine, migrates=True)
    async with open_core(database) as core:
        ann = Caller(user_id=1009)
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE orders (name TEXT)"))
            await connection.execute(text("INSERT INTO orders VALUES ('an order')"))
            async with database.strategies_within(connection, ann.user_id) as work:
                await core.within(work).strategies.create(caller=ann, content=StrategyContent(name="Crossover"))
        print([strategy.name for strategy in (await core.strategies.list(caller=ann)).items])
    await engine.dispose()


asyncio.run(main(sys.argv[1]))
