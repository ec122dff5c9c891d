"""The core over stores in memory, with passwords that cost nothing: what tests of use cases are given."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from tradingagents_adapters.jwt_tokens import JwtTokenService
from tradingagents_adapters.login_queue import RoundRobinLoginQueue
from tradingagents_adapters.memory import MemoryAccountStore, MemoryLoginFailures, MemoryStrategyStore
from tradingagents_core.domain.accounts import User
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.page import Page
from tradingagents_core.domain.strategies import Strategy
from tradingagents_core.errors import (
    TradingAgentsError,
)
from tradingagents_core.ports import AccountView, AccountWork, PasswordHasher, StrategyWork
from tradingagents_core.use_cases import (
    UseCases,
)

PASSWORD = "SecurePassword123"
SOURCE = "203.0.113.7"
NEW_PASSWORD = "AnotherPassword456"
NO_ID = 1_000_000

Event = Callable[[], Awaitable[Any]]


class PlainPasswords(PasswordHasher):
    """Hashes that cost nothing and hide nothing: strength, salt and password as JSON."""

    def __init__(self) -> None:
        self.strength = 1
        self.verified: list[str | None] = []
        self.hashed: list[str] = []
        self.while_hashing: Event | None = None
        self.while_verifying: Event | None = None
        self._salts = count()

    async def hash(self, password: str) -> str:
        self.hashed.append(password)
        event, self.while_hashing = self.while_hashing, None
        await self._meet(event)
        return json.dumps([self.strength, next(self._salts), password])

    async def verify(self, *, password: str, password_hash: str | None) -> bool:
        self.verified.append(password_hash)
        event, self.while_verifying = self.while_verifying, None
        await self._meet(event)
        return password_hash is not None and json.loads(password_hash)[2] == password

    async def _meet(self, event: Event | None) -> None:
        # An event that waits for a block of the very caller would wait for ever.
        async with asyncio.timeout(5):
            if event:
                await event()

    def needs_rehash(self, password_hash: str) -> bool:
        return json.loads(password_hash)[0] < self.strength


class BusyAccounts(MemoryAccountStore):
    """Lets other tasks run wherever a database would, and counts the blocks that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.open_blocks = 0

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AccountView]:
        async with self._counted(), super().read() as view:
            yield view

    @asynccontextmanager
    async def write(self, user_id: int) -> AsyncIterator[AccountWork]:
        async with self._counted(), super().write(user_id) as work:
            await asyncio.sleep(0)
            yield work
            await asyncio.sleep(0)

    async def add_user(self, *, email: str, password_hash: str, at: datetime) -> User:
        async with self._counted():
            return await super().add_user(email=email, password_hash=password_hash, at=at)

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        self.open_blocks += 1
        try:
            await asyncio.sleep(0)
            yield
            await asyncio.sleep(0)
        finally:
            self.open_blocks -= 1


class BusyStrategies(MemoryStrategyStore):
    """Lets other tasks run wherever a database would."""

    @asynccontextmanager
    async def write(self, owner_id: int) -> AsyncIterator[StrategyWork]:
        async with super().write(owner_id) as work:
            await asyncio.sleep(0)
            yield work
            await asyncio.sleep(0)


@dataclass
class World:
    clock: Any
    accounts: BusyAccounts = field(default_factory=BusyAccounts)
    strategies: BusyStrategies = field(default_factory=BusyStrategies)
    passwords: PlainPasswords = field(default_factory=PlainPasswords)
    failures: MemoryLoginFailures = field(default_factory=MemoryLoginFailures)
    queue: RoundRobinLoginQueue = field(default_factory=lambda: RoundRobinLoginQueue(turns=1))

    def __post_init__(self) -> None:
        tokens = JwtTokenService(
            secret_key="k" * 32, algorithm="HS256", lifetime=timedelta(minutes=30), clock=self.clock
        )
        self.tokens = tokens
        self.do = UseCases.over(
            strategies=self.strategies,
            accounts=self.accounts,
            failures=self.failures,
            login_queue=self.queue,
            tokens=tokens,
            passwords=self.passwords,
            clock=self.clock,
        )

    async def new_user(self, email: str = "ann@example.com") -> User:
        return await self.do.accounts.create(email=email, password=PASSWORD)

    async def everything(self) -> tuple[Sequence[User], list[Page[Strategy]]]:
        users = await self.do.accounts.list()
        return users, [await self.do.strategies.list(caller=Caller(user_id=user.id), limit=1000) for user in users]

    async def user(self, email: str = "ann@example.com") -> User:
        async with self.accounts.read() as view:
            user = await view.users.find_by_email(email)
        assert user is not None
        return user


async def outcome(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except TradingAgentsError as error:
        return error


def described(outcome: Any) -> Any:
    """A form in which two refusals are equal when they say the same."""
    return (type(outcome), str(outcome), vars(outcome)) if isinstance(outcome, TradingAgentsError) else outcome
