"""Clients that call a service while its database fails."""

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import httpx
from postgresql import Database
from processes import KEY, Server

from tradingagents_adapters.clock import utc_now
from tradingagents_adapters.jwt_tokens import JwtTokenService

STRATEGIES: Final = "/api/v1/strategies"

LIMIT: Final = 20
"""Seconds within which a refusal has to arrive. The service takes up to five seconds. The rest is for a busy machine:
only a request that hangs is a fault."""

QUICK: Final = 10
"""Seconds within which `/health` has to answer, on a busy machine."""


def new_tokens(database: Database, count: int = 1) -> list[str]:
    """The tokens of `count` new users, with a session for each."""
    rows = database.sql(
        "WITH users AS ("
        " INSERT INTO tradingagents_users (email, password_hash, is_active, created_at, updated_at)"
        f" SELECT gen_random_uuid() || '@example.com', 'none', true, now(), now() FROM generate_series(1, {count})"
        " RETURNING id)"
        " INSERT INTO tradingagents_sessions (user_id, created_at, last_used_at, expires_at)"
        " SELECT id, now(), now(), now() + interval '1 hour' FROM users RETURNING user_id || ' ' || id"
    )
    tokens = JwtTokenService(secret_key=KEY, algorithm="HS256", lifetime=timedelta(minutes=30), clock=utc_now)
    ids = [row.split() for row in rows]
    return [tokens.issue(user_id=int(user_id), session_id=int(session_id)) for user_id, session_id in ids]


def stored_names(database: Database, beginning: str = "") -> list[str]:
    """The names of the strategies of all owners in a database, as far as they have this beginning."""
    return sorted(database.sql(f"SELECT name FROM tradingagents_strategies WHERE name LIKE '{beginning}%'"))


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request, with the time of sending and the duration in seconds."""

    path: str
    name: str
    status: int
    headers: Mapping[str, str]
    sent: float
    seconds: float

    @property
    def is_given(self) -> bool:
        """Whether the request was carried out, or refused correctly."""
        return self.status < 500


def assert_refused(*answers: Answer) -> None:
    """Assert that the service refused the request with 503 and `Retry-After`, in time."""
    assert all(answer.status == 503 and int(answer.headers["Retry-After"]) >= 1 for answer in answers), answers
    assert max((answer.seconds for answer in answers), default=0) < LIMIT


def assert_healthy(*answers: Answer) -> None:
    """Assert that `/health` answered 200 in time."""
    assert {answer.status for answer in answers} == {200}
    assert max(answer.seconds for answer in answers) < QUICK


class Callers:
    """Clients of a running service. Each client sends one request at a time."""

    def __init__(self, server: Server, tokens: Sequence[str]) -> None:
        self._url = str(server.client.base_url)
        self._tokens = tokens
        self._stopped = False
        self._numbers = itertools.count()
        self.beginning = uuid.uuid4().hex
        """The prefix of the names of the strategies that `calling` creates. Each name is used once."""
        self.answers: list[Answer] = []
        """The answers of the service's own routes, in the order of arrival."""
        self.health: list[Answer] = []
        """The answers of `/health` during `calling`."""

    async def ask(self, method: str, path: str, *, token: str | None = None, name: str = "") -> Answer:
        """Send one request. With a name, the request creates a strategy."""
        headers = {"Authorization": f"Bearer {token or self._tokens[0]}"}
        sent = time.monotonic()
        body = {"json": {"name": name}} if name else {}
        response = await self._client.request(method, path, headers=headers, **body)
        return Answer(path, name, response.status_code, response.headers, sent, time.monotonic() - sent)

    async def create(self, name: str) -> Answer:
        """Create a strategy."""
        return await self.ask("POST", STRATEGIES, name=name)

    async def read(self) -> Answer:
        """List the strategies."""
        return await self.ask("GET", STRATEGIES)

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[None]:
        """A block during which all clients create and list strategies without pause, and one task calls `/health`."""
        async with asyncio.TaskGroup() as group:
            for token in self._tokens:
                group.create_task(self._call(token))
            group.create_task(self._watch())
            try:
                yield
            finally:
                self._stopped = True

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["Callers"]:
        """A block during which these clients are connected to the service."""
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=self._url, trust_env=False, timeout=30, limits=limits) as self._client:
            yield self

    async def given(self, more: int = 1, *, seconds: float = 20) -> Answer:
        """Wait for `more` more strategies to be created, and return the last answer."""
        return await self._wait_for(lambda answer: answer.is_given and bool(answer.name), more, seconds)

    async def refused(self, more: int = 1, *, seconds: float = 20) -> Answer:
        """Wait for `more` more refusals, and return the last of them."""
        return await self._wait_for(lambda answer: not answer.is_given, more, seconds)

    @property
    def acknowledged(self) -> list[str]:
        """The names of the strategies that the service acknowledged."""
        return sorted(answer.name for answer in self.answers if answer.name and answer.status == 201)

    def assert_held_up(self, database: Database) -> None:
        """Assert that all answers were correct and in time, and that each acknowledged strategy is stored once."""
        assert {answer.status for answer in self.answers} <= {200, 201, 409, 503}
        assert_refused(*self.refusals)
        assert_healthy(*self.health)
        stored = stored_names(database, self.beginning)
        assert len(stored) == len(set(stored))
        assert set(self.acknowledged) - set(stored) == set()

    @property
    def refusals(self) -> list[Answer]:
        """The requests that were refused."""
        return [answer for answer in self.answers if not answer.is_given]

    async def _call(self, token: str) -> None:
        while not self._stopped:
            created = await self.ask("POST", STRATEGIES, token=token, name=f"{self.beginning} {next(self._numbers)}")
            self.answers.append(created)
            listed = await self.ask("GET", f"{STRATEGIES}?limit=1", token=token)
            self.answers.append(listed)
            if not listed.is_given:
                # A client retries later after a 503, but here sooner than `Retry-After` says.
                await asyncio.sleep(0.05)

    async def _watch(self) -> None:
        while not self._stopped:
            self.health.append(await self.ask("GET", "/health"))
            await asyncio.sleep(0.05)

    async def _wait_for(self, wanted: Callable[[Answer], bool], more: int, seconds: float) -> Answer:
        seen = len(self.answers)
        deadline = time.monotonic() + seconds
        while len(found := [answer for answer in self.answers[seen:] if wanted(answer)]) < more:
            assert time.monotonic() < deadline, f"{len(found)} of {more} answers came: {self.answers[-5:]}"
            await asyncio.sleep(0.01)
        return found[more - 1]
