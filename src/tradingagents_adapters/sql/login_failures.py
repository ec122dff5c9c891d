"""Counts of failed logins in an SQL database."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Insert, Integer, bindparam, case, delete, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite

from tradingagents_adapters.sql.database import Database
from tradingagents_adapters.sql.lists import each_of, is_any_of
from tradingagents_adapters.sql.tables import login_failures
from tradingagents_core.domain.login_throttle import FORGOTTEN_AFTER, FailureCount
from tradingagents_core.domain.plain_types import utc_time
from tradingagents_core.ports import LoginFailures


def _count(insert: Any) -> Insert:
    before = login_failures.c
    one: ColumnElement[int] = literal_column("1", Integer)
    keys = each_of("keys", before.key.type)
    # Statements that count under the same keys lock their rows in this order, and do not deadlock. Without the clause,
    # SQLite's parser would take the ON of ON CONFLICT for the ON of a join.
    each = select(keys.c.value, one, bindparam("at", type_=before.last_at.type)).order_by(keys.c.value)
    added = insert(login_failures).from_select(["key", "failures", "last_at"], each)
    counted: Insert = added.on_conflict_do_update(
        index_elements=["key"],
        set_={
            "failures": case((before.last_at < bindparam("forgotten"), one), else_=before.failures + one),
            "last_at": added.excluded.last_at,
        },
    )
    return counted


_FIND: Final = select(login_failures).where(is_any_of(login_failures.c.key, "keys"))
_COUNT: Final = {"sqlite": _count(sqlite.insert), "postgresql": _count(postgresql.insert)}
_CLEAR: Final = delete(login_failures).where(is_any_of(login_failures.c.key, "keys"))
_FORGET: Final = delete(login_failures).where(login_failures.c.last_at < bindparam("forgotten"))


class SqlLoginFailures(LoginFailures):
    """Counts failed logins in a database, for all processes that use the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, keys: Sequence[str]) -> Mapping[str, FailureCount]:
        if not keys:
            return {}
        rows = await self._database.read(_FIND, keys=list(keys))
        last_at = self._database.read_time
        return {row["key"]: FailureCount(count=row["failures"], last_at=last_at(row["last_at"])) for row in rows}

    async def add(self, keys: Sequence[str], *, at: datetime) -> None:
        at = utc_time("at", at)
        if not keys:
            return
        forgotten = at - FORGOTTEN_AFTER
        await self._database.write(_COUNT[self._database.dialect_name], keys=list(keys), at=at, forgotten=forgotten)
        await self._database.write(_FORGET, forgotten=forgotten)

    async def clear(self, keys: Sequence[str]) -> None:
        if keys:
            await self._database.write(_CLEAR, keys=list(keys))
