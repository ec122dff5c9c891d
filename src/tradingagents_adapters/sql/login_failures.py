"""Counts of failed logins in an SQL database."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Delete, Insert, Integer, Select, bindparam, case, delete, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite

from tradingagents_adapters.sql.database import Database
from tradingagents_adapters.sql.tables import login_failures
from tradingagents_core.domain.login_throttle import FORGOTTEN_AFTER, FailureCount
from tradingagents_core.ports import LoginFailures

_INSERT: Final[Mapping[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

_FORGET: Final = delete(login_failures).where(login_failures.c.last_at < bindparam("forgotten"))


class SqlLoginFailures(LoginFailures):
    """Counts failed logins in a database, so that all processes over it agree."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, keys: Sequence[str]) -> Mapping[str, FailureCount]:
        if not keys:
            return {}
        rows = await self._database.read(_find(len(keys)), **_named(keys))
        last_at = self._database.read_time
        return {row["key"]: FailureCount(count=row["failures"], last_at=last_at(row["last_at"])) for row in rows}

    async def add(self, keys: Sequence[str], *, at: datetime) -> None:
        if not keys:
            return
        forgotten = at - FORGOTTEN_AFTER
        # In one order, so that two that count under the same keys do not wait for each other for ever.
        counted = _count(len(keys), self._database.dialect_name)
        await self._database.write(counted, **_named(sorted(keys)), at=at, forgotten=forgotten)
        await self._database.write(_FORGET, forgotten=forgotten)

    async def clear(self, keys: Sequence[str]) -> None:
        if keys:
            await self._database.write(_clear(len(keys)), **_named(keys))


def _named(keys: Sequence[str]) -> dict[str, Any]:
    return dict(zip(_names(len(keys)), keys, strict=True))


def _names(count: int) -> list[str]:
    return [f"key{number}" for number in range(count)]


@cache
def _find(count: int) -> Select[Any]:
    return select(login_failures).where(login_failures.c.key.in_([bindparam(name) for name in _names(count)]))


@cache
def _clear(count: int) -> Delete:
    return delete(login_failures).where(login_failures.c.key.in_([bindparam(name) for name in _names(count)]))


@cache
def _count(count: int, dialect_name: str) -> Insert:
    one: ColumnElement[int] = literal_column("1", Integer)
    rows = [{"key": bindparam(name), "failures": one, "last_at": bindparam("at")} for name in _names(count)]
    insert = _INSERT[dialect_name](login_failures).values(rows)
    before = login_failures.c
    counted: Insert = insert.on_conflict_do_update(
        index_elements=["key"],
        set_={
            "failures": case((before.last_at < bindparam("forgotten"), one), else_=before.failures + one),
            "last_at": insert.excluded.last_at,
        },
    )
    return counted
