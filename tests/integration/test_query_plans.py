"""The query plans of the stores' statements: every statement uses an index, however many rows there are."""

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import pytest
from postgresql import Database, Databases
from sqlalchemy import Executable, text
from sqlalchemy.engine import URL

from tradingagents_adapters.database_url import read_database_url
from tradingagents_adapters.sql import accounts, api_keys, login_failures, open_database, sessions, strategies
from tradingagents_adapters.sql.account_removals import ACCOUNT_REMOVALS
from tradingagents_adapters.sql.drivers.sqlite_values import as_column
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.strategy_changes import STRATEGY_CHANGES

OWNERS: Final = 401
NEWCOMER: Final = OWNERS
STRATEGIES: Final = 20_000
STRATEGIES_OF_ONE: Final = STRATEGIES // 10
SESSIONS: Final = 20_000

SEED: Final = (
    "INSERT INTO tradingagents_users (id, email, password_hash, is_active, created_at, updated_at)"
    f" WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {OWNERS})"
    " SELECT n, n || '@example.com', 'hash', true, '2024-01-15', '2024-01-15' FROM numbers",
    "INSERT INTO tradingagents_strategies (owner_id, name, parameters, is_active, created_at, updated_at)"
    f" WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {STRATEGIES})"
    f" SELECT CASE WHEN n % 10 = 0 THEN 1 ELSE n % ({OWNERS} - 1) + 1 END, 'strategy ' || n, '{{}}', n % 3 = 0,"
    " '2024-01-15', '2024-01-15' FROM numbers",
    "INSERT INTO tradingagents_strategies (owner_id, name, parameters, is_active, created_at, updated_at)"
    f" SELECT {NEWCOMER}, 'new ' || name, '{{}}', is_active, '2024-01-15', '2024-01-15' FROM tradingagents_strategies"
    " WHERE owner_id = 1",
    "INSERT INTO tradingagents_login_failures (key, failures, last_at)"
    " WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 3000)"
    " SELECT 'key ' || n, 1, '2024-01-15' FROM numbers",
    "INSERT INTO tradingagents_owners (id, strategy_count, active_strategy_count)"
    " SELECT owner_id, count(*), count(CASE WHEN is_active THEN 1 END) FROM tradingagents_strategies GROUP BY owner_id",
    "INSERT INTO tradingagents_owners (id, strategy_count, active_strategy_count)"
    f" WITH RECURSIVE numbers (n) AS (SELECT {OWNERS + 1} UNION ALL SELECT n + 1 FROM numbers WHERE n < 3000)"
    " SELECT n, 0, 0 FROM numbers",
    "INSERT INTO tradingagents_sessions (user_id, created_at, last_used_at, expires_at)"
    f" WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {SESSIONS})"
    f" SELECT CASE WHEN n % 10 = 0 THEN 1 ELSE n % ({OWNERS} - 1) + 1 END, CAST('2024-01-15' AS {{time}}),"
    " CAST('2024-01-15' AS {time}),"
    " CAST(CASE WHEN n % 50 = 0 THEN '2024-01-16' ELSE '2024-02-16' END AS {time}) FROM numbers",
    "INSERT INTO tradingagents_refresh_tokens (token_hash, user_id, session_id, expires_at)"
    " SELECT number || ' of ' || id, user_id, id, expires_at FROM tradingagents_sessions,"
    " (SELECT 1 AS number UNION ALL SELECT 2) AS numbers",
    "INSERT INTO tradingagents_api_keys (user_id, name, scopes, prefix, key_hash, created_at, expires_at)"
    " SELECT user_id, 'bot', 'strategies:read', 'ta_', 'hash of ' || id, created_at,"
    " CASE WHEN id % 3 = 0 THEN expires_at END FROM tradingagents_sessions",
    "ANALYZE",
)
"""Many owners with a few strategies each, one with a tenth of all strategies, the newest owner with as many, and many
owners without strategies. Users with a few sessions and API keys each, and one with a tenth of all.

`{time}` stands for the type of the times.
"""


_TIMES: Final = {"created_at": "2024-01-15", "updated_at": "2024-01-15"}
_USER: Final = {"user_id": 7}
_ACCOUNT: Final = {"email": "7@example.com", "password_hash": "hash", "is_active": True, **_TIMES}
_STRATEGY: Final = {"strategy_id": 42, "owner_id": 1}
_CONTENT: Final = {"name": "another", "description": "", "parameters": "{}", "is_active": True, **_TIMES}
_CHANGE: Final = {"of_owner": 1, "strategy_id": 42, **_CONTENT}
_KEYS: Final = {"keys": ["key 1", "key 2"]}
_ONE_STRATEGY: Final = {"pk_tradingagents_strategies", "ix_tradingagents_strategies_owner_id_id"}


class Asked(NamedTuple):
    """A statement of the stores with values, and the indexes that find its rows: any of them is right."""

    statement: Executable
    values: dict[str, Any]
    indexes: set[str]


ROWS: Final = {
    "a user by id": Asked(accounts._USER, _USER, {"pk_tradingagents_users"}),
    "a user by e-mail": Asked(accounts._USER_BY_EMAIL, {"email": "7@example.com"}, {"uq_tradingagents_users_email"}),
    "a user to replace": Asked(accounts._REPLACE, _USER | _ACCOUNT, {"pk_tradingagents_users"}),
    "a strategy": Asked(strategies._STRATEGY, _STRATEGY, _ONE_STRATEGY),
    "failures to find": Asked(login_failures._FIND, _KEYS, {"pk_tradingagents_login_failures"}),
    "failures to clear": Asked(login_failures._CLEAR, _KEYS, {"pk_tradingagents_login_failures"}),
    "failures to forget": Asked(
        login_failures._FORGET, {"forgotten": "2023-01-01"}, {"ix_tradingagents_login_failures_last_at"}
    ),
}


def _page(*, owner_id: int, skip: int, active_only: bool = False) -> Asked:
    # On PostgreSQL the primary key begins with the owner; on SQLite an index does.
    indexes = (
        {"ix_tradingagents_strategies_owner_id_id_active"}
        if active_only
        else {"pk_tradingagents_strategies", "ix_tradingagents_strategies_owner_id_id"}
    )
    return Asked(strategies._PAGE[active_only], {"owner_id": owner_id, "limit": 50, "skip": skip}, indexes)


_OF_USER: Final = {"user_id": 7, "session_id": 42, "api_key_id": 42, "but": 43, "now": "2024-01-17"}
_TOKEN: Final = {"token_hash": "1 of 42", "expires_at": "2024-02-16", "used_at": "2024-01-16"}
_KEY: Final = {
    "name": "bot",
    "scopes": "strategies:read",
    "prefix": "ta_",
    "key_hash": "hash of 42",
    "created_at": "2024-01-15",
    "expires_at": "2024-02-16",
    "last_used_at": "2024-01-16",
    "before": "2024-01-17",
}
_ACCOUNT_VALUES: Final = _OF_USER | _TOKEN | _KEY | {"limit": 50, "skip": 0}

_USERS_KEY: Final = "pk_tradingagents_users"
_SESSIONS_KEY: Final = "pk_tradingagents_sessions"
_SESSIONS_OF_USER: Final = "ix_tradingagents_sessions_user_id_expires_at"
_TOKENS_KEY: Final = "pk_tradingagents_refresh_tokens"
_TOKENS_OF_USER: Final = "ix_tradingagents_refresh_tokens_user_id_expires_at"
_TOKENS_OF_SESSION: Final = "ix_tradingagents_refresh_tokens_session_id"
_KEYS_KEY: Final = "pk_tradingagents_api_keys"
_KEYS_OF_USER: Final = "ix_tradingagents_api_keys_user_id_expires_at"
_KEY_BY_HASH: Final = "uq_tradingagents_api_keys_key_hash"

ACCOUNTS: Final[dict[str, tuple[Callable[[str], Sequence[Executable]], set[str]]]] = {
    "find a session": (lambda _: [sessions._FIND], {_SESSIONS_KEY, _USERS_KEY}),
    "find a session by a refresh token": (lambda _: [sessions._FIND_BY_TOKEN], {_TOKENS_KEY, _SESSIONS_KEY}),
    "list sessions": (lambda _: [sessions._PAGE], {_SESSIONS_OF_USER}),
    "get a session": (lambda _: [sessions._SESSION], {_SESSIONS_KEY}),
    "replace a session": (lambda _: [sessions._REPLACE], {_SESSIONS_KEY}),
    "find a refresh token": (lambda _: [sessions._TOKEN], {_TOKENS_KEY}),
    "put a refresh token": (lambda dialect: [sessions._PUT[dialect]], {_SESSIONS_KEY}),
    "remove a session": (lambda dialect: ACCOUNT_REMOVALS[dialect].session, {_TOKENS_OF_SESSION, _SESSIONS_KEY}),
    "remove all sessions": (
        lambda dialect: ACCOUNT_REMOVALS[dialect].all_sessions,
        {_TOKENS_OF_USER, _SESSIONS_OF_USER},
    ),
    "remove expired sessions": (
        lambda dialect: ACCOUNT_REMOVALS[dialect].expired,
        {_TOKENS_OF_USER, _TOKENS_OF_SESSION, _SESSIONS_OF_USER},
    ),
    "remove a user": (
        lambda dialect: ACCOUNT_REMOVALS[dialect].user,
        {_TOKENS_OF_USER, _SESSIONS_OF_USER, _KEYS_OF_USER, _USERS_KEY},
    ),
    "find an API key": (lambda _: [api_keys._FIND], {_KEYS_KEY}),
    "find an API key by its hash": (lambda _: [api_keys._FIND_BY_HASH], {_KEY_BY_HASH, _USERS_KEY}),
    "list API keys": (lambda _: [api_keys._PAGE], {_KEYS_OF_USER}),
    "get an API key": (lambda _: [api_keys._API_KEY], {_KEYS_KEY}),
    "count live API keys": (lambda _: [api_keys._COUNT_LIVE], {_KEYS_OF_USER}),
    "replace an API key": (lambda _: [api_keys._REPLACE], {_KEYS_KEY}),
    "remove an API key": (lambda _: [api_keys._REMOVE], {_KEYS_KEY}),
    "remove expired API keys": (lambda _: [api_keys._REMOVE_EXPIRED], {_KEYS_OF_USER}),
}
"""The statements on sessions and API keys for a dialect, and the indexes through which they find their rows."""

_OWNER: Final = "pk_tradingagents_owners"
CHANGES: Final = {
    "add": {_OWNER},
    "replace": {_OWNER, "pk_tradingagents_strategies"},
    "remove": {_OWNER, "pk_tradingagents_strategies"},
}
"""The indexes by which each change of a strategy finds its rows and the row of the owner."""

PAGES: Final = {
    "the first": _page(owner_id=1, skip=0),
    "a late one": _page(owner_id=1, skip=STRATEGIES_OF_ONE - 60),
    "the first of an owner with few": _page(owner_id=6, skip=0),
    "the first of active ones": _page(owner_id=1, skip=0, active_only=True),
    "a late one of active ones": _page(owner_id=1, skip=STRATEGIES_OF_ONE // 3 - 60, active_only=True),
}


class Read(NamedTuple):
    """How a plan reads a table: by an index or a full scan, and whether the plan sorts before it applies the limit."""

    through: str
    is_sorted: bool = False


class Planner(Protocol):
    """A database with many rows that explains the stores' statements."""

    dialect_name: str

    def reads(self, asked: Asked) -> list[Read]: ...


def _compiled(settings: DatabaseOptions, asked: Asked) -> tuple[str, list[Any]]:
    """The SQL of a statement, and its values in order."""
    compiled = open_database(settings).compiler.compiled(asked.statement)
    return compiled.sql, [asked.values[name] for name in compiled.names]


class SqlitePlanner:
    """Asks SQLite."""

    dialect_name = "sqlite"

    _NAMES: Final = {
        "sqlite_autoindex_tradingagents_users_1": "uq_tradingagents_users_email",
        "sqlite_autoindex_tradingagents_strategies_1": "uq_tradingagents_strategies_owner_id_name",
        "sqlite_autoindex_tradingagents_login_failures_1": "pk_tradingagents_login_failures",
        "sqlite_autoindex_tradingagents_refresh_tokens_1": "pk_tradingagents_refresh_tokens",
        "sqlite_autoindex_tradingagents_api_keys_1": "uq_tradingagents_api_keys_key_hash",
    }

    def __init__(self, file: Path) -> None:
        self._settings = DatabaseOptions(url=URL.create("sqlite+aiosqlite", database=str(file)))
        self._file = file

    def reads(self, asked: Asked) -> list[Read]:
        sql, values = _compiled(self._settings, asked)
        with closing(sqlite3.connect(self._file)) as connection:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", [as_column(value) for value in values]).fetchall()
        sorting = {parent for _, parent, _, detail in plan if "TEMP B-TREE" in detail}
        return [Read(through, parent in sorting) for _, parent, _, detail in plan if (through := self._through(detail))]

    def _through(self, detail: str) -> str | None:
        match re.match(r"(SCAN|SEARCH) (\w+)(?: USING (?:COVERING )?(?:INDEX )?(.*?) \()?", detail):
            case None:
                return None
            case found if found[2].startswith("anon") or found[2] in ("page", "counted", "json_each", "CONSTANT"):
                return None  # the page, after the limit; its total; a parameter that is a list or a row
            case found if found[1] == "SCAN":
                return f"all of {found[2]}"
            case found if found[3] == "INTEGER PRIMARY KEY":
                return f"pk_{found[2]}"
            case found:
                return self._NAMES.get(found[3], found[3])


class PostgresqlPlanner:
    """Asks PostgreSQL for the plan of a prepared statement: a custom plan for these values, or the generic plan."""

    dialect_name = "postgresql"

    def __init__(self, database: Database, mode: str) -> None:
        self._database = database
        self._mode = mode

    def reads(self, asked: Asked) -> list[Read]:
        sql, values = _compiled(DatabaseOptions(url=read_database_url(self._database.setting)), asked)
        given = ", ".join(f"ARRAY{value}" if isinstance(value, list) else f"'{value}'" for value in values)
        plan = self._database.sql(
            f"SET plan_cache_mode = {self._mode}",
            f"PREPARE asked AS {sql}",
            f"EXPLAIN (FORMAT JSON) EXECUTE asked({given})",
        )
        return list(self._reads(json.loads("\n".join(plan))[0]["Plan"], cut=False, is_sorted=False))

    def _reads(self, node: dict[str, Any], *, cut: bool, is_sorted: bool) -> Iterator[Read]:
        cut |= node["Node Type"] == "Limit"
        is_sorted |= cut and node["Node Type"].endswith("Sort")
        if node["Node Type"] == "Seq Scan":
            yield Read(f"all of {node['Relation Name']}", is_sorted)
        elif "Index Name" in node:
            yield Read(node["Index Name"], is_sorted)
        for part in node.get("Plans", ()):
            yield from self._reads(part, cut=cut, is_sorted=is_sorted)


@pytest.fixture(scope="module")
def crowded_file(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Path:
    file = Path(shutil.copy(migrated_sqlite, tmp_path_factory.mktemp("crowded") / "crowded.db"))
    with closing(sqlite3.connect(file)) as connection:
        for statement in SEED:
            connection.execute(statement.replace("{time}", "text"))
        connection.commit()
    return file


@pytest.fixture(scope="module")
def crowded_database(databases: Databases, migrated: Database) -> Iterator[Database]:
    with databases.fresh(migrated) as database:
        database.sql(*[statement.replace("{time}", "timestamptz") for statement in SEED])
        yield database


@pytest.fixture
def for_these_values(crowded_database: Database) -> Planner:
    return PostgresqlPlanner(crowded_database, "force_custom_plan")


@pytest.fixture(params=["sqlite", "postgresql"])
def planner(request: pytest.FixtureRequest) -> Planner:
    if request.param == "sqlite":
        return SqlitePlanner(request.getfixturevalue("crowded_file"))
    return PostgresqlPlanner(request.getfixturevalue("crowded_database"), "force_generic_plan")


@pytest.mark.parametrize("asked", ROWS.values(), ids=ROWS)
def test_a_row_is_found_through_an_index(planner: Planner, asked: Asked) -> None:
    assert {read.through for read in planner.reads(asked)} in [{index} for index in asked.indexes]


@pytest.mark.parametrize("asked", ROWS.values(), ids=ROWS)
def test_a_row_with_these_values_is_found_through_an_index(for_these_values: Planner, asked: Asked) -> None:
    assert {read.through for read in for_these_values.reads(asked)} in [{index} for index in asked.indexes]


def _account_reads(planner: Planner, name: str) -> set[str]:
    statements = ACCOUNTS[name][0](planner.dialect_name)
    return {
        read.through for statement in statements for read in planner.reads(Asked(statement, _ACCOUNT_VALUES, set()))
    }


@pytest.mark.parametrize("name", ACCOUNTS)
def test_sessions_and_api_keys_are_found_through_indexes(planner: Planner, name: str) -> None:
    assert _account_reads(planner, name) == ACCOUNTS[name][1]


@pytest.mark.parametrize("name", ACCOUNTS)
def test_sessions_and_api_keys_with_these_values_are_found_through_indexes(
    for_these_values: Planner, name: str
) -> None:
    assert _account_reads(for_these_values, name) <= {*ACCOUNTS[name][1], _SESSIONS_OF_USER, _TOKENS_OF_USER}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_finds_its_strategy_and_its_owners_counts_through_indexes(planner: Planner, change: str) -> None:
    statements = getattr(STRATEGY_CHANGES[planner.dialect_name], change)
    reads = [read for statement in statements for read in planner.reads(Asked(statement, _CHANGE, set()))]
    assert {read.through for read in reads} == CHANGES[change]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_with_these_values_reads_no_whole_table(for_these_values: Planner, change: str) -> None:
    (statement,) = getattr(STRATEGY_CHANGES["postgresql"], change)
    reads = for_these_values.reads(Asked(statement, _CHANGE, set()))
    assert {read.through for read in reads} <= CHANGES[change]


def test_all_strategies_of_an_owner_are_found_through_an_index_on_the_owner(planner: Planner) -> None:
    statements = STRATEGY_CHANGES[planner.dialect_name].remove_all
    reads = {read.through for statement in statements for read in planner.reads(Asked(statement, _CHANGE, set()))}
    indexes = [*_ONE_STRATEGY, "uq_tradingagents_strategies_owner_id_name"]
    assert reads in [{_OWNER, index} for index in indexes]


@pytest.mark.parametrize("asked", PAGES.values(), ids=PAGES)
def test_a_page_is_read_in_the_order_of_its_index(planner: Planner, asked: Asked) -> None:
    of_strategies = [read for read in planner.reads(asked) if "strategies" in read.through]
    assert of_strategies in [[Read(index)] for index in asked.indexes]


@pytest.mark.parametrize("asked", PAGES.values(), ids=PAGES)
def test_the_total_of_a_page_is_looked_up_not_counted(planner: Planner, asked: Asked) -> None:
    assert [read.through for read in planner.reads(asked) if "owners" in read.through] == [_OWNER]


@pytest.mark.anyio
@pytest.mark.parametrize("active_only", [False, True])
async def test_a_session_of_the_service_searches_nobody_elses_strategies_for_a_page(
    crowded_database: Database, active_only: bool
) -> None:
    asked = _page(owner_id=NEWCOMER, skip=0, active_only=active_only)
    settings = DatabaseOptions(url=read_database_url(crowded_database.setting))
    sql, values = _compiled(settings, asked)
    execute = f"EXECUTE asked({', '.join(map(str, values))})"
    async with open_database(settings) as connections:
        connection = await connections.acquire(to_write=False)
        await connection.execute(f"PREPARE asked AS {sql}")
        # The server makes custom plans at first. After these runs it has chosen between custom and generic plans.
        for _ in range(8):
            await connection.execute(execute)
        plan = [line for (line,) in await connection.fetch([text(f"EXPLAIN {execute}")], {})]
        await connections.release(connection)
    assert [index for index in asked.indexes if any(f"Index Scan using {index} " in line for line in plan)], plan


# A custom plan may sort an owner's strategies, or filter out others', where that is cheaper.
@pytest.mark.parametrize("asked", PAGES.values(), ids=PAGES)
def test_no_page_makes_the_server_read_a_whole_table(for_these_values: Planner, asked: Asked) -> None:
    reads = {read.through for read in for_these_values.reads(asked)}
    assert reads <= {_OWNER, "uq_tradingagents_strategies_owner_id_name", "pk_tradingagents_strategies", *asked.indexes}


def test_the_total_and_the_page_are_found_whatever_was_never_analysed(migrated_sqlite: Path) -> None:
    planner = SqlitePlanner(migrated_sqlite)
    found = {name: planner.reads(asked)[0] for name, asked in PAGES.items()}
    assert [name for name, asked in PAGES.items() if found[name] not in map(Read, asked.indexes)] == []


@pytest.mark.parametrize(
    "columns",
    [
        ("tradingagents_users", "email"),
        ("tradingagents_strategies", "owner_id,name"),
        ("tradingagents_api_keys", "key_hash"),
    ],
    ids=["e-mail", "name", "hash"],
)
def test_a_unique_index_keeps_a_value_from_being_taken_twice(
    database: Database, migrated_sqlite: Path, columns: tuple[str, str]
) -> None:
    table, names = columns
    on_postgresql = database.sql(
        "SELECT pg_get_indexdef(indexrelid) FROM pg_index"
        f" WHERE indisunique AND indisvalid AND NOT indisprimary AND indrelid = '{table}'::regclass"
    )
    with closing(sqlite3.connect(migrated_sqlite)) as connection:
        on_sqlite = connection.execute(
            f"SELECT (SELECT group_concat(name) FROM pragma_index_info(list.name)) FROM pragma_index_list('{table}')"
            " AS list WHERE \"unique\" AND origin = 'u'"
        ).fetchall()
    assert [index.partition("(")[2].replace(" ", "") for index in on_postgresql] == [f"{names})"]
    assert on_sqlite == [(names,)]
