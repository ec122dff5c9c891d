"""A FastAPI application mounts the whole API, with its login, its pages and its middleware."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI

from tradingagents_http import create_app
from tradingagents_service import open_core


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with open_core(sys.argv[1], secret_key="32 random bytes or more, from a safe place") as core:
        await core.accounts.create(email="ann@example.com", password="SecurePassword123")
        app.mount("/trading", create_app(core, title="Strategies", redoc_url=None))
        yield


async def main() -> None:
    app = FastAPI(lifespan=lifespan)
    async with lifespan(app), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        login = {"username": "ann@example.com", "password": "SecurePassword123"}
        print((await client.post("/trading/api/v1/auth/login", data=login)).json()["token_type"])


asyncio.run(main())
