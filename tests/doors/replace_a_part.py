"""Callers come from an identity provider: one part of the core is replaced by its name."""

import asyncio
import sys

from tradingagents_core.domain.authentication import Caller
from tradingagents_core.errors import InvalidToken
from tradingagents_core.ports import Callers
from tradingagents_service import open_core


class IdentityProvider(Callers):
    async def find(self, credential: str) -> Caller | None:
        return Caller(user_id=1009) if credential == "ann's session" else None

    async def forget(self, user_id: int) -> None:
        pass


async def main(url: str) -> None:
    async with open_core(url, callers=IdentityProvider()) as core:
        print(await core.authentication.authenticate(credential="ann's session"))
        try:
            await core.authentication.authenticate(credential="a guess")
        except InvalidToken as refusal:
            print(refusal)


asyncio.run(main(sys.argv[1]))
