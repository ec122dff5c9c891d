"""The counts in an owner's row are right after every change: committed, rolled back or refused."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

import pytest
from engines import opened_by
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgresql import Database
from sqlalchemy.engine import URL

from tradingagents_adapters.database_url import read_database_url
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.strategies import SqlStrategyStore
from tradingagents_core.domain.strategies import Strategy, StrategyContent
from tradingagents_core.errors import BlockFailed, StrategyNameTaken, StrategyNotFound
from tradingagents_core.ports import StrategyWork

Run: TypeAlias = Callable[..., list[str]]
"""Runs statements one after another on one connection. Returns all rows, with columns separated by `|`."""

AT: Final = datetime(2024, 1, 15, tzinfo=UTC)
OWNERS: Final = (1, 2, 3)
EMPTY: Final = [f"DELETE FROM tradingagents_{table}" for table in ("strategies", "owners", "users")]
ADD_USERS: Final = (
    "INSERT INTO tradingagents_users (id, email, password_hash, is_active, created_at, updated_at) VALUES "
    + ", ".join(f"({owner}, '{owner}@example.com', 'hash', true, '2024-01-15', '2024-01-15')" for owner in OWNERS)
)
COUNTS: Final = "SELECT id, strategy_count, active_strategy_count FROM tradingagents_owners ORDER BY id"
NOT_ZERO: Final = "SELECT id, strategy_count, active_strategy_count FROM tradingagents_owners WHERE strategy_count <> 0"
COUNTED: Final = (
    "SELECT owner_id, count(*), count(CASE WHEN is_active THEN 1 END) FROM tradingagents_strategies GROUP BY owner_id"
)
MISTAKES: Final = (
    f"SELECT count(*) FROM (SELECT * FROM ({NOT_ZERO}) AS told EXCEPT SELECT * FROM ({COUNTED}) AS counted) AS wrong"
    f" UNION ALL SELECT count(*) FROM (SELECT * FROM ({COUNTED}) AS counted EXCEPT SELECT * FROM ({NOT_ZERO}) AS told)"
    " AS missing"
)


@dataclass(frozen=True)
class Place:
    """A migrated database, for a store and for statements of the test."""

    options: DatabaseOptions
    run: Run


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Place:
    file = Path(shutil.copy(migrated_sqlite, tmp_path_factory.mktemp("counts") / "counts.db"))

    def run(*statements: str) -> list[str]:
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            return ["|".join(map(str, row)) for each in statements for row in connection.execute(each)]

    return Place(DatabaseOptions(url=URL.create("sqlite+aiosqlite", database=str(file))), run)


@pytest.fixture(scope="module")
def postgresql(databases, migrated: Database) -> Iterator[Place]:
    with databases.fresh(migrated) as database:
        yield Place(DatabaseOptions(url=read_database_url(database.setting)), database.sql)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    found.run(*EMPTY, ADD_USERS)
    return found


@pytest.fixture(params=["driver", "engine"])
def way(request: pytest.FixtureRequest) -> str:
    """By its driver, or over an engine of SQLAlchemy."""
    return str(request.param)


@pytest.fixture
async def store(place: Place, way: str) -> AsyncIterator[SqlStrategyStore]:
    async with opened_by(way, place.options) as database:
        yield SqlStrategyStore(database)


@dataclass(frozen=True)
class Change:
    """A change that one block makes for an owner, and whether the block commits."""

    what: str
    owner: int
    number: int
    """Selects the strategy that is replaced or removed, of any owner."""
    content: StrategyContent
    is_kept: bool

    async def make(self, work: StrategyWork, there: list[Strategy]) -> None:
        chosen = there[self.number % len(there)] if there else None
        if self.what == "add" or chosen is None:
            there.append(await work.strategies.add(self.content, at=AT))
        elif self.what == "remove":
            await work.strategies.remove(chosen.id)
        elif self.what == "remove all":
            await work.strategies.remove_all()
        else:
            await work.strategies.replace(
                Strategy.created(self.content, id=chosen.id, owner_id=self.owner, at=AT),
            )


class _Undone(Exception):
    pass


contents = st.builds(
    lambda name, is_active: StrategyContent(name=name, is_active=is_active), st.sampled_from("abcd"), st.booleans()
)
changes = st.builds(
    Change,
    st.sampled_from(["add", "add", "add", "replace", "remove", "remove all"]),
    st.sampled_from(OWNERS),
    st.integers(0, 9),
    contents,
    st.sampled_from([True, True, True, False]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(changes, min_size=1, max_size=12))
def test_the_counts_are_right_after_every_change(place: Place, way: str, history: list[Change]) -> None:
    place.run(*EMPTY, ADD_USERS)

    async def go_through() -> None:
        there: list[Strategy] = []
        async with opened_by(way, place.options) as database:
            store = SqlStrategyStore(database)
            for change in history:
                with suppress(StrategyNameTaken, StrategyNotFound, _Undone):
                    async with store.write(change.owner) as work:
                        await change.make(work, there)
                        if not change.is_kept:
                            raise _Undone
                assert place.run(MISTAKES) == ["0", "0"], change

    asyncio.run(go_through())


# If this failed, the property-based test above would prove nothing.
@pytest.mark.parametrize("wrong", ["(1, 1, 0)", "(2, 0, 0)"])
def test_wrong_counts_are_seen(place: Place, wrong: str) -> None:
    place.run(
        f"INSERT INTO tradingagents_owners (id, strategy_count, active_strategy_count) VALUES {wrong}",
        "INSERT INTO tradingagents_strategies (owner_id, name, parameters, is_active, created_at, updated_at)"
        " VALUES (2, 'a', '{}', true, '2024-01-15', '2024-01-15')",
    )
    assert place.run(MISTAKES) != ["0", "0"]


async def add(store: SqlStrategyStore, owner: int, name: str, *, is_active: bool = True) -> Strategy:
    async with store.write(owner) as work:
        return await work.strategies.add(StrategyContent(name=name, is_active=is_active), at=AT)


@pytest.mark.anyio
async def test_an_owner_has_a_row_from_its_first_strategy_on(place: Place, store: SqlStrategyStore) -> None:
    strategy = await add(store, 2, "a")
    assert place.run(COUNTS) == ["2|1|1"]
    async with store.write(2) as work:
        await work.strategies.remove(strategy.id)
    assert place.run(COUNTS) == ["2|0|0"]


@pytest.mark.anyio
async def test_an_owner_whose_strategies_were_all_removed_counts_anew(place: Place, store: SqlStrategyStore) -> None:
    for number in range(3):
        await add(store, 1, f"{number}", is_active=number != 1)
    await add(store, 2, "a")
    async with store.write(1) as work:
        await work.strategies.remove_all()
        assert (await work.strategies.add(StrategyContent(name="0"), at=AT)).id > 4
    assert place.run(COUNTS) == ["1|1|1", "2|1|1"]


@pytest.mark.anyio
@pytest.mark.parametrize("change", ["add", "replace"])
async def test_a_block_that_goes_on_after_a_refusal_keeps_and_counts_nothing(
    place: Place, store: SqlStrategyStore, change: str
) -> None:
    await add(store, 1, "taken")
    other = await add(store, 1, "other")
    taken = StrategyContent(name="taken", is_active=False)

    async def go_on_after_a_refusal() -> None:
        async with store.write(1) as work:
            await work.strategies.add(StrategyContent(name="new"), at=AT)
            with suppress(StrategyNameTaken):
                if change == "add":
                    await work.strategies.add(taken, at=AT)
                else:
                    await work.strategies.replace(Strategy.created(taken, id=other.id, owner_id=1, at=AT))

    with pytest.raises(BlockFailed):
        await go_on_after_a_refusal()
    assert place.run(COUNTS) == ["1|2|2"]
    assert place.run(MISTAKES) == ["0", "0"]


@pytest.mark.anyio
async def test_only_a_change_of_is_active_touches_the_owners_row(place: Place, store: SqlStrategyStore) -> None:
    place.run(
        *(
            ["CREATE TABLE touched (id INTEGER)"]
            if place.options.is_sqlite
            else ["CREATE TABLE touched (id INTEGER)", *_TRIGGER_FUNCTION]
        ),
        _TRIGGER_OF_SQLITE if place.options.is_sqlite else _TRIGGER_OF_POSTGRESQL,
    )
    try:
        strategy = await add(store, 1, "a")
        place.run("DELETE FROM touched")
        touched = []
        for content in (StrategyContent(name="b"), StrategyContent(name="b", is_active=False)):
            async with store.write(1) as work:
                await work.strategies.replace(Strategy.created(content, id=strategy.id, owner_id=1, at=AT))
            touched.append(place.run("SELECT count(*) FROM touched"))
        assert touched == [["0"], ["1"]]
    finally:
        place.run(f"DROP TRIGGER touch{'' if place.options.is_sqlite else ' ON tradingagents_owners'}")
        place.run("DROP TABLE touched")
        if not place.options.is_sqlite:
            place.run("DROP FUNCTION touch")


_TRIGGER_OF_SQLITE: Final = (
    "CREATE TRIGGER touch AFTER UPDATE ON tradingagents_owners BEGIN INSERT INTO touched VALUES (1); END"
)
_TRIGGER_FUNCTION: Final = (
    "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS"
    " 'BEGIN INSERT INTO touched VALUES (1); RETURN NULL; END'",
)
_TRIGGER_OF_POSTGRESQL: Final = (
    "CREATE TRIGGER touch AFTER UPDATE ON tradingagents_owners FOR EACH ROW EXECUTE FUNCTION touch()"
)
