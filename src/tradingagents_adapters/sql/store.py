"""Users and strategies in an SQL database: each method of the port is one statement."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from sqlalchemy import BindParameter, Executable, Select, Table, bindparam, delete, insert, select, true, update

from tradingagents_adapters.sql.database import Database
from tradingagents_adapters.sql.drivers.driver import Row
from tradingagents_adapters.sql.errors import ConstraintBroken
from tradingagents_adapters.sql.tables import strategies, unique_constraint, users
from tradingagents_adapters.sql.transaction import RowLock, Transaction
from tradingagents_core.domain.page import PAGE_LIMIT_DEFAULT, Page
from tradingagents_core.domain.parameters import INTEGER_MAX, Parameters
from tradingagents_core.domain.strategy import Strategy, StrategyContent
from tradingagents_core.domain.user import User
from tradingagents_core.errors import EmailTaken, StrategyNameTaken, StrategyNotFound, UserNotFound
from tradingagents_core.ports import Store, StoreView, StoreWork

_ACCOUNT: Final = ("email", "password_hash", "is_active", "created_at", "updated_at")
_CONTENT: Final = ("name", "description", "parameters", "is_active", "created_at", "updated_at")

_EMAIL_UNIQUE: Final = unique_constraint(users, "email")
_NAME_UNIQUE: Final = unique_constraint(strategies, "owner_id", "name")

_STRATEGY_COLUMNS: Final = [strategies.c[name] for name in ("id", *_CONTENT)]


def _parameters(table: Table, *names: str) -> dict[str, BindParameter[Any]]:
    """A parameter for each of these columns, of the same name."""
    return {name: bindparam(name, type_=table.c[name].type) for name in names}


def _page(*, active_only: bool) -> Select[Any]:
    listed = strategies.c.owner_id == bindparam("owner_id")
    if active_only:
        listed &= strategies.c.is_active
    page = (
        select(*_STRATEGY_COLUMNS)
        .where(listed)
        .order_by(strategies.c.id)
        .limit(bindparam("limit"))
        .offset(bindparam("skip"))
        .subquery()
    )
    total = users.c.active_strategy_count if active_only else users.c.strategy_count
    # One statement, so that items and total are of the same moment; an empty page still has its total.
    return (
        select(page, total.label("total"))
        .select_from(users.outerjoin(page, true()))
        .where(users.c.id == bindparam("owner_id"))
        .order_by(page.c.id)
    )


_ACCOUNTS: Final = select(users.c.id, *(users.c[name] for name in _ACCOUNT))
_USERS: Final = _ACCOUNTS.order_by(users.c.id)
_USER: Final = _ACCOUNTS.where(users.c.id == bindparam("user_id"))
_USER_BY_EMAIL: Final = _ACCOUNTS.where(users.c.email == bindparam("email"))
_STRATEGY: Final = select(*_STRATEGY_COLUMNS).where(
    strategies.c.id == bindparam("strategy_id"), strategies.c.owner_id == bindparam("owner_id")
)
_ADD_USER: Final = insert(users).values(_parameters(users, *_ACCOUNT)).returning(users.c.id)
_REPLACE_USER: Final = (
    update(users).values(_parameters(users, *_ACCOUNT)).where(users.c.id == bindparam("user_id")).returning(users.c.id)
)
_ADD_STRATEGY: Final = (
    insert(strategies).values(_parameters(strategies, "owner_id", *_CONTENT)).returning(strategies.c.id)
)
_REPLACE_STRATEGY: Final = (
    update(strategies)
    .values(_parameters(strategies, *_CONTENT))
    .where(strategies.c.id == bindparam("strategy_id"), strategies.c.owner_id == bindparam("of_owner"))
    .returning(strategies.c.id)
)
_REMOVE_STRATEGY: Final = (
    delete(strategies)
    .where(strategies.c.id == bindparam("strategy_id"), strategies.c.owner_id == bindparam("owner_id"))
    .returning(strategies.c.id)
)
_PAGE: Final = {active_only: _page(active_only=active_only) for active_only in (False, True)}


_Fetch: TypeAlias = Callable[..., Awaitable[Sequence[Row]]]
"""Runs a statement with parameters, which are given by name, and fetches all that it returns."""


class _SqlView(StoreView):
    def __init__(self, fetch: _Fetch, fetch_page: _Fetch, read_time: Callable[[Any], datetime]) -> None:
        self._fetch = fetch
        self._fetch_page = fetch_page
        self._read_time = read_time

    async def find_user(self, user_id: int) -> User | None:
        rows = await self._fetch(_USER, user_id=_id(user_id))
        return self._user(rows[0]) if rows else None

    async def find_user_by_email(self, email: str) -> User | None:
        rows = await self._fetch(_USER_BY_EMAIL, email=email)
        return self._user(rows[0]) if rows else None

    async def list_users(self) -> Sequence[User]:
        return [self._user(row) for row in await self._fetch(_USERS)]

    async def get_strategy(self, *, owner_id: int, strategy_id: int) -> Strategy:
        rows = await self._fetch(_STRATEGY, owner_id=_id(owner_id), strategy_id=_id(strategy_id))
        if not rows:
            raise StrategyNotFound(strategy_id)
        return self._strategy(rows[0], owner_id)

    async def list_strategies(self, *, owner_id: int, skip: int, limit: int, active_only: bool) -> Page[Strategy]:
        rows = await self._fetch_page(
            _PAGE[active_only], owner_id=_id(owner_id), skip=min(skip, INTEGER_MAX), limit=limit
        )
        items = [self._strategy(row, owner_id) for row in rows if row["id"] is not None]
        return Page(items=items, total=rows[0]["total"] if rows else 0, skip=skip, limit=limit)

    def _user(self, row: Row) -> User:
        return User(
            id=row["id"],
            email=row["email"],
            password_hash=row["password_hash"],
            is_active=bool(row["is_active"]),
            created_at=self._read_time(row["created_at"]),
            updated_at=self._read_time(row["updated_at"]),
        )

    def _strategy(self, row: Row, owner_id: int) -> Strategy:
        strategy_id, name, description, parameters, is_active, created_at, updated_at, *_ = row
        return Strategy(
            id=strategy_id,
            owner_id=owner_id,
            name=name,
            description=description,
            parameters=Parameters.from_store(parameters),
            is_active=bool(is_active),
            created_at=self._read_time(created_at),
            updated_at=self._read_time(updated_at),
        )


class _SqlWork(_SqlView, StoreWork):
    """A block on a transaction; to be entered."""

    def __init__(self, transaction: Transaction, read_time: Callable[[Any], datetime]) -> None:
        super().__init__(transaction.fetch, transaction.fetch, read_time)
        self._transaction = transaction

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transaction.end(error)

    async def lock_user(self, user_id: int) -> None:
        if not await self._transaction.lock_row(RowLock(users, _id(user_id))):
            raise UserNotFound(user_id)

    async def add_user(self, *, email: str, password_hash: str, at: datetime) -> User:
        at = at.astimezone(UTC)
        try:
            rows = await self._fetch(
                _ADD_USER, email=email, password_hash=password_hash, is_active=True, created_at=at, updated_at=at
            )
        except ConstraintBroken as error:
            if error.constraint == _EMAIL_UNIQUE:
                raise EmailTaken(email) from error
            raise
        return User(id=rows[0]["id"], email=email, password_hash=password_hash, created_at=at, updated_at=at)

    async def replace_user(self, user: User) -> None:
        try:
            replaced = await self._fetch(
                _REPLACE_USER,
                user_id=_id(user.id),
                email=user.email,
                password_hash=user.password_hash,
                is_active=user.is_active,
                created_at=user.created_at,
                updated_at=user.updated_at,
            )
        except ConstraintBroken as error:
            if error.constraint == _EMAIL_UNIQUE:
                raise EmailTaken(user.email) from error
            raise
        if not replaced:
            raise UserNotFound(user.id)

    async def add_strategy(self, *, owner_id: int, content: StrategyContent, at: datetime) -> Strategy:
        at = at.astimezone(UTC)
        try:
            rows = await self._fetch(
                _ADD_STRATEGY, owner_id=_id(owner_id), **_columns(content), created_at=at, updated_at=at
            )
        except ConstraintBroken as error:
            if error.constraint == _NAME_UNIQUE:
                raise StrategyNameTaken(content.name) from error
            raise UserNotFound(owner_id) from error
        return Strategy.created(content, id=rows[0]["id"], owner_id=owner_id, at=at)

    async def replace_strategy(self, strategy: Strategy) -> None:
        try:
            replaced = await self._fetch(
                _REPLACE_STRATEGY,
                strategy_id=_id(strategy.id),
                of_owner=_id(strategy.owner_id),
                **_columns(strategy),
                created_at=strategy.created_at,
                updated_at=strategy.updated_at,
            )
        except ConstraintBroken as error:
            if error.constraint == _NAME_UNIQUE:
                raise StrategyNameTaken(strategy.name) from error
            raise
        if not replaced:
            raise StrategyNotFound(strategy.id)

    async def remove_strategy(self, *, owner_id: int, strategy_id: int) -> None:
        if not await self._fetch(_REMOVE_STRATEGY, owner_id=_id(owner_id), strategy_id=_id(strategy_id)):
            raise StrategyNotFound(strategy_id)


class SqlStore(Store):
    """Keeps users and strategies in a database, whose tables the newest migration has made."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._view = _SqlView(database.read, self._read_page, database.read_time)

    def read(self) -> AbstractAsyncContextManager[StoreView]:
        # Each statement finds itself a connection.
        return nullcontext(self._view)

    def write(self) -> AbstractAsyncContextManager[StoreWork]:
        return _SqlWork(self._database.transaction(), self._database.read_time)

    async def _read_page(self, statement: Executable, /, *, limit: int, **values: Any) -> Sequence[Row]:
        # A page of the longest strategies is as much as the network carries in some time.
        patience = max(1, limit // PAGE_LIMIT_DEFAULT)
        return await self._database.read(statement, patience=patience, limit=limit, **values)


def _id(number: int) -> int:
    """The number, or 0, which is nobody's id, for one that no column of ids can hold."""
    return number if 0 < number <= INTEGER_MAX else 0


def _columns(content: StrategyContent) -> dict[str, Any]:
    return {
        "name": content.name,
        "description": content.description,
        "parameters": content.parameters.json,
        "is_active": content.is_active,
    }
