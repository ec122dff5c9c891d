"""The floor: the cost of the service's parts without anything else.

Each request takes a bare ASGI callable, PyJWT's check of the token, one prepared statement on the raw driver, and
orjson. There is no framework, no look-up of the user and no check of input; every error is a 500. The floor shows what
is possible, not what is right.
"""

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol
from urllib.parse import parse_qs

import argon2
import asyncpg
import jwt
import orjson

KEY: Final = os.environ["JWT_SECRET_KEY"]
DATABASE_URL: Final = os.environ["DATABASE_URL"]
STRATEGIES: Final = "/api/v1/strategies"

_COLUMNS: Final = "id, name, description, parameters, is_active, created_at, updated_at"
_HASHES: Final = ThreadPoolExecutor(2)


class Driver(Protocol):
    """The operations of each driver."""

    async def open(self) -> None: ...
    async def password_hash(self, email: str) -> Any: ...
    async def get(self, owner_id: int, strategy_id: int) -> Any: ...
    async def page(self, owner_id: int, skip: int, limit: int) -> Any: ...
    async def create(self, owner_id: int, body: Any) -> Any: ...
    async def put(self, owner_id: int, strategy_id: int, body: Any) -> Any: ...


class Asyncpg:
    """PostgreSQL through asyncpg's pool, without a reset of released connections."""

    async def open(self) -> None:
        async def no_reset(_: object) -> None:
            pass

        self._pool = await asyncpg.create_pool(
            DATABASE_URL.replace("+asyncpg", ""), min_size=10, max_size=10, reset=no_reset
        )

    async def password_hash(self, email: str) -> Any:
        return await self._pool.fetchrow("SELECT id, password_hash FROM users WHERE email = $1", email)

    async def get(self, owner_id: int, strategy_id: int) -> Any:
        return await self._pool.fetchrow(
            f"SELECT {_COLUMNS} FROM strategies WHERE id = $1 AND owner_id = $2", strategy_id, owner_id
        )

    async def page(self, owner_id: int, skip: int, limit: int) -> Any:
        return await self._pool.fetch(
            f"SELECT {_COLUMNS}, (SELECT count(*) FROM strategies WHERE owner_id = $1) AS total"
            " FROM strategies WHERE owner_id = $1 ORDER BY id LIMIT $3 OFFSET $2",
            owner_id,
            skip,
            limit,
        )

    async def create(self, owner_id: int, body: Any) -> Any:
        return await self._pool.fetchrow(
            "INSERT INTO strategies (owner_id, name, description, parameters, is_active, created_at, updated_at)"
            f" VALUES ($1, $2, $3, $4, true, $5, $5) RETURNING {_COLUMNS}",
            owner_id,
            body["name"],
            body.get("description"),
            orjson.dumps(body["parameters"]).decode(),
            datetime.now(UTC),
        )

    async def put(self, owner_id: int, strategy_id: int, body: Any) -> Any:
        return await self._pool.fetchrow(
            "UPDATE strategies SET parameters = $3, updated_at = $4 WHERE id = $1 AND owner_id = $2"
            f" RETURNING {_COLUMNS}",
            strategy_id,
            owner_id,
            orjson.dumps(body["parameters"]).decode(),
            datetime.now(UTC),
        )


class Sqlite:
    """SQLite through the standard library, called in the event loop."""

    async def open(self) -> None:
        self._connection = sqlite3.connect(DATABASE_URL.partition(":///")[2], isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")

    async def password_hash(self, email: str) -> Any:
        return self._connection.execute("SELECT id, password_hash FROM users WHERE email = ?", (email,)).fetchone()

    async def get(self, owner_id: int, strategy_id: int) -> Any:
        return self._connection.execute(
            f"SELECT {_COLUMNS} FROM strategies WHERE id = ? AND owner_id = ?", (strategy_id, owner_id)
        ).fetchone()

    async def page(self, owner_id: int, skip: int, limit: int) -> Any:
        return self._connection.execute(
            f"SELECT {_COLUMNS}, (SELECT count(*) FROM strategies WHERE owner_id = ?1) AS total"
            " FROM strategies WHERE owner_id = ?1 ORDER BY id LIMIT ?3 OFFSET ?2",
            (owner_id, skip, limit),
        ).fetchall()

    async def create(self, owner_id: int, body: Any) -> Any:
        return self._connection.execute(
            "INSERT INTO strategies (owner_id, name, description, parameters, is_active, created_at, updated_at)"
            f" VALUES (?1, ?2, ?3, ?4, true, ?5, ?5) RETURNING {_COLUMNS}",
            (owner_id, body["name"], body.get("description"), orjson.dumps(body["parameters"]).decode(), _now()),
        ).fetchone()

    async def put(self, owner_id: int, strategy_id: int, body: Any) -> Any:
        return self._connection.execute(
            "UPDATE strategies SET parameters = ?3, updated_at = ?4 WHERE id = ?1 AND owner_id = ?2"
            f" RETURNING {_COLUMNS}",
            (strategy_id, owner_id, orjson.dumps(body["parameters"]).decode(), _now()),
        ).fetchone()


def _now() -> str:
    return datetime.now(UTC).replace(tzinfo=None).isoformat(" ")


driver: Final[Driver] = Sqlite() if DATABASE_URL.startswith("sqlite") else Asyncpg()


async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """Serve the measured routes."""
    if scope["type"] == "lifespan":
        await _handle_lifespan(receive, send)
        return
    body, status = await _answer(scope, receive)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _handle_lifespan(receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await driver.open()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _answer(scope: Any, receive: Callable[[], Awaitable[Any]]) -> tuple[bytes, int]:
    path, method = scope["path"], scope["method"]
    if path == "/health":
        return b'{"status":"healthy","version":"1"}', 200
    if path == "/api/v1/auth/login":
        return await _log_in(await _body(receive)), 200
    owner_id = _caller(scope)
    if path == STRATEGIES and method == "GET":
        return await _page(owner_id, scope["query_string"]), 200
    if path == STRATEGIES:
        return _dumped(_strategy(await driver.create(owner_id, orjson.loads(await _body(receive))))), 201
    strategy_id = int(path[len(STRATEGIES) + 1 :])
    if method == "PUT":
        return _dumped(_strategy(await driver.put(owner_id, strategy_id, orjson.loads(await _body(receive))))), 200
    return _dumped(_strategy(await driver.get(owner_id, strategy_id))), 200


async def _page(owner_id: int, query_string: bytes) -> bytes:
    query = parse_qs(query_string)
    skip, limit = int(query.get(b"skip", [b"0"])[0]), int(query.get(b"limit", [b"100"])[0])
    rows = await driver.page(owner_id, skip, limit)
    total = rows[0]["total"] if rows else 0
    return _dumped({"items": [_strategy(row) for row in rows], "total": total, "skip": skip, "limit": limit})


async def _log_in(body: bytes) -> bytes:
    form = parse_qs(body.decode())
    user_id, password_hash = await driver.password_hash(form["username"][0])
    verify = argon2.PasswordHasher().verify
    await asyncio.get_running_loop().run_in_executor(_HASHES, verify, password_hash, form["password"][0])
    now = datetime.now(UTC)
    claims = {
        "iss": "tradingagents",
        "aud": "tradingagents-api",
        "sub": str(user_id),
        "iat": now,
        "exp": now + timedelta(minutes=30),
        "jti": os.urandom(16).hex(),
    }
    return _dumped({"access_token": jwt.encode(claims, KEY, algorithm="HS256"), "token_type": "bearer"})


def _caller(scope: Any) -> int:
    for name, value in scope["headers"]:
        if name == b"authorization":
            claims = jwt.decode(
                value[7:],
                KEY,
                algorithms=["HS256"],
                audience="tradingagents-api",
                issuer="tradingagents",
                options={"require": ["exp", "iat", "sub"]},
            )
            return int(claims["sub"])
    raise PermissionError


async def _body(receive: Callable[[], Awaitable[Any]]) -> bytes:
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    return body


def _strategy(row: Any) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "parameters": orjson.Fragment(row["parameters"]),
        "is_active": bool(row["is_active"]),
        "created_at": _time(row["created_at"]),
        "updated_at": _time(row["updated_at"]),
    }


def _time(time: Any) -> Any:
    return time.replace(" ", "T") + "Z" if isinstance(time, str) else time


def _dumped(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)
