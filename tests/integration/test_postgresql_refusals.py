"""Errors of PostgreSQL that an operator has to resolve: one line at the start, and 503 while the service runs."""

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from postgresql import Database, PostgresqlServer
from processes import KEY, SERVE, Machine, Server, only_line

ROLE: Final = "app"
PASSWORD: Final = "TheSecretOfTheRole"
EMAIL: Final = "user@example.com"
OWNERS_PASSWORD: Final = "SecurePassword123"

LIST: Final = ("tradingagents", "users", "list")
MIGRATE: Final = ("tradingagents", "migrate")
ALEMBIC: Final = ("alembic", "--config", str(Path(__file__).parents[2] / "alembic.ini"), "upgrade", "head")
GRANTED: Final = (
    f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {ROLE}",
    f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {ROLE}",
)


@dataclass(frozen=True)
class Fault:
    """A fault in a migrated database, the commands that it stops, and the text of their errors."""

    done: tuple[str, ...]
    said: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...] = (LIST,)
    password: str | None = PASSWORD


TABLES: Final = (
    *("users", "sessions", "refresh_tokens", "api_keys", "owners", "strategies", "login_failures"),
    *("schema_needs", "alembic_version"),
)
NOT_OURS: Final = "name a database in DATABASE_URL that is the service's own"
FAULTS: Final = {
    "a wrong password": Fault(
        GRANTED,
        ('password authentication failed for user "app"; check the user and the password in DATABASE_URL',),
        (LIST, MIGRATE, ALEMBIC),
        "another",
    ),
    "no password": Fault(GRANTED, ("check the user and the password in DATABASE_URL",), (LIST, MIGRATE), None),
    "no right to connect": Fault(
        ("REVOKE CONNECT ON DATABASE {database} FROM public",),
        ("permission denied for database", f"GRANT CONNECT ON DATABASE {{database}} TO {ROLE}"),
        (LIST, MIGRATE, ALEMBIC),
    ),
    "no right to a schema": Fault(
        (*GRANTED, "REVOKE USAGE ON SCHEMA public FROM public"),
        (f"GRANT USAGE ON SCHEMA public TO {ROLE}",),
        (LIST, MIGRATE, ALEMBIC),
    ),
    "no right to create in the schema": Fault(
        (f"DROP TABLE {', '.join(map('tradingagents_{}'.format, TABLES))}",),
        ("permission denied for schema public", f"GRANT USAGE, CREATE ON SCHEMA public TO {ROLE}"),
        (MIGRATE, ALEMBIC),
    ),
    "no right to any table": Fault(
        (), (f"GRANT SELECT, INSERT, UPDATE, DELETE ON tradingagents_alembic_version TO {ROLE}",)
    ),
    "no right to a table": Fault(
        (*GRANTED, f"REVOKE ALL ON tradingagents_strategies FROM {ROLE}"),
        (
            "the role app has no right to SELECT, INSERT, UPDATE, DELETE on the table tradingagents_strategies",
            f"TO {ROLE}",
        ),
    ),
    "no right to change a table": Fault(
        (*GRANTED, f"REVOKE UPDATE ON tradingagents_users FROM {ROLE}"),
        ("the role app has no right to UPDATE on the table tradingagents_users", f"IN SCHEMA public TO {ROLE}"),
    ),
    "no right to a sequence": Fault(
        (*GRANTED, f"REVOKE ALL ON SEQUENCE tradingagents_strategies_id_seq FROM {ROLE}"),
        (
            "tradingagents_strategies_id_seq",
            f"GRANT USAGE ON SEQUENCE public.tradingagents_strategies_id_seq TO {ROLE}",
        ),
    ),
    "no right to the sequence of API keys": Fault(
        (*GRANTED, f"REVOKE ALL ON SEQUENCE tradingagents_api_keys_id_seq FROM {ROLE}"),
        (f"GRANT USAGE ON SEQUENCE public.tradingagents_api_keys_id_seq TO {ROLE}",),
    ),
    "no right to end sessions": Fault(
        (*GRANTED, f"REVOKE DELETE ON tradingagents_sessions FROM {ROLE}"),
        ("the role app has no right to DELETE on the table tradingagents_sessions", f"IN SCHEMA public TO {ROLE}"),
    ),
    "a column is missing": Fault(
        (*GRANTED, "ALTER TABLE tradingagents_users RENAME COLUMN password_hash TO hash"),
        ("the table tradingagents_users has no column password_hash", NOT_OURS),
    ),
    "a table is missing": Fault(
        (*GRANTED, "DROP TABLE tradingagents_login_failures"), ("the table tradingagents_login_failures is missing",)
    ),
    "another application's tables": Fault(
        (*GRANTED, f"GRANT CREATE ON SCHEMA public TO {ROLE}", "DELETE FROM tradingagents_alembic_version"),
        ("tradingagents_users", "another application's", NOT_OURS),
        (LIST, MIGRATE, ALEMBIC),
    ),
    "a revision that nobody writes": Fault(
        (*GRANTED, "UPDATE tradingagents_alembic_version SET version_num = '3f2a9c0d1e'"),
        ("tradingagents_alembic_version says '3f2a9c0d1e'", "restore a backup"),
        (LIST, MIGRATE, ALEMBIC),
    ),
    "a newer schema": Fault(
        (*GRANTED, "UPDATE tradingagents_alembic_version SET version_num = '0009'"),
        ("schema 0009 is newer", "install the version that made the schema", "`tradingagents migrate --to 0007`"),
        (LIST, MIGRATE, ALEMBIC),
    ),
}


@pytest.fixture(scope="module")
def role(postgresql_server: PostgresqlServer) -> Iterator[str]:
    """A role that may only log in with its password."""
    maintenance = postgresql_server.databases.maintenance
    maintenance.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
    yield ROLE
    maintenance.sql(f"DROP ROLE {ROLE}")


@pytest.fixture
def database(postgresql_server: PostgresqlServer, migrated_on_server: Database, role: str) -> Iterator[Database]:
    with postgresql_server.databases.fresh(migrated_on_server) as database:
        yield database


def machine_of(folder: Path, server: PostgresqlServer, database: Database, password: str | None = PASSWORD) -> Machine:
    url = server.over_tcp(database, user=ROLE, password=password).setting
    return Machine(folder, {"DATABASE_URL": url, "JWT_SECRET_KEY": KEY})


def last_line(machine: Machine, command: tuple[str, ...]) -> str:
    """The one line that a command wrote, besides alembic's own lines about its progress."""
    ended = machine.run(*command)
    assert ended.returncode == 1
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("INFO alembic.runtime.migration: ")]
    assert (ended.stdout, len(lines)) == ("", 1), ended.stdout + ended.stderr
    return lines[0]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_is_refused_for_good_is_one_line_with_role_object_and_what_mends_it(
    postgresql_server: PostgresqlServer, database: Database, tmp_path: Path, fault: Fault
) -> None:
    name = str(database.url.database)
    database.sql(*(statement.format(database=name) for statement in fault.done))
    machine = machine_of(tmp_path, postgresql_server, database, fault.password)
    for command in fault.commands:
        line = last_line(machine, command)
        place = f"error: postgresql://{ROLE}@127.0.0.1:{postgresql_server.port}/{name}: "
        assert line.startswith(place)
        assert [said for said in fault.said if said.format(database=name) not in line] == []
        assert "try again" not in line
        assert PASSWORD not in line


def test_a_database_that_does_not_exist_is_one_line(
    postgresql_server: PostgresqlServer, role: str, tmp_path: Path
) -> None:
    database = postgresql_server.databases.named("missing")
    for command in (LIST, MIGRATE, ALEMBIC):
        line = last_line(machine_of(tmp_path, postgresql_server, database), command)
        assert 'database "missing" does not exist; create it' in line


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_does_not_hold_every_text_is_one_line(
    postgresql_server: PostgresqlServer, role: str, tmp_path: Path, encoding: str
) -> None:
    name = f"tradingagents_{encoding.lower()}"
    maintenance = postgresql_server.databases.maintenance
    maintenance.sql(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    try:
        for command in (LIST, MIGRATE, ALEMBIC):
            machine = machine_of(tmp_path, postgresql_server, postgresql_server.databases.named(name))
            line = last_line(machine, command)
            assert f"has the encoding {encoding}" in line
            assert "ENCODING 'UTF8'" in line
    finally:
        maintenance.sql(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_server_does_not_start_over_a_database_that_refuses_it_for_good(
    postgresql_server: PostgresqlServer, database: Database, tmp_path: Path
) -> None:
    started = machine_of(tmp_path, postgresql_server, database, "another").run(*SERVE, "--port", "0")
    assert started.returncode == 3
    (line,) = [line for line in started.stderr.splitlines() if "password authentication failed" in line]
    assert "check the user and the password in DATABASE_URL" in line
    assert "Traceback" not in started.stderr


@pytest.fixture
def running(postgresql_server: PostgresqlServer, database: Database, tmp_path: Path) -> Iterator[Server]:
    database.sql(*GRANTED)
    machine = machine_of(tmp_path, postgresql_server, database).given(IDENTITY_CACHE_SECONDS="0")
    created = machine.run("tradingagents", "users", "create", EMAIL, "--password-stdin", typed=f"{OWNERS_PASSWORD}\n")
    assert created.returncode == 0, created.stderr
    with machine.serving(*SERVE) as server:
        yield server


def test_a_server_says_at_its_start_which_database_it_uses(
    running: Server, postgresql_server: PostgresqlServer, database: Database
) -> None:
    place = f"postgresql://{ROLE}@127.0.0.1:{postgresql_server.port}/{database.url.database}"
    assert running.output().count(f"The database is {place}.") == 1
    assert PASSWORD not in running.output()


def test_a_right_that_is_lost_while_the_service_runs_is_503_and_one_line_until_it_is_given_back(
    running: Server, database: Database
) -> None:
    headers = {"Authorization": f"Bearer {running.token(EMAIL, OWNERS_PASSWORD)}"}
    database.sql(f"REVOKE ALL ON tradingagents_strategies FROM {ROLE}")
    refused = [running.client.get("/api/v1/strategies", headers=headers) for _ in range(3)]
    assert running.client.get("/health").status_code == 200
    database.sql(*GRANTED)
    assert running.client.get("/api/v1/strategies", headers=headers).status_code == 200

    assert [answer.status_code for answer in refused] == [503] * 3
    assert "try again shortly" not in refused[0].text
    assert int(refused[0].headers["Retry-After"]) >= 30
    (line,) = [line for line in running.output().splitlines() if "permission denied" in line]
    assert f"GRANT SELECT, INSERT, UPDATE, DELETE ON tradingagents_strategies TO {ROLE}" in line
    assert "Traceback" not in running.output()


def test_a_password_that_is_changed_while_the_service_runs_is_503_and_one_line_until_it_is_right_again(
    running: Server, database: Database
) -> None:
    headers = {"Authorization": f"Bearer {running.token(EMAIL, OWNERS_PASSWORD)}"}
    database.sql(
        f"ALTER ROLE {ROLE} PASSWORD 'another'",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'",
    )
    time.sleep(0.2)
    refused = [running.client.get("/api/v1/strategies", headers=headers).status_code for _ in range(3)]
    database.sql(f"ALTER ROLE {ROLE} PASSWORD '{PASSWORD}'")
    assert running.client.get("/api/v1/strategies", headers=headers).status_code == 200
    assert refused == [503] * 3
    assert running.output().count("password authentication failed") == 1
    assert "Traceback" not in running.output()


def test_another_applications_tables_in_a_sqlite_file_are_one_line(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "tradingagents.db")
    connection.execute("CREATE TABLE tradingagents_users (id INTEGER)")
    connection.close()
    for command in (LIST, MIGRATE):
        line = only_line(Machine(tmp_path).run(*command))
        assert line.startswith(f"error: {tmp_path}/tradingagents.db: table tradingagents_users already exists; ")
        assert NOT_OURS in line
