"""The name of the constraint that refuses a statement, on every database."""

import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from postgresql import Database as PostgresqlDatabase
from sqlalchemy import Table, bindparam, insert
from sqlalchemy.engine import URL

from tradingagents_adapters.database_url import read_database_url
from tradingagents_adapters.sql import open_database
from tradingagents_adapters.sql.database import Database
from tradingagents_adapters.sql.errors import ConstraintBroken
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.tables import login_failures, strategies, unique_constraint, users

pytestmark = pytest.mark.anyio

TIMES: Final = {"created_at": datetime(2026, 3, 1, tzinfo=UTC), "updated_at": datetime(2026, 3, 1, tzinfo=UTC)}
ANN: Final = {"id": 1, "email": "ann@example.com", "password_hash": "hash", "is_active": True, **TIMES}
FIRST: Final = {"owner_id": 1, "name": "first", "parameters": "{}", "is_active": True, **TIMES}


@pytest.fixture(params=["sqlite", "postgresql"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseOptions:
    if request.param == "sqlite":
        file = shutil.copyfile(request.getfixturevalue("migrated_sqlite"), tmp_path / "names.db")
        return DatabaseOptions(url=URL.create("sqlite+aiosqlite", database=str(file)))
    database: PostgresqlDatabase = request.getfixturevalue("database")
    return DatabaseOptions(url=read_database_url(database.setting))


@pytest.fixture
async def opened(options: DatabaseOptions) -> AsyncIterator[Database]:
    """A database with the newest tables, one user and one strategy."""
    async with open_database(options) as opened:
        await add(opened, users, ANN)
        await add(opened, strategies, FIRST)
        yield opened


async def add(opened: Database, table: Table, values: dict[str, Any]) -> None:
    parameters = {name: bindparam(name, type_=table.c[name].type) for name in values}
    await opened.write(insert(table).values(parameters), **values)


async def refused(opened: Database, table: Table, values: dict[str, Any]) -> str | None:
    """The name of the constraint that refuses these values."""
    with pytest.raises(ConstraintBroken) as refusal:
        await add(opened, table, values)
    return refusal.value.constraint


async def test_a_unique_constraint_of_one_column_is_named(opened: Database) -> None:
    assert await refused(opened, users, ANN | {"id": 2}) == unique_constraint(users, "email")


async def test_a_unique_constraint_of_several_columns_is_named(opened: Database) -> None:
    assert await refused(opened, strategies, FIRST) == unique_constraint(strategies, "owner_id", "name")


async def test_a_primary_key_is_named(opened: Database) -> None:
    failures = {"key": "a", "failures": 1, "last_at": TIMES["created_at"]}
    await add(opened, login_failures, failures)
    assert await refused(opened, login_failures, failures) == login_failures.primary_key.name


async def test_a_missing_value_is_not_taken_for_a_unique_constraint(opened: Database) -> None:
    assert await refused(opened, strategies, FIRST | {"name": None}) is None
