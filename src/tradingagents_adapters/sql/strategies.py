"""Owners' strategies in an SQL database: each method of a repository is one round trip."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime
from types import TracebackType
from typing import Any, Final

from sqlalchemy import Select, bindparam, select, true

from tradingagents_adapters.sql.columns import known_id
from tradingagents_adapters.sql.database import Database
from tradingagents_adapters.sql.drivers.driver import Row
from tradingagents_adapters.sql.errors import refused_by
from tradingagents_adapters.sql.json_text import text_of
from tradingagents_adapters.sql.strategy_changes import CONTENT, STRATEGY_CHANGES
from tradingagents_adapters.sql.tables import owners, strategies, unique_constraint
from tradingagents_adapters.sql.transaction import Connections, RowLock, Transaction
from tradingagents_core.domain.page import PAGE_LIMIT_DEFAULT, Page
from tradingagents_core.domain.parameters import INTEGER_MAX, Parameters
from tradingagents_core.domain.plain_types import utc_time
from tradingagents_core.domain.strategies import Strategy, StrategyContent
from tradingagents_core.errors import StrategyNameTaken, StrategyNotFound
from tradingagents_core.ports import StrategyReader, StrategyRepository, StrategyStore, StrategyView, StrategyWork

_NAME_UNIQUE: Final = unique_constraint(strategies, "owner_id", "name")
_COLUMNS: Final = [
    text_of(strategies.c[name]) if name == "parameters" else strategies.c[name] for name in ("id", *CONTENT)
]
_STRATEGY: Final = select(*_COLUMNS).where(
    strategies.c.owner_id == bindparam("owner_id"), strategies.c.id == bindparam("strategy_id")
)


def _page(*, active_only: bool) -> Select[Any]:
    listed = strategies.c.owner_id == bindparam("owner_id")
    if active_only:
        listed &= strategies.c.is_active
    page = (
        select(*_COLUMNS)
        .where(listed)
        .order_by(strategies.c.id)
        .limit(bindparam("limit"))
        .offset(bindparam("skip"))
        .subquery()
    )
    total = owners.c.active_strategy_count if active_only else owners.c.strategy_count
    # One statement, so that items and total are read at the same moment. An empty page still has a total.
    return (
        select(page, total.label("total"))
        .select_from(owners.outerjoin(page, true()))
        .where(owners.c.id == bindparam("owner_id"))
        .order_by(page.c.id)
    )


_INSERT_OWNER: Final = f"INSERT INTO {owners.name} VALUES ({{id}}, 0, 0) ON CONFLICT DO NOTHING"  # noqa: S608

_PAGE: Final = {active_only: _page(active_only=active_only) for active_only in (False, True)}


class _SqlStrategyReader(StrategyReader):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, *, owner_id: int, strategy_id: int) -> Strategy:
        rows = await self._database.read(_STRATEGY, owner_id=known_id(owner_id), strategy_id=known_id(strategy_id))
        if not rows:
            raise StrategyNotFound(strategy_id)
        return _strategy(rows[0], owner_id, self._database.read_time)

    async def list(self, *, owner_id: int, skip: int, limit: int, active_only: bool) -> Page[Strategy]:
        rows = await self._database.read(
            _PAGE[active_only],
            # The network takes longer than the usual limit for a large page of the longest strategies.
            patience=max(1, limit // PAGE_LIMIT_DEFAULT),
            owner_id=known_id(owner_id),
            skip=min(skip, INTEGER_MAX),
            limit=limit,
        )
        return _page_of(rows, owner_id, self._database.read_time, skip=skip, limit=limit)


class _SqlStrategyRepository(StrategyRepository):
    """The strategies of the owner whose row the transaction has locked."""

    def __init__(self, owner_id: int, transaction: Transaction, database: Database) -> None:
        self._owner_id = owner_id
        self._fetch = transaction.fetch
        self._changes = STRATEGY_CHANGES[database.dialect_name]
        self._read_time = database.read_time

    async def get(self, strategy_id: int) -> Strategy:
        rows = await self._fetch(_STRATEGY, owner_id=self._owner_id, strategy_id=known_id(strategy_id))
        if not rows:
            raise StrategyNotFound(strategy_id)
        return _strategy(rows[0], self._owner_id, self._read_time)

    async def list(self, *, skip: int, limit: int, active_only: bool) -> Page[Strategy]:
        rows = await self._fetch(_PAGE[active_only], owner_id=self._owner_id, skip=min(skip, INTEGER_MAX), limit=limit)
        return _page_of(rows, self._owner_id, self._read_time, skip=skip, limit=limit)

    async def add(self, content: StrategyContent, *, at: datetime) -> Strategy:
        at = utc_time("at", at)
        with refused_by(_NAME_UNIQUE, StrategyNameTaken(content.name)):
            rows = await self._fetch(
                *self._changes.add, of_owner=self._owner_id, **_columns(content), created_at=at, updated_at=at
            )
        return Strategy.created(content, id=rows[0]["id"], owner_id=self._owner_id, at=at)

    async def replace(self, strategy: Strategy) -> None:
        if strategy.owner_id != self._owner_id:
            raise StrategyNotFound(strategy.id)
        with refused_by(_NAME_UNIQUE, StrategyNameTaken(strategy.name)):
            replaced = await self._fetch(
                *self._changes.replace,
                of_owner=self._owner_id,
                strategy_id=known_id(strategy.id),
                **_columns(strategy),
                created_at=strategy.created_at,
                updated_at=strategy.updated_at,
            )
        if not replaced:
            raise StrategyNotFound(strategy.id)

    async def remove(self, strategy_id: int) -> None:
        if not await self._fetch(*self._changes.remove, of_owner=self._owner_id, strategy_id=known_id(strategy_id)):
            raise StrategyNotFound(strategy_id)

    async def remove_all(self) -> None:
        await self._fetch(*self._changes.remove_all, of_owner=self._owner_id)


class StrategyWriteBlock(AbstractAsyncContextManager[StrategyWork]):
    """A write block: a transaction that begins by locking the owner's row, which it inserts where there is none.

    The connection of the transaction is one of the database, or of the given `connections`.
    """

    def __init__(self, database: Database, owner_id: int, *, connections: Connections | None = None) -> None:
        self._database = database
        self._owner_id = owner_id
        self._transaction = Transaction(connections or database, row=RowLock(owners, owner_id, insert=_INSERT_OWNER))

    async def __aenter__(self) -> StrategyWork:
        transaction = await self._transaction.__aenter__()
        return StrategyWork(self._owner_id, _SqlStrategyRepository(self._owner_id, transaction, self._database))

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transaction.end(error)


class SqlStrategyStore(StrategyStore):
    """Stores owners' strategies in a database that has the newest schema."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._view = StrategyView(_SqlStrategyReader(database))

    def read(self) -> AbstractAsyncContextManager[StrategyView]:
        # Each statement acquires a connection of its own.
        return nullcontext(self._view)

    def write(self, owner_id: int) -> AbstractAsyncContextManager[StrategyWork]:
        return StrategyWriteBlock(self._database, owner_id)


def _page_of(
    rows: Sequence[Row], owner_id: int, read_time: Callable[[Any], datetime], *, skip: int, limit: int
) -> Page[Strategy]:
    items = [_strategy(row, owner_id, read_time) for row in rows if row["id"] is not None]
    return Page(items=items, total=rows[0]["total"] if rows else 0, skip=skip, limit=limit)


def _strategy(row: Row, owner_id: int, read_time: Callable[[Any], datetime]) -> Strategy:
    strategy_id, name, description, parameters, is_active, created_at, updated_at, *_ = row
    return Strategy.from_store(
        id=strategy_id,
        owner_id=owner_id,
        name=name,
        description=description,
        parameters=Parameters.from_store(parameters),
        is_active=bool(is_active),
        created_at=read_time(created_at),
        updated_at=read_time(updated_at),
    )


def _columns(content: StrategyContent) -> dict[str, Any]:
    return {
        "name": content.name,
        "description": content.description,
        "parameters": content.parameters.json,
        "is_active": content.is_active,
    }
