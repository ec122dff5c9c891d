"""A strategy is kept in the transaction of a session, and goes with that transaction."""

import asyncio
import sys

from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from tradingagents_adapters.sql import EngineDatabase
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.strategies import StrategyContent
from tradingagents_service import open_core


async def main(url: str) -> None:
    engine = create_async_engine(url)
    new_session = async_sessionmaker(engine)
    database = EngineDatabase(engine, migrates=True)
    async with open_core(database) as core:
        ann = Caller(user_id=1009)
        for name in ("kept", "undone"):
            async with new_session() as session:
                async with database.strategies_within(await session.connection(), ann.user_id) as work:
                    await core.within(work).strategies.create(caller=ann, content=StrategyContent(name=name))
                await (session.commit() if name == "kept" else session.rollback())
        print([strategy.name for strategy in (await core.strategies.list(caller=ann)).items])
    await engine.dispose()


asyncio.run(main(sys.argv[1]))
