"""PostgreSQL's environment variables and files: without effect for an embedder, and complete the URL of the service."""

import asyncio
import os
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from unittest import mock

import pytest
from asyncpg import connect_utils
from client_settings import USERS, VARIABLES, misleading_files, misled
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgresql import LOOPBACK, Database, PostgresqlServer
from sqlalchemy import text

from tradingagents_adapters.sql import open_database
from tradingagents_adapters.sql.migration_connection import connected
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.postgresql import connect, connect_options
from tradingagents_core.errors import StoreUnavailable

pytestmark = pytest.mark.anyio

ROLE: Final = "tradingagents_test_guest"
PASSWORD: Final = "TheSecretOfTheGuest"

ASKED: Final = text("SELECT current_user AS role, current_database() AS name")


@pytest.fixture
def guest(postgresql_server: PostgresqlServer) -> Iterator[Database]:
    """A database behind a port that requires the guest's password."""
    maintenance = postgresql_server.databases.maintenance
    maintenance.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
    with postgresql_server.databases.fresh() as database:
        yield postgresql_server.over_tcp(database, user=ROLE, password=PASSWORD)
    maintenance.sql(f"DROP ROLE {ROLE}")


async def reached(options: DatabaseOptions) -> tuple[str, str]:
    """The role and the database that the service and the migrations reach."""
    async with open_database(options) as database:
        [found] = await database.read(ASKED)
    async with connected(options) as connection:
        assert tuple((await connection.execute(ASKED)).one()) == (found["role"], found["name"])
    return found["role"], found["name"]


async def test_a_url_over_a_socket_is_all_there_is(
    guest: Database, postgresql_server: PostgresqlServer, tmp_path: Path
):
    folder = str(postgresql_server.socket_folder).replace("/", "%2F")
    url = f"postgresql://{ROLE}@{folder}:{postgresql_server.port}/{guest.url.database}"
    with misled(tmp_path):
        assert await reached(DatabaseOptions(url=url)) == (ROLE, guest.url.database)


async def test_a_url_over_tcp_is_all_there_is(guest: Database, tmp_path: Path) -> None:
    with misled(tmp_path):
        assert await reached(DatabaseOptions(url=guest.dsn)) == (ROLE, guest.url.database)


async def test_a_url_without_a_database_means_that_of_the_user(
    postgresql_server: PostgresqlServer, tmp_path: Path
) -> None:
    folder = str(postgresql_server.socket_folder).replace("/", "%2F")
    with misled(tmp_path):
        url = f"postgresql://postgres@{folder}:{postgresql_server.port}"
        assert await reached(DatabaseOptions(url=url)) == ("postgres", "postgres")


@pytest.mark.parametrize("place", ["a variable", "a file"])
async def test_a_password_elsewhere_is_for_the_service_only(
    guest: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    if place == "a variable":
        monkeypatch.setenv("PGPASSWORD", PASSWORD)
    else:
        misleading_files(tmp_path)
        (tmp_path / ".pgpass").write_text(f"*:*:*:{ROLE}:{PASSWORD}\n")
    # Nonsense in ~/.postgresql would stop a connection with TLS.
    url = f"postgresql://{ROLE}@{LOOPBACK}:{guest.url.port}/{guest.url.database}?sslmode=disable"
    assert await reached(DatabaseOptions(url=url, client_settings=True)) == (ROLE, guest.url.database)
    with pytest.raises(StoreUnavailable) as refusal:
        await reached(DatabaseOptions(url=url))
    assert "password authentication failed" in refusal.value.reason


async def test_variables_complete_the_url_of_the_service(guest: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", LOOPBACK)
    monkeypatch.setenv("PGPORT", str(guest.url.port))
    monkeypatch.setenv("PGUSER", ROLE)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.setenv("PGDATABASE", str(guest.url.database))
    assert await reached(DatabaseOptions(url="postgresql://", client_settings=True)) == (ROLE, guest.url.database)


async def test_a_service_of_the_url_is_looked_up_in_its_file(
    guest: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "services.conf"
    place = f"host={LOOPBACK}\nport={guest.url.port}\ndbname={guest.url.database}\n"
    file.write_text(f"[trading]\n{place}user={ROLE}\npassword={PASSWORD}\n")
    url = f"postgresql://?service=trading&servicefile={file}"
    assert await reached(DatabaseOptions(url=url, client_settings=True)) == (ROLE, guest.url.database)


# Every variable


NOBODY_LISTENS: Final = 1
URLS: Final = [
    "postgresql://ann@/service?host=/no/such/folder",
    f"postgresql://ann@:{NOBODY_LISTENS}",
    *(
        f"postgresql://ann@{LOOPBACK}:{NOBODY_LISTENS}/service?sslmode={mode}"
        for mode in ("disable", "allow", "prefer", "require")
    ),
    f"postgresql://ann:secret@{LOOPBACK}:{NOBODY_LISTENS}/service?sslrootcert=system",
    f"postgresql://ann@{LOOPBACK}:{NOBODY_LISTENS}/service?target_session_attrs=prefer-standby&sslnegotiation=postgres",
]


def described(value: Any) -> Any:
    """A parameter of a connection, in a form that can be compared."""
    if not isinstance(value, ssl.SSLContext):
        return value
    versions = (value.minimum_version, value.maximum_version)
    verified = (value.verify_mode, value.check_hostname, value.verify_flags, value.cert_store_stats())
    return versions, verified, value.keylog_filename


def parsed(url: str) -> list[Any]:
    """The addresses and parameters of each attempt of the driver to connect."""
    attempts = []
    parse = connect_utils._parse_connect_dsn_and_args

    def noted(**given: Any) -> Any:
        addresses, parameters = parse(**given)
        attempts.append((addresses, {name: described(value) for name, value in parameters._asdict().items()}))
        return addresses, parameters

    with mock.patch.object(connect_utils, "_parse_connect_dsn_and_args", noted), suppress(OSError):
        asyncio.run(connect(**connect_options(DatabaseOptions(url=url))))
    assert attempts
    return attempts


def test_the_variables_of_the_driver_are_found() -> None:
    assert {"PGHOST", "PGPASSWORD", "PGSSLMODE", "PGTARGETSESSIONATTRS", "SSLKEYLOGFILE"} <= set(VARIABLES)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    misleading_files(folder)
    return folder


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder for the file that a variable may name."""
    monkeypatch.chdir(tmp_path)


WORDS: Final = st.sampled_from(["nonsense", "require", "disable", "direct", "standby", "5433", "TLSv1.3", "1", "/tmp"])


@pytest.mark.parametrize("url", URLS)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(set_=st.dictionaries(st.sampled_from([*VARIABLES, *USERS]), WORDS, min_size=1))
def test_no_set_of_variables_changes_how_an_embedder_connects(url: str, set_: dict[str, str], home: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    with mock.patch.dict(os.environ, kept | {"HOME": "/no/such/folder"}, clear=True):
        expected = parsed(url)
    with mock.patch.dict(os.environ, kept | set_ | {"HOME": str(home)}, clear=True):
        assert parsed(url) == expected


@pytest.mark.parametrize("variable", [*VARIABLES, *USERS])
@pytest.mark.parametrize("url", URLS)
def test_no_variable_changes_how_an_embedder_connects(
    url: str, variable: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv(variable, raising=False)
    expected = parsed(url)
    monkeypatch.setenv(variable, "nonsense")
    assert parsed(url) == expected
