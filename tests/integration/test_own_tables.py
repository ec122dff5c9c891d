"""Revisions 0006 and 0007: tables with a prefix of our own, beside the tables of another application."""

import asyncio
import re
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Final, TypeAlias

import pytest
from alembic import command
from alembic.config import Config
from postgresql import Database, program
from processes import CHECKOUT, KEY, SERVE, Machine, only_line
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tradingagents_adapters.database_url import read_database_url
from tradingagents_adapters.sql import migrate
from tradingagents_adapters.sql.migration_connection import transaction
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_core.errors import StoreUnavailable

Run: TypeAlias = Callable[..., list[str]]
"""Runs statements one after another on one connection. Returns all rows, with columns separated by `|`."""

EMAIL: Final = "ann@example.com"
PASSWORD: Final = "SecurePassword123"
TIME: Final = "'2024-01-15 10:00:00.123456'"

OLD_ROWS: Final = (
    "INSERT INTO users (email, password_hash, is_active, created_at, updated_at) VALUES "
    + ", ".join(f"('{n}@example.com', 'hash {n}', {n != 2}, {TIME}, {TIME})".lower() for n in (1, 2, 3, 4)),
    "DELETE FROM users WHERE id = 4",
    "INSERT INTO strategies (owner_id, name, description, parameters, is_active, created_at, updated_at) VALUES "
    + ", ".join(
        f"({owner}, '{name}', NULL, '{{\"b\": 1.0, \"a\": 1e22}}', {active}, {TIME}, {TIME})"
        for owner, name, active in ((1, "a", "true"), (3, "a", "false"), (1, "b", "false"), (1, "c", "true"))
    ),
    "DELETE FROM strategies WHERE id = 4",
)
USERS: Final = "id, email, password_hash, is_active, created_at, updated_at"
STRATEGIES: Final = "id, owner_id, name, description, parameters, is_active, created_at, updated_at"
NEW_USER: Final = (
    "INSERT INTO {} (email, password_hash, is_active, created_at, updated_at)"
    f" VALUES ('new@example.com', 'hash', true, {TIME}, {TIME}) RETURNING id"
)
NEW_STRATEGY: Final = (
    "INSERT INTO {} (owner_id, name, parameters, is_active, created_at, updated_at)"
    f" VALUES (3, 'new', '{{{{}}}}', true, {TIME}, {TIME}) RETURNING id"
)
COUNTS: Final = "SELECT id, strategy_count, active_strategy_count FROM tradingagents_owners ORDER BY id"
OLD_COUNTS: Final = "SELECT id, strategy_count, active_strategy_count FROM users ORDER BY id"


@dataclass(frozen=True)
class Place:
    """An empty database in which tests run statements, and a machine whose service uses the database."""

    machine: Machine
    run: Run
    schema: Callable[[], list[str]]
    """All objects in the database, in no particular order, without the rows."""

    @property
    def options(self) -> DatabaseOptions:
        url = self.machine.variables["DATABASE_URL"]
        return DatabaseOptions(url=read_database_url(url))

    def migrate(self, to: str | None = None) -> None:
        # In this process: a command takes a second to start.
        asyncio.run(migrate(self.options, to=to))

    def rows(self, prefix: str) -> list[str]:
        failures = f"SELECT * FROM {prefix}login_failures" if prefix or "login_failures" in str(self.schema()) else ""
        return self.run(
            f"SELECT {USERS} FROM {prefix}users ORDER BY id",
            f"SELECT {STRATEGIES} FROM {prefix}strategies ORDER BY id",
            *([failures] if failures else []),
        )


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "postgresql":
        database: Database = request.getfixturevalue("empty_database")
        machine = Machine(tmp_path, {"DATABASE_URL": database.setting, "JWT_SECRET_KEY": KEY})
        return Place(machine, database.sql, lambda: schema_of_postgresql(database))
    file = tmp_path / "tradingagents.db"

    def run(*statements: str) -> list[str]:
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            return ["|".join(map(str, row)) for each in statements for row in connection.execute(each).fetchall()]

    def schema() -> list[str]:
        # SQLite quotes the name of a renamed table, and the constraint of alembic's table keeps its old name.
        found = run("SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE '%alembic_version%'")
        return sorted(each.replace('"', "") for each in found)

    return Place(Machine(tmp_path, {"DATABASE_URL": f"sqlite:///{file}", "JWT_SECRET_KEY": KEY}), run, schema)


def schema_of_postgresql(database: Database) -> list[str]:
    dumped = program("pg_dump", "--no-password", "--schema-only", database.dsn)
    return sorted(line for line in dumped.splitlines() if line and not line.startswith(("--", "\\")))


# With data


@pytest.mark.parametrize("oldest", ["0001", "0003", "0005"])
def test_everything_is_kept_on_the_way_up_and_down_and_ids_go_on(place: Place, oldest: str) -> None:
    place.migrate(oldest)
    place.run(*OLD_ROWS)
    if oldest != "0001":
        place.run(f"INSERT INTO login_failures VALUES ('key', 3, {TIME})")
    before = place.rows("")

    place.migrate()
    assert place.rows("tradingagents_") == before
    assert place.run(COUNTS) == ["1|2|1", "3|1|0"]
    assert place.run(NEW_USER.format("tradingagents_users")) == ["5"]
    assert place.run(NEW_STRATEGY.format("tradingagents_strategies")) == ["5"]
    place.run("DELETE FROM tradingagents_strategies WHERE id = 5", "DELETE FROM tradingagents_users WHERE id = 5")
    assert place.run("SELECT oldest_version FROM tradingagents_schema_needs") == ["2.0.0"]

    place.migrate("0005")
    assert place.rows("")[: len(before)] == before
    assert place.run(OLD_COUNTS) == ["1|2|1", "2|0|0", "3|1|0"]
    assert place.run(NEW_STRATEGY.format("strategies"), NEW_USER.format("users")) == ["6", "6"]
    assert place.run(OLD_COUNTS) == ["1|2|1", "2|0|0", "3|2|1", "6|0|0"]
    place.run("DELETE FROM strategies WHERE id = 6", "DELETE FROM users WHERE id = 6")
    place.migrate(oldest)
    assert place.rows("")[: len(before)] == before


def test_ids_go_on_though_all_rows_were_removed(place: Place) -> None:
    place.migrate("0005")
    place.run(*OLD_ROWS, "DELETE FROM strategies", "DELETE FROM users")
    place.migrate()
    place.migrate("0005")
    place.migrate()
    assert place.run(NEW_USER.format("tradingagents_users")) == ["5"]
    assert place.run(NEW_STRATEGY.format("tradingagents_strategies")) == ["5"]


def test_an_older_schema_is_migrated_to_what_an_empty_database_gets(place: Place) -> None:
    place.migrate()
    fresh = place.schema()
    place.migrate("0005")
    older = place.schema()
    place.migrate()
    assert place.schema() == fresh
    place.migrate("base")
    place.migrate("0005")
    assert place.schema() == older


def test_an_owner_who_is_no_user_is_refused_on_the_way_back(place: Place) -> None:
    place.migrate()
    place.run(NEW_STRATEGY.format("tradingagents_strategies"))
    before = place.schema()
    refused = place.machine.run("tradingagents", "migrate", "--to", "0005")
    assert "strategies of other owners (1)" in only_line(refused)
    assert (refused.returncode, place.schema()) == (1, before)


# Sessions and API keys

NEW_SESSION: Final = (
    "INSERT INTO tradingagents_sessions (user_id, created_at, last_used_at, expires_at)"
    f" VALUES (1, {TIME}, {TIME}, {TIME}) RETURNING id"
)
NEW_API_KEY: Final = (
    "INSERT INTO tradingagents_api_keys (user_id, name, scopes, prefix, key_hash, created_at)"
    f" VALUES (1, 'bot', 'strategies:read', 'ta_', 'hash', {TIME}) RETURNING id"
)


def test_a_schema_without_sessions_gets_their_tables_and_keeps_its_accounts(place: Place) -> None:
    place.migrate()
    fresh = place.schema()
    place.migrate("0006")
    place.run(NEW_USER.format("tradingagents_users"), NEW_STRATEGY.format("tradingagents_strategies"))
    before = place.rows("tradingagents_")
    place.migrate()
    assert (place.schema(), place.rows("tradingagents_")) == (fresh, before)
    assert place.run(NEW_SESSION, NEW_API_KEY) == ["1", "1"]


def test_sessions_and_api_keys_are_not_dropped_unless_that_is_said(place: Place) -> None:
    place.migrate()
    place.run(NEW_USER.format("tradingagents_users"), NEW_SESSION, NEW_SESSION, NEW_API_KEY)
    before, accounts = place.schema(), place.rows("tradingagents_")
    refused = place.machine.run("tradingagents", "migrate", "--to", "0006")
    assert "drops tradingagents_sessions (2 rows), tradingagents_api_keys (1 row)" in only_line(refused)
    assert (refused.returncode, place.schema()) == (1, before)

    gone = place.machine.run("tradingagents", "migrate", "--to", "0006", "--yes")
    assert gone.returncode == 0, gone.stderr
    assert not re.search("tradingagents_(sessions|refresh_tokens|api_keys)", str(place.schema()))
    assert place.rows("tradingagents_") == accounts


# Beside another application


@dataclass(frozen=True)
class Neighbour:
    """Another application's tables."""

    statements: Sequence[str]

    def rows(self, run: Run) -> list[str]:
        return run(
            *(f"SELECT * FROM {re.split(r'[ (]+', each)[2]}" for each in self.statements if each.startswith("CREATE"))
        )


NEIGHBOURS: Final = {
    "of the same names": Neighbour(
        (
            "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, password_hash TEXT)",
            "INSERT INTO users VALUES (1, 'theirs@example.com', 'theirs')",
            "CREATE TABLE strategies (id INTEGER PRIMARY KEY, owner_id INTEGER, parameters TEXT)",
            "INSERT INTO strategies VALUES (1, 1, 'theirs')",
            "CREATE TABLE login_failures (id INTEGER)",
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)",
            "INSERT INTO alembic_version VALUES ('0003')",
        )
    ),
    "with a hash for a revision": Neighbour(
        (
            "CREATE TABLE users (id INTEGER PRIMARY KEY)",
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)",
            "INSERT INTO alembic_version VALUES ('3f2a9c0d1e')",
        )
    ),
    "with nothing but a revision": Neighbour(
        (
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)",
            "INSERT INTO alembic_version VALUES ('0005')",
        )
    ),
    "with a version table of another form": Neighbour(
        ("CREATE TABLE alembic_version (id INTEGER)", "CREATE TABLE strategies (id INTEGER)")
    ),
}


@pytest.mark.parametrize("neighbour", NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_the_service_lives_beside_another_application_and_leaves_nothing_behind(
    place: Place, neighbour: Neighbour
) -> None:
    place.run(*neighbour.statements)
    theirs, rows = place.schema(), neighbour.rows(place.run)

    place.migrate()
    create = ("tradingagents", "users", "create", EMAIL, "--password-stdin")
    assert place.machine.run(*create, typed=f"{PASSWORD}\n").returncode == 0
    with place.machine.serving(*SERVE) as server:
        headers = {"Authorization": f"Bearer {server.token(EMAIL, PASSWORD)}"}
        created = server.client.post("/api/v1/strategies", json={"name": "ours"}, headers=headers)
        assert created.status_code == 201
    assert place.run("SELECT name FROM tradingagents_strategies") == ["ours"]
    assert neighbour.rows(place.run) == rows

    gone = place.machine.run("tradingagents", "migrate", "--to", "base", "--yes")
    assert gone.returncode == 0, gone.stderr
    left = [line for line in place.schema() if "sqlite_sequence" not in line]
    assert (left, neighbour.rows(place.run)) == (theirs, rows)


@pytest.mark.parametrize("name", ["users", "strategies", "login_failures", "alembic_version"])
def test_going_back_to_names_that_are_taken_is_refused_in_one_line_before_anything_is_done(
    place: Place, name: str
) -> None:
    place.migrate()
    place.run(f"CREATE TABLE {name} (id INTEGER)")
    before = place.schema()
    for revision in ("0005", "0001"):
        refused = place.machine.run("tradingagents", "migrate", "--to", revision)
        assert f"the name {name}, which another application's" in only_line(refused)
        assert (refused.returncode, place.schema()) == (1, before)


@pytest.mark.parametrize("name", ["users", "strategies", "alembic_version"])
def test_an_older_schema_is_not_made_where_its_names_are_taken(place: Place, name: str) -> None:
    place.run(f"CREATE TABLE {name} (id INTEGER)")
    before = place.schema()
    refused = place.machine.run("tradingagents", "migrate", "--to", "0003")
    assert name in only_line(refused)
    assert (refused.returncode, place.schema()) == (1, before)


# Older code


@pytest.fixture
def older_migrations(tmp_path: Path) -> Path:
    """The migrations of 1.0.0."""
    folder = tmp_path / "older"
    shutil.copytree(CHECKOUT / "migrations" / "versions", folder / "versions")
    for newer in ("0004", "0005", "0006", "0007"):
        (file,) = (folder / "versions").glob(f"{newer}_*.py")
        file.unlink()
    (folder / "env.py").write_text(
        dedent(
            """
            from alembic import context

            context.configure(connection=context.config.attributes["connection"])
            context.run_migrations()
            """
        )
    )
    return folder


@pytest.mark.parametrize("start", ["", "0003"])
def test_the_migrations_of_older_code_fail_as_a_whole_over_this_schema(
    place: Place, older_migrations: Path, start: str
) -> None:
    if start:
        place.migrate(start)
    place.migrate()
    before = place.schema()

    def upgrade(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(older_migrations))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async def started() -> None:
        async with transaction(place.options) as connection:
            await connection.run_sync(upgrade)

    with pytest.raises((DBAPIError, StoreUnavailable)) as refused:
        asyncio.run(started())
    reason = refused.value.reason if isinstance(refused.value, StoreUnavailable) else str(refused.value)
    assert re.search("ix_strategies_owner_id_id_active.* already exists", reason)
    assert place.schema() == before
