"""A FastAPI application has the routes at a prefix, for users whom the application identifies itself."""

import asyncio
import sys
from typing import Annotated

import httpx
from fastapi import FastAPI, Security
from fastapi.security import APIKeyHeader

from tradingagents_core.domain.authentication import Caller
from tradingagents_http import build_router
from tradingagents_service import open_core

USERS = {"ann's key": 1009}


async def current_caller(key: Annotated[str, Security(APIKeyHeader(name="X-Key"))]) -> Caller:
    return Caller(user_id=USERS[key])


async def main(url: str) -> None:
    app = FastAPI()
    async with open_core(url) as core, httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        app.include_router(build_router(core, current_caller=current_caller), prefix="/trading")
        body, key = {"name": "Crossover"}, {"X-Key": "ann's key"}
        print((await client.post("http://test/trading/api/v1/strategies", json=body, headers=key)).headers["Location"])


asyncio.run(main(sys.argv[1]))
