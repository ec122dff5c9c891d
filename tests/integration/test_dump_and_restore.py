"""Dumps by the databases' own programs, in every format, and the service on the restored data."""

import asyncio
import re
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from in_process import Stores
from postgresql import Database, Databases, program
from processes import CHECKOUT

from tradingagents_adapters.database_url import read_database_url
from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql import open_checked_database
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.revision import REVISION
from tradingagents_core.domain.parameters import Parameters
from tradingagents_core.domain.secrets import hash_of
from tradingagents_core.domain.strategies import StrategyContent

COUNTS: Final = "SELECT id, strategy_count, active_strategy_count FROM tradingagents_owners ORDER BY id"
RIGHT_COUNTS: Final = ["1|3|2", "2|1|0"]
TIME: Final = "2024-01-15 00:00:00.000000"
ACCOUNT: Final = "id, email, password_hash, is_active, created_at, updated_at"
CONTENT: Final = "owner_id, name, parameters, is_active, created_at, updated_at"
LATER: Final = "2124-01-15 00:00:00.000000"
HASH: Final = hash_of("a secret")
FILLED: Final = (
    f"INSERT INTO tradingagents_users ({ACCOUNT}) VALUES "
    + ", ".join(f"({owner}, '{owner}@example.com', 'hash', true, '{TIME}', '{TIME}')" for owner in (1, 2, 3)),
    f"INSERT INTO tradingagents_strategies ({CONTENT}) VALUES "
    + ", ".join(
        f"({owner}, '{name}', '{{\"a\": 1}}', {active}, '{TIME}', '{TIME}')"
        for owner, name, active in ((1, "a", "true"), (1, "b", "true"), (1, "c", "false"), (2, "a", "false"))
    ),
    "INSERT INTO tradingagents_owners (id, strategy_count, active_strategy_count) VALUES (1, 3, 2), (2, 1, 0)",
    "INSERT INTO tradingagents_sessions (user_id, created_at, last_used_at, expires_at)"
    f" VALUES (1, '{TIME}', '{TIME}', '{LATER}')",
    "INSERT INTO tradingagents_refresh_tokens (token_hash, user_id, session_id, expires_at)"
    f" VALUES ('{HASH}', 1, 1, '{LATER}')",
    "INSERT INTO tradingagents_api_keys (user_id, name, scopes, prefix, key_hash, created_at)"
    f" VALUES (1, 'bot', 'strategies:read', 'ta_', '{HASH}', '{TIME}')",
)
TABLES: Final = ("users", "owners", "strategies", "sessions", "refresh_tokens", "api_keys")
IDS_OF_USERS: Final = "SELECT setval('tradingagents_users_id_seq', 3)"
"""The sequence of ids, as the service's own inserts would have left it."""

OWN_TABLES: Final = ("--exclude-table=tradingagents_alembic_version", "--exclude-table=tradingagents_schema_needs")


@dataclass(frozen=True)
class Form:
    """Options of pg_dump, one set for each dump, and whether a migrated or an empty database is the target of the
    restore."""

    dumps: Sequence[Sequence[str]]
    into_migrated: bool = False
    restore: Sequence[str] = ()
    """Further options of pg_restore, for the formats that it reads."""


FORMS: Final = {
    "plain": Form([()]),
    "custom": Form([("--format=custom",)]),
    "directory": Form([("--format=directory",)]),
    "directory, by two jobs": Form([("--format=directory",)], restore=("--jobs=2",)),
    "tar": Form([("--format=tar",)]),
    "inserts": Form([("--inserts",)]),
    "inserts with columns, many rows each": Form([("--column-inserts", "--rows-per-insert=100")]),
    "clean": Form([("--clean", "--if-exists")], into_migrated=True),
    "custom, clean": Form([("--format=custom",)], into_migrated=True, restore=("--clean",)),
    "schema only, then data only": Form([("--schema-only",), ("--data-only",)]),
    "schema only, then data only, as inserts": Form([("--schema-only",), ("--data-only", "--inserts")]),
    "sections": Form([("--section=pre-data",), ("--section=data",), ("--section=post-data",)]),
    "data only": Form([("--data-only", *OWN_TABLES)], into_migrated=True),
    "data only, as inserts": Form([("--data-only", "--inserts", *OWN_TABLES)], into_migrated=True),
    "data only, without triggers": Form([("--data-only", "--disable-triggers", *OWN_TABLES)], into_migrated=True),
    "data only, custom": Form([("--data-only", "--format=custom", *OWN_TABLES)], into_migrated=True),
    "data only, a table at a time": Form(
        [("--data-only", f"--table=tradingagents_{table}") for table in TABLES],
        into_migrated=True,
    ),
}


@pytest.fixture
def filled(database: Database) -> Database:
    database.sql(*FILLED, IDS_OF_USERS)
    return database


@pytest.fixture
def dump(filled: Database, tmp_path: Path) -> Callable[..., Path]:
    """Dumps the filled database with these options."""

    def dumped(*options: str) -> Path:
        file = tmp_path / f"dump{len(list(tmp_path.iterdir()))}"
        program("pg_dump", "--no-password", *options, f"--file={file}", filled.dsn)
        return file

    return dumped


def restore(dump: Path, target: Database, options: Sequence[str], *, stops_at_errors: bool = True) -> None:
    if dump.is_file() and dump.read_bytes().startswith(b"--"):
        stop = ("--set", "ON_ERROR_STOP=1") if stops_at_errors else ()
        program("psql", "--no-psqlrc", "--quiet", *stop, f"--file={dump}", target.dsn)
    else:
        program("pg_restore", "--exit-on-error", *options, f"--dbname={target.dsn}", str(dump))


@dataclass(frozen=True)
class Found:
    """What the service finds in a restored database."""

    strategies: Sequence[str]
    total: int
    user_of_the_session: int | None
    user_of_the_api_key: int | None
    new_user: int


EVERYTHING: Final = Found(["a", "b", "c", "new"], total=4, user_of_the_session=1, user_of_the_api_key=1, new_user=4)


async def used(settings: DatabaseOptions) -> Found:
    """Store a strategy and an account, and look for what was restored."""
    at = datetime(2024, 1, 16, tzinfo=UTC)
    content = StrategyContent(name="new", description=None, parameters=Parameters.from_store("{}"), is_active=True)
    async with open_checked_database(settings, migrates=settings.is_sqlite) as database:
        await database.readiness.prepare()
        stores = Stores.over(database)
        async with stores.strategies.write(1) as work:
            await work.strategies.add(content, at=at)
        user = await stores.accounts.add_user(email="new@example.com", password_hash="hash", at=at)
        async with stores.strategies.read() as view:
            page = await view.strategies.list(owner_id=1, skip=0, limit=10, active_only=False)
        async with stores.accounts.read() as accounts:
            session = await accounts.sessions.find_by_refresh_token(HASH)
            of_the_api_key = await accounts.api_keys.find_by_hash(HASH)
    return Found(
        [strategy.name for strategy in page.items],
        total=page.total,
        user_of_the_session=session and session.user_id,
        user_of_the_api_key=of_the_api_key and of_the_api_key[0].id,
        new_user=user.id,
    )


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_restored_dump_is_what_was_dumped_and_the_service_works_on_it(
    dump: Callable[..., Path], filled: Database, databases: Databases, migrated: Database, form: Form
) -> None:
    dumps = [dump(*options) for options in form.dumps]
    with databases.fresh(migrated if form.into_migrated else None) as restored:
        for each in dumps:
            restore(each, restored, form.restore)
        for table in TABLES:
            everything = f"SELECT * FROM tradingagents_{table} ORDER BY 1"
            assert restored.sql(everything) == filled.sql(everything)
        assert restored.sql(COUNTS) == RIGHT_COUNTS
        assert asyncio.run(used(DatabaseOptions(url=read_database_url(restored.setting)))) == EVERYTHING
        assert restored.sql(COUNTS) == ["1|4|3", "2|1|0"]


def test_data_restored_with_the_tables_of_the_migrations_is_complete_though_psql_complains(
    dump: Callable[..., Path], databases: Databases, migrated: Database
) -> None:
    data = dump("--data-only")
    with databases.fresh(migrated) as restored:
        restore(data, restored, (), stops_at_errors=False)
        assert restored.sql(COUNTS) == RIGHT_COUNTS
        assert asyncio.run(used(DatabaseOptions(url=read_database_url(restored.setting)))) == EVERYTHING


def test_the_data_of_an_older_schema_beside_the_revision_of_the_newest_is_refused_with_what_mends_it(
    dump: Callable[..., Path], filled: Database, databases: Databases, migrated: Database
) -> None:
    filled.sql("UPDATE tradingagents_alembic_version SET version_num = '0004'")
    data = dump("--data-only")
    with databases.fresh(migrated) as restored:
        restore(data, restored, ())
        with pytest.raises(ConfigurationError, match=f"0004 and {REVISION}.*: run DELETE FROM ") as refused:
            asyncio.run(used(DatabaseOptions(url=read_database_url(restored.setting))))
        restored.sql(str(refused.value).rpartition(": run ")[2])
        assert asyncio.run(used(DatabaseOptions(url=read_database_url(restored.setting)))) == EVERYTHING


def test_strategies_that_are_restored_without_their_owners_are_counted_by_the_documented_statement(
    dump: Callable[..., Path], databases: Databases, migrated: Database
) -> None:
    dumps = [dump("--data-only", f"--table=tradingagents_{table}") for table in ("users", "strategies")]
    with databases.fresh(migrated) as restored:
        restored.sql("INSERT INTO tradingagents_owners VALUES (1, 7, 7)")
        for each in dumps:
            restore(each, restored, ())
        restored.sql(documented_statement())
        assert restored.sql(COUNTS) == RIGHT_COUNTS


def documented_statement() -> str:
    """The documented statement that corrects wrong counts."""
    text = (CHECKOUT / "docs" / "postgresql.md").read_text()
    (statement,) = re.findall(r"```sql\n(INSERT INTO tradingagents_owners.*?)```", text, re.DOTALL)
    return str(statement)


# SQLite


@pytest.mark.parametrize("what", ["everything", "data only"])
def test_a_dump_of_a_sqlite_file_is_restored_with_the_right_counts(
    migrated_sqlite: Path, tmp_path: Path, what: str
) -> None:
    with closing(sqlite3.connect(shutil.copy(migrated_sqlite, tmp_path / "source.db"))) as source:
        for statement in FILLED:
            source.execute(statement)
        dumped = list(source.iterdump())
    restored = tmp_path / "restored.db"
    if what == "data only":
        shutil.copy(migrated_sqlite, restored)
        own = tuple(f'INSERT INTO "tradingagents_{table}"' for table in TABLES)
        dumped = [statement for statement in dumped if statement.startswith(own)]
    with closing(sqlite3.connect(restored)) as target:
        target.executescript("\n".join(dumped))
        target.commit()
        counts = ["|".join(map(str, row)) for row in target.execute(COUNTS)]
    assert counts == RIGHT_COUNTS
    settings = DatabaseOptions(url=read_database_url(f"sqlite:///{restored}"))
    assert asyncio.run(used(settings)) == EVERYTHING
