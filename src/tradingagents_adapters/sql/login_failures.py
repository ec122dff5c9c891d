"""Counts of failed logins in an SQL database."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Insert, bindparam, case, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from tradingagents_adapters.sql.connections import connector
from tradingagents_adapters.sql.tables import login_failures
from tradingagents_core.domain.login_throttle import FORGOTTEN_AFTER, FailureCount
from tradingagents_core.ports import LoginFailures

_INSERT: Final[Mapping[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

_FIND: Final = select(login_failures).where(login_failures.c.key.in_(bindparam("keys", expanding=True)))
_CLEAR: Final = delete(login_failures).where(login_failures.c.key.in_(bindparam("keys", expanding=True)))
_FORGET: Final = delete(login_failures).where(login_failures.c.last_at < bindparam("forgotten"))


class SqlLoginFailures(LoginFailures):
    """Counts failed logins in the database of an engine, so that all processes over it agree.

    `in_transactions` is for a pgbouncer in between (`connector`).
    """

    def __init__(self, engine: AsyncEngine, *, in_transactions: bool = False) -> None:
        self._engine = engine
        self._connected = connector(in_transactions=in_transactions)
        self._insert = _INSERT[engine.dialect.name]

    async def find(self, keys: Sequence[str]) -> Mapping[str, FailureCount]:
        async with self._connected(self._engine) as connection:
            rows = await connection.execute(_FIND, {"keys": list(keys)})
        return {row.key: FailureCount(count=row.failures, last_at=row.last_at) for row in rows}

    async def add(self, keys: Sequence[str], *, at: datetime) -> None:
        async with self._connected(self._engine) as connection:
            await connection.execute(self._counted(keys, at))
        async with self._connected(self._engine) as connection:
            await connection.execute(_FORGET, {"forgotten": at - FORGOTTEN_AFTER})

    async def clear(self, keys: Sequence[str]) -> None:
        async with self._connected(self._engine) as connection:
            await connection.execute(_CLEAR, {"keys": list(keys)})

    def _counted(self, keys: Sequence[str], at: datetime) -> Insert:
        # In one order, so that two that count under the same keys do not wait for each other for ever.
        rows = [{"key": key, "failures": 1, "last_at": at} for key in sorted(keys)]
        insert = self._insert(login_failures).values(rows)
        before = login_failures.c
        counted: Insert = insert.on_conflict_do_update(
            index_elements=["key"],
            set_={
                "failures": case((before.last_at < at - FORGOTTEN_AFTER, 1), else_=before.failures + 1),
                "last_at": insert.excluded.last_at,
            },
        )
        return counted
