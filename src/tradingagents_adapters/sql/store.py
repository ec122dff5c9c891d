"""Users and strategies in an SQL database: each method of the port is one statement."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, Select, bindparam, delete, func, insert, select, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from tradingagents_adapters.sql.connections import SqlConnection, connector, transaction
from tradingagents_adapters.sql.engine import SQLITE_BUSY_SECONDS
from tradingagents_adapters.sql.errors import is_unique_violation
from tradingagents_adapters.sql.tables import strategies, users
from tradingagents_core.domain.page import Page
from tradingagents_core.domain.parameters import INTEGER_MAX
from tradingagents_core.domain.strategy import Strategy, StrategyContent
from tradingagents_core.domain.user import User
from tradingagents_core.errors import EmailTaken, StoreUnavailable, StrategyNameTaken, StrategyNotFound, UserNotFound
from tradingagents_core.ports import Store, StoreView, StoreWork


def _page(*, active_only: bool) -> Select[Any]:
    listed = strategies.c.owner_id == bindparam("owner_id")
    if active_only:
        listed &= strategies.c.is_active
    count = select(func.count().label("total")).select_from(strategies).where(listed).subquery()
    page = (
        select(strategies)
        .where(listed)
        .order_by(strategies.c.id)
        .limit(bindparam("limit"))
        .offset(bindparam("skip"))
        .subquery()
    )
    # One statement, so that items and total are of the same moment; an empty page still has its total.
    return select(count.c.total, page).select_from(count.outerjoin(page, true())).order_by(page.c.id)


_USER: Final = select(users).where(users.c.id == bindparam("user_id"))
_USER_BY_EMAIL: Final = select(users).where(users.c.email == bindparam("email"))
_USERS: Final = select(users).order_by(users.c.id)
_LOCKED_USER: Final = _USER.with_for_update()
_STRATEGY: Final = select(strategies).where(
    strategies.c.id == bindparam("strategy_id"), strategies.c.owner_id == bindparam("owner_id")
)
_ADD_USER: Final = insert(users).returning(users)
_REPLACE_USER: Final = update(users).where(users.c.id == bindparam("user_id"))
_ADD_STRATEGY: Final = insert(strategies).returning(strategies)
_REPLACE_STRATEGY: Final = update(strategies).where(
    strategies.c.id == bindparam("strategy_id"), strategies.c.owner_id == bindparam("owner")
)
_REMOVE_STRATEGY: Final = delete(strategies).where(
    strategies.c.id == bindparam("strategy_id"), strategies.c.owner_id == bindparam("owner_id")
)
_PAGE: Final = {active_only: _page(active_only=active_only) for active_only in (False, True)}


class _SqlView(StoreView):
    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection

    async def find_user(self, user_id: int) -> User | None:
        row = (await self._connection.execute(_USER, {"user_id": _id(user_id)})).one_or_none()
        return row and _user(row)

    async def find_user_by_email(self, email: str) -> User | None:
        row = (await self._connection.execute(_USER_BY_EMAIL, {"email": email})).one_or_none()
        return row and _user(row)

    async def list_users(self) -> Sequence[User]:
        return [_user(row) for row in await self._connection.execute(_USERS)]

    async def get_strategy(self, *, owner_id: int, strategy_id: int) -> Strategy:
        key = {"owner_id": _id(owner_id), "strategy_id": _id(strategy_id)}
        row = (await self._connection.execute(_STRATEGY, key)).one_or_none()
        if row is None:
            raise StrategyNotFound(strategy_id)
        return _strategy(row)

    async def list_strategies(self, *, owner_id: int, skip: int, limit: int, active_only: bool) -> Page[Strategy]:
        window = {"owner_id": _id(owner_id), "skip": min(skip, INTEGER_MAX), "limit": limit}
        rows = (await self._connection.execute(_PAGE[active_only], window)).all()
        items = [_strategy(row) for row in rows if row.id is not None]
        return Page(items=items, total=rows[0].total, skip=skip, limit=limit)


class _SqlWork(_SqlView, StoreWork):
    async def lock_user(self, user_id: int) -> User:
        row = (await self._connection.execute(_LOCKED_USER, {"user_id": _id(user_id)})).one_or_none()
        if row is None:
            raise UserNotFound(user_id)
        return _user(row)

    async def add_user(self, *, email: str, password_hash: str, at: datetime) -> User:
        values = {
            "email": email,
            "password_hash": password_hash,
            "is_active": True,
            "created_at": at,
            "updated_at": at,
        }
        try:
            row = (await self._connection.execute(_ADD_USER, values)).one()
        except IntegrityError as error:
            raise EmailTaken(email) from error
        return _user(row)

    async def replace_user(self, user: User) -> None:
        values = {
            "user_id": _id(user.id),
            "email": user.email,
            "password_hash": user.password_hash,
            "is_active": user.is_active,
            "created_at": user.created_at,
            "updated_at": user.updated_at,
        }
        try:
            result = await self._connection.execute(_REPLACE_USER, values)
        except IntegrityError as error:
            raise EmailTaken(user.email) from error
        if result.rowcount == 0:
            raise UserNotFound(user.id)

    async def add_strategy(self, *, owner_id: int, content: StrategyContent, at: datetime) -> Strategy:
        values = _content(content) | {"owner_id": _id(owner_id), "created_at": at, "updated_at": at}
        try:
            row = (await self._connection.execute(_ADD_STRATEGY, values)).one()
        except IntegrityError as error:
            raise _strategy_refused(error, owner_id, content.name) from error
        return _strategy(row)

    async def replace_strategy(self, strategy: Strategy) -> None:
        values = _content(strategy) | {
            "strategy_id": _id(strategy.id),
            "owner": _id(strategy.owner_id),
            "created_at": strategy.created_at,
            "updated_at": strategy.updated_at,
        }
        try:
            result = await self._connection.execute(_REPLACE_STRATEGY, values)
        except IntegrityError as error:
            raise StrategyNameTaken(strategy.name) from error
        if result.rowcount == 0:
            raise StrategyNotFound(strategy.id)

    async def remove_strategy(self, *, owner_id: int, strategy_id: int) -> None:
        key = {"owner_id": _id(owner_id), "strategy_id": _id(strategy_id)}
        if (await self._connection.execute(_REMOVE_STRATEGY, key)).rowcount == 0:
            raise StrategyNotFound(strategy_id)


class SqlStore(Store):
    """Keeps users and strategies in the database of an engine, whose tables the newest migration has made.

    `read_in_transactions` is for a pgbouncer in between (`connector`).
    """

    def __init__(self, engine: AsyncEngine, *, read_in_transactions: bool = False) -> None:
        self._engine = engine
        # SQLite lets in one writer at a time. Those of this process queue up here: in order, and without a connection.
        self._writers = asyncio.Lock() if engine.dialect.name == "sqlite" else None
        self._connected = connector(in_transactions=read_in_transactions)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[StoreView]:
        async with self._connected(self._engine) as connection:
            yield _SqlView(connection)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[StoreWork]:
        async with self._turn(), transaction(self._engine) as connection:
            yield _SqlWork(connection)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._writers is None:
            yield
            return
        try:
            await asyncio.wait_for(self._writers.acquire(), SQLITE_BUSY_SECONDS)
        except TimeoutError as error:
            raise StoreUnavailable(reason="other writers took too long") from error
        try:
            yield
        finally:
            self._writers.release()


def _id(number: int) -> int:
    """The number, or 0, which is nobody's id, for one that no column of ids can hold."""
    return number if 0 < number <= INTEGER_MAX else 0


def _user(row: Row[Any]) -> User:
    return User(
        id=row.id,
        email=row.email,
        password_hash=row.password_hash,
        is_active=row.is_active,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _strategy(row: Row[Any]) -> Strategy:
    return Strategy(
        id=row.id,
        owner_id=row.owner_id,
        name=row.name,
        description=row.description,
        parameters=row.parameters,
        is_active=row.is_active,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _content(content: StrategyContent) -> dict[str, Any]:
    return {
        "name": content.name,
        "description": content.description,
        "parameters": content.parameters,
        "is_active": content.is_active,
    }


def _strategy_refused(error: IntegrityError, owner_id: int, name: str) -> StrategyNameTaken | UserNotFound:
    return StrategyNameTaken(name) if is_unique_violation(error) else UserNotFound(owner_id)
