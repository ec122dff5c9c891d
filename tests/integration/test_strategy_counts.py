"""How many strategies an owner has, as the databases count it themselves: right whoever writes, and however."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgresql import Database
from processes import CHECKOUT, Machine

Run: TypeAlias = Callable[..., list[str]]
"""Runs statements one after another on one connection; the rows of all of them, columns parted by `|`."""

OWNERS: Final = (1, 2, 3)
COLUMNS: Final = "owner_id, name, parameters, is_active, created_at, updated_at"

EMPTY: Final = ("DELETE FROM strategies", "DELETE FROM users")
ADD_OWNERS: Final = (
    "INSERT INTO users (id, email, password_hash, is_active, created_at, updated_at) VALUES "
    + ", ".join(f"({owner}, '{owner}@example.com', 'hash', true, '2024-01-15', '2024-01-15')" for owner in OWNERS)
)
COUNTS: Final = "SELECT id, strategy_count, active_strategy_count FROM users ORDER BY id"
COUNTED: Final = (
    "SELECT users.id, count(strategies.id), count(CASE WHEN strategies.is_active THEN 1 END)"
    " FROM users LEFT JOIN strategies ON owner_id = users.id GROUP BY users.id ORDER BY users.id"
)
MISTAKES: Final = (
    f"SELECT count(*) FROM (SELECT * FROM ({COUNTS}) AS told EXCEPT SELECT * FROM ({COUNTED}) AS counted) AS wrong"
)


def row(owner: int, name: str, *, is_active: bool) -> str:
    return f"({owner}, '{name}', '{{}}', {str(is_active).lower()}, '2024-01-15', '2024-01-15')"


owners = st.sampled_from(OWNERS)
flags = st.sampled_from(["true", "false", "NOT is_active", "is_active"])
some_rows = st.builds("id % {} = {}".format, st.integers(1, 4), st.integers(0, 3)) | st.builds(
    "owner_id = {}".format, owners
)
new_rows = st.lists(st.tuples(owners, st.booleans()), min_size=1, max_size=5)
# No two names are alike, so that a strategy can go to any owner.
additions = st.builds(
    lambda rows, label: (
        f"INSERT INTO strategies ({COLUMNS}) VALUES "
        + ", ".join(row(owner, f"{label} {number}", is_active=active) for number, (owner, active) in enumerate(rows))
    ),
    new_rows,
    st.uuids(),
)
changes = st.builds(
    "UPDATE strategies SET {} WHERE {}".format,
    st.builds("is_active = {}".format, flags)
    | st.builds("owner_id = {}".format, owners | st.just("owner_id % 3 + 1"))
    | st.builds("owner_id = {}, is_active = {}".format, owners | st.just("owner_id % 3 + 1"), flags)
    | st.just("description = 'changed'"),
    some_rows,
)
removals = st.builds("DELETE FROM strategies WHERE {}".format, some_rows)
statements = st.lists(additions, min_size=1, max_size=2).flatmap(
    lambda first: st.lists(additions | changes | removals, max_size=8).map(lambda others: first + others)
)


def sqlite_run(file: Path) -> Run:
    def run(*statements: str) -> list[str]:
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            return ["|".join(map(str, row)) for each in statements for row in connection.execute(each)]

    return run


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Run:
    return sqlite_run(Path(shutil.copy(migrated_sqlite, tmp_path_factory.mktemp("counts") / "counts.db")))


@pytest.fixture(scope="module")
def postgresql(databases, migrated: Database) -> Iterator[Run]:
    with databases.fresh(migrated) as database:
        yield database.sql


@pytest.fixture(params=["sqlite", "postgresql"])
def run(request: pytest.FixtureRequest) -> Run:
    return request.getfixturevalue(request.param)


@pytest.fixture
def run_with_owners(run: Run) -> Run:
    run(*EMPTY, ADD_OWNERS)
    return run


# Every example begins with an empty database.
several = settings(max_examples=40, suppress_health_check=list(HealthCheck))


@several
@given(history=statements)
def test_the_counts_are_right_after_every_statement(run: Run, history: list[str]) -> None:
    checked = [each for statement in history for each in (statement, MISTAKES)]
    assert run(*EMPTY, ADD_OWNERS, *checked) == ["0"] * len(history)


@several
@given(before=statements, undone=statements, after=statements)
def test_the_counts_are_right_after_a_transaction_that_was_rolled_back(
    run: Run, before: list[str], undone: list[str], after: list[str]
) -> None:
    checked = ("BEGIN", *undone, MISTAKES, "ROLLBACK", MISTAKES, *after, MISTAKES)
    assert run(*EMPTY, ADD_OWNERS, *before, *checked) == ["0", "0", "0"]


# If this failed, the properties above would prove nothing.
def test_a_wrong_count_is_seen(run_with_owners: Run) -> None:
    assert run_with_owners("UPDATE users SET strategy_count = 1 WHERE id = 2", MISTAKES) == ["1"]


def test_a_statement_that_fails_half_way_counts_nothing(run_with_owners: Run) -> None:
    run_with_owners(f"INSERT INTO strategies ({COLUMNS}) VALUES {row(1, 'taken', is_active=True)}")
    with pytest.raises((AssertionError, sqlite3.IntegrityError)):
        run_with_owners(
            f"INSERT INTO strategies ({COLUMNS}) VALUES"
            f" {row(1, 'new', is_active=True)}, {row(1, 'taken', is_active=False)}"
        )
    assert run_with_owners(COUNTS) == ["1|1|1", "2|0|0", "3|0|0"]


def test_a_row_that_is_changed_because_it_is_there_already_is_counted_once(run_with_owners: Run) -> None:
    for is_active in (True, False):
        run_with_owners(
            f"INSERT INTO strategies ({COLUMNS}) VALUES"
            f" {row(1, 'same', is_active=is_active)}, {row(1, f'other {is_active}', is_active=True)}"
            " ON CONFLICT (owner_id, name) DO UPDATE SET is_active = excluded.is_active"
        )
    assert run_with_owners(COUNTS) == ["1|3|2", "2|0|0", "3|0|0"]


def test_truncating_counts_nothing(postgresql: Run) -> None:
    added = f"INSERT INTO strategies ({COLUMNS}) VALUES {row(1, 'gone', is_active=True)}"
    assert postgresql(*EMPTY, ADD_OWNERS, added, "TRUNCATE strategies", COUNTS) == ["1|0|0", "2|0|0", "3|0|0"]


# Migrating


@pytest.fixture(params=["sqlite", "postgresql"])
def checkout(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Machine, Run]:
    """The migrations for a database that has been brought to the revision before the counts."""
    shutil.copy(CHECKOUT / "alembic.ini", tmp_path)
    shutil.copytree(CHECKOUT / "migrations", tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    if request.param == "sqlite":
        machine = Machine(tmp_path, {"DATABASE_URL": "sqlite+aiosqlite:///./old.db"})
        run = sqlite_run(tmp_path / "old.db")
    else:
        database: Database = request.getfixturevalue("empty_database")
        machine, run = Machine(tmp_path, {"DATABASE_URL": database.setting}), database.sql
    migrate(machine, "upgrade", "0002")
    run(ADD_OWNERS)
    return machine, run


def migrate(machine: Machine, *where: str) -> None:
    ended = machine.run("alembic", *where)
    assert ended.returncode == 0, ended.stderr


def test_migrating_counts_what_is_there(checkout: tuple[Machine, Run]) -> None:
    machine, run = checkout
    rows = [row(1, "a", is_active=True), row(1, "b", is_active=False), row(3, "a", is_active=False)]
    run(f"INSERT INTO strategies ({COLUMNS}) VALUES {', '.join(rows)}")
    migrate(machine, "upgrade", "head")
    assert run(COUNTS) == ["1|2|1", "2|0|0", "3|1|0"]


def test_what_is_written_while_the_counts_are_gone_is_counted_when_they_come_back(
    checkout: tuple[Machine, Run],
) -> None:
    machine, run = checkout
    migrate(machine, "upgrade", "head")
    run(f"INSERT INTO strategies ({COLUMNS}) VALUES {row(1, 'a', is_active=True)}")
    migrate(machine, "downgrade", "0002")
    run(f"INSERT INTO strategies ({COLUMNS}) VALUES {row(1, 'b', is_active=True)}, {row(2, 'a', is_active=False)}")
    migrate(machine, "upgrade", "head")
    run(f"INSERT INTO strategies ({COLUMNS}) VALUES {row(2, 'b', is_active=True)}")
    assert run(COUNTS) == ["1|2|2", "2|2|1", "3|0|0"]


def test_going_back_leaves_no_function_behind(empty_database: Database, tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"DATABASE_URL": empty_database.setting})
    for where in (("upgrade", "head"), ("downgrade", "0002")):
        migrate(machine, "--config", str(CHECKOUT / "alembic.ini"), *where)
    functions = "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    assert empty_database.sql(functions) == []
