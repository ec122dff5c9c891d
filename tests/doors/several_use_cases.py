"""Several use cases in one transaction: all of their changes are kept, or none."""

import asyncio
import sys

from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.strategies import StrategyContent
from tradingagents_core.errors import StrategyNameTaken
from tradingagents_service import open_core


async def main(url: str) -> None:
    async with open_core(url) as core:
        ann = Caller(user_id=1009)

        async def add(*names: str) -> None:
            async with core.strategies.store.write(ann.user_id) as work:
                for name in names:
                    await core.within(work).strategies.create(caller=ann, content=StrategyContent(name=name))

        await add("fast", "slow")
        try:
            await add("other", "fast")
        except StrategyNameTaken as refusal:
            print(refusal.name, "is taken")
        print([strategy.name for strategy in (await core.strategies.list(caller=ann)).items])


asyncio.run(main(sys.argv[1]))
