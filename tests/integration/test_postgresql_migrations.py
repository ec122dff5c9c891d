"""Migrations of PostgreSQL, by `alembic` as the reference uses it and by the service itself."""

import shutil
from pathlib import Path
from subprocess import CompletedProcess
from typing import Final

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from postgresql import Database
from processes import CHECKOUT, KEY, UVICORN, Machine, at_once, only_line

COMMAND: Final = "tradingagents migrate"


def revisions() -> list[str]:
    """All revisions, oldest first."""
    config = Config()
    config.set_main_option("script_location", str(CHECKOUT / "migrations"))
    return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]


REVISIONS: Final = revisions()


def checkout_in(folder: Path, database: Database) -> Machine:
    """The migrations of a checkout, for a database."""
    shutil.copy(CHECKOUT / "alembic.ini", folder)
    shutil.copytree(CHECKOUT / "migrations", folder / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    return Machine(folder, {"DATABASE_URL": database.setting, "JWT_SECRET_KEY": KEY})


@pytest.fixture
def checkout(tmp_path: Path, empty_database: Database) -> Machine:
    return checkout_in(tmp_path, empty_database)


@pytest.fixture
def migrated_checkout(tmp_path: Path, database: Database) -> Machine:
    return checkout_in(tmp_path, database)


def alembic(machine: Machine, *arguments: str) -> CompletedProcess[str]:
    ended = machine.run("alembic", *arguments)
    assert ended.returncode == 0, ended.stderr
    return ended


def tables(database: Database) -> set[str]:
    return set(database.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))


def version(database: Database) -> list[str]:
    return [
        revision
        for table in sorted(tables(database))
        if table.endswith("alembic_version")
        for revision in database.sql(f"SELECT version_num FROM {table}")
    ]


def test_of_four_that_migrate_an_empty_database_at_once_all_succeed(checkout: Machine) -> None:
    ended = at_once(lambda _: checkout.run("alembic", "upgrade", "head"), range(4))
    assert [each.returncode for each in ended] == [0, 0, 0, 0], [each.stderr for each in ended]
    assert sum(each.stderr.count("Running upgrade") for each in ended) == len(REVISIONS)


def test_of_four_services_that_start_on_an_empty_database_at_once_all_come_up(
    checkout: Machine, empty_database: Database
) -> None:
    machine = checkout.given(MIGRATE_ON_START="true")

    def start_and_stop(_: int) -> CompletedProcess[str]:
        with machine.serving(*UVICORN) as server:
            login = server.log_in("nobody@example.com", "SecurePassword123")
            server.stop()
            return CompletedProcess(UVICORN, login.status_code, server.output())

    ended = at_once(start_and_stop, range(4))
    assert [each.returncode for each in ended] == [401] * 4, [each.stdout for each in ended]
    assert {"tradingagents_users", "tradingagents_strategies"} <= tables(empty_database)


@pytest.mark.parametrize("revision", REVISIONS)
def test_each_revision_goes_up_down_and_up(checkout: Machine, empty_database: Database, revision: str) -> None:
    seen = []
    for arguments in (("upgrade", revision), ("downgrade", "-1"), ("upgrade", revision)):
        alembic(checkout, *arguments)
        seen.append((version(empty_database), tables(empty_database)))
    assert seen[0] == seen[2]
    assert seen[0][0] == [revision]
    assert seen[1] != seen[0]


def test_the_migrations_lead_to_exactly_the_tables_of_the_code(migrated_checkout: Machine) -> None:
    assert "No new upgrade operations detected." in alembic(migrated_checkout, "check").stdout


@pytest.mark.parametrize("by_way_of", [(), ("0005",)])
def test_going_down_to_the_beginning_leaves_nothing(
    migrated_checkout: Machine, database: Database, by_way_of: tuple[str, ...]
) -> None:
    for revision in (*by_way_of, "base"):
        alembic(migrated_checkout, "downgrade", revision)
    assert tables(database) == set()
    functions = "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    assert database.sql(functions) == []
    assert database.sql("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace") == []
    assert database.sql("SELECT typname FROM pg_type WHERE typtype = 'e'") == []


@pytest.mark.parametrize("found", ["empty", "old"])
def test_a_service_refuses_another_schema_in_one_line_that_names_the_command(
    tmp_path: Path, empty_database: Database, found: str
) -> None:
    if found == "old":
        empty_database.sql(
            "CREATE TABLE tradingagents_alembic_version (version_num varchar(32) NOT NULL)",
            "INSERT INTO tradingagents_alembic_version VALUES ('0000')",
        )
    before = tables(empty_database)
    machine = Machine(tmp_path, {"DATABASE_URL": empty_database.setting, "JWT_SECRET_KEY": KEY})
    refused = machine.run(*UVICORN, "--port", "0", "--log-level", "error")

    *said, uvicorns_own = refused.stderr.splitlines()
    assert len(said) == 1, refused.stderr
    assert f"run `{COMMAND}`" in said[0]
    assert uvicorns_own.endswith("Application startup failed. Exiting.")
    assert refused.returncode == 3
    assert tables(empty_database) == before


def test_the_commands_refuse_another_schema_in_one_line_that_names_the_command(
    tmp_path: Path, empty_database: Database
) -> None:
    refused = Machine(tmp_path, {"DATABASE_URL": empty_database.setting}).run("tradingagents", "users", "list")
    assert f"`{COMMAND}`" in only_line(refused)
    assert refused.returncode == 1


def test_the_command_that_is_named_lets_the_service_start(tmp_path: Path, empty_database: Database) -> None:
    machine = Machine(tmp_path, {"DATABASE_URL": empty_database.setting, "JWT_SECRET_KEY": KEY})
    migrated = machine.run(*COMMAND.split())
    assert migrated.returncode == 0, migrated.stderr

    with machine.serving(*UVICORN) as server:
        assert server.log_in("nobody@example.com", "SecurePassword123").status_code == 401
