"""Alembic as the reference uses it, in a copy of a checkout."""

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from typing import Final

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from processes import CHECKOUT, Machine, at_once, only_line

from tradingagents_adapters.sql.revision import REVISION

DESCRIPTION: Final = '        sa.Column("description", sa.Text(), nullable=True),\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Machine:
    """A copy of the migrations, and a database that does not exist yet. There is no key for tokens."""
    shutil.copy(CHECKOUT / "alembic.ini", tmp_path)
    shutil.copytree(CHECKOUT / "migrations", tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    return Machine(tmp_path, {"DATABASE_URL": "sqlite+aiosqlite:///./migrated.db"})


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the newest tables."""
    folder = tmp_path_factory.mktemp("database")
    machine = Machine(folder, {"DATABASE_URL": "sqlite+aiosqlite:///./migrated.db"})
    alembic(machine, "--config", str(CHECKOUT / "alembic.ini"), "upgrade", "head")
    return folder / "migrated.db"


@pytest.fixture
def migrated_checkout(checkout: Machine, database: Path) -> Machine:
    shutil.copy(database, checkout.folder)
    return checkout


def alembic(machine: Machine, *arguments: str) -> CompletedProcess[str]:
    ended = machine.run("alembic", *arguments)
    assert ended.returncode == 0, ended.stderr
    return ended


def schema(machine: Machine) -> set[tuple[str, str]]:
    """The SQL of all tables, indexes and triggers."""
    with closing(sqlite3.connect(machine.folder / "migrated.db")) as connection:
        # SQLite quotes the name of a renamed table.
        return set(connection.execute("SELECT name, replace(sql, '\"', '') FROM sqlite_schema"))


def revisions(machine: Machine) -> set[Path]:
    return set((machine.folder / "migrations" / "versions").glob("*.py"))


def test_the_newest_migration_is_the_one_that_the_code_is_written_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(CHECKOUT / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


def test_head_can_be_left_and_reached_again(checkout: Machine) -> None:
    seen = []
    for arguments in (("upgrade", "head"), ("downgrade", "-1"), ("upgrade", "head")):
        alembic(checkout, *arguments)
        seen.append(schema(checkout))
    assert seen[0] == seen[2] != seen[1]


def test_the_migrations_lead_to_exactly_the_tables_of_the_code(migrated_checkout: Machine) -> None:
    assert "No new upgrade operations detected." in alembic(migrated_checkout, "check").stdout


def test_a_new_migration_that_has_nothing_to_change_can_be_made_and_run(migrated_checkout: Machine) -> None:
    before = revisions(migrated_checkout)
    alembic(migrated_checkout, "revision", "--autogenerate", "-m", "Description")
    (revision,) = revisions(migrated_checkout) - before
    alembic(migrated_checkout, "upgrade", "head")
    identifier = re.search(r'^revision = ["\'](\w+)["\']$', revision.read_text(), re.MULTILINE)
    assert identifier
    assert alembic(migrated_checkout, "current").stdout.split() == [identifier[1], "(head)"]


def test_a_column_that_the_database_lacks_is_seen_and_added_by_a_new_migration(checkout: Machine) -> None:
    (first,) = (checkout.folder / "migrations" / "versions").glob("0006_*.py")
    assert DESCRIPTION in first.read_text()
    first.write_text(first.read_text().replace(DESCRIPTION, ""))
    alembic(checkout, "upgrade", "head")
    before = revisions(checkout)
    alembic(checkout, "revision", "--autogenerate", "-m", "Add the description")
    (second,) = revisions(checkout) - before
    assert "add_column" in second.read_text()
    alembic(checkout, "upgrade", "head")
    alembic(checkout, "check")


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_of_four_that_migrate_an_empty_database_at_once_all_succeed(checkout: Machine, attempt: int) -> None:
    ended = at_once(lambda _: checkout.run("alembic", "upgrade", "head"), range(4))
    assert [each.returncode for each in ended] == [0, 0, 0, 0], [each.stderr for each in ended]
    assert sum(each.stderr.count("Running upgrade") for each in ended) == len(revisions(checkout))


def test_a_wrong_database_url_is_refused_in_one_line_that_names_the_variable(checkout: Machine) -> None:
    refused = checkout.given(DATABASE_URL="foo").run("alembic", "upgrade", "head")
    assert only_line(refused).startswith("error: DATABASE_URL ")
    assert refused.returncode == 1


def test_a_database_that_cannot_be_opened_is_refused_in_one_line(checkout: Machine) -> None:
    refused = checkout.given(DATABASE_URL="sqlite+aiosqlite:///./missing/some.db").run("alembic", "upgrade", "head")
    assert only_line(refused).startswith("error: DATABASE_URL ")
    assert refused.returncode == 1


def test_a_table_can_be_changed_that_has_rows(migrated_checkout: Machine) -> None:
    with closing(sqlite3.connect(migrated_checkout.folder / "migrated.db")) as connection:
        connection.execute(
            "INSERT INTO tradingagents_users (id, email, password_hash, is_active, created_at, updated_at)"
            " VALUES (1, 'a@b', 'hash', 1, '2024-01-15', '2024-01-15')"
        )
        connection.commit()
    before = revisions(migrated_checkout)
    alembic(migrated_checkout, "revision", "-m", "nickname")
    (revision,) = revisions(migrated_checkout) - before
    change = (
        'with op.batch_alter_table("tradingagents_users", recreate="always") as users:\n'
        '        users.add_column(sa.Column("nickname", sa.Text()))'
    )
    revision.write_text(revision.read_text().replace("pass", change, 1))
    alembic(migrated_checkout, "upgrade", "head")
    with closing(sqlite3.connect(migrated_checkout.folder / "migrated.db")) as connection:
        assert connection.execute("SELECT id, nickname FROM tradingagents_users").fetchall() == [(1, None)]
