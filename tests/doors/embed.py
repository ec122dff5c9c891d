"""Another Python program uses the core, without HTTP and with accounts and tokens of its own."""

import asyncio
import sys

from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.strategies import StrategyContent
from tradingagents_core.errors import StrategyNameTaken
from tradingagents_service import open_core


async def main(url: str) -> None:
    async with open_core(url) as core:
        ann = Caller(user_id=1009)
        content = StrategyContent(name="Crossover", parameters={"fast_period": 10})
        stored = await core.strategies.create(caller=ann, content=content)
        try:
            await core.strategies.create(caller=ann, content=content)
        except StrategyNameTaken as refusal:
            print(refusal.name, "is taken")
        await core.strategies.update(caller=ann, strategy_id=stored.id, changes={"is_active": False})
        for strategy in (await core.strategies.list(caller=ann)).items:
            print(strategy.name, strategy.parameters.to_dict(), strategy.is_active)


asyncio.run(main(sys.argv[1]))
