"""TLS to a real PostgreSQL server with a certificate: which connections `sslmode` and its files in DATABASE_URL allow.

The server is Debian's, since the wheel's server does not support TLS.
"""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import psutil
import pytest
from client_settings import misled
from postgresql import LOOPBACK, Database, PostgresqlServer, eventually, running_pgbouncer, running_server, taken
from processes import CHECKOUT, KEY, UVICORN, Machine, only_line
from sqlalchemy import text

from tradingagents_adapters.database_url import read_database_url
from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql import open_database
from tradingagents_adapters.sql import postgresql as adapter
from tradingagents_adapters.sql.migration_connection import connected
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_core.errors import StoreUnavailable

pytestmark = pytest.mark.anyio

NAME: Final = "localhost"
"""The server's name in its certificate. The certificate does not contain the server's address."""

RULES: Final = (
    "hostnossl all unprotected 127.0.0.1/32 trust",
    "hostssl all unprotected 127.0.0.1/32 reject",
    "hostssl all certified 127.0.0.1/32 cert",
    "hostssl all all 127.0.0.1/32 trust",
)
"""`unprotected` may not use TLS. All other users have to use it, and `certified` needs a client certificate."""


@dataclass(frozen=True)
class Authority:
    """An authority with its certificate, `authority.crt`, and the certificates that it signed. Keys are beside them."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "authority.crt"

    def signed(self, name: str, *, host: str | None = None) -> Path:
        """A new certificate for the name of a user or a host."""
        file = self.folder / f"{name}.crt"
        request = ("-CA", self.certificate, "-CAkey", self.certificate.with_suffix(".key"))
        extensions = ("-addext", f"subjectAltName=DNS:{host}") if host else ()
        _make_certificate(file, f"/CN={name}", *request, *extensions)
        return file


def _make_certificate(file: Path, subject: str, *options: object) -> None:
    key = ("-newkey", "rsa:2048", "-nodes", "-keyout", file.with_suffix(".key"))
    command = ("openssl", "req", "-x509", "-days", "2", *key, "-out", file, "-subj", subject, *options)
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


@pytest.fixture(scope="module")
def programs() -> Path:
    """The folder of the newest installed PostgreSQL with TLS."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    if not found:
        pytest.skip("there is no PostgreSQL of Debian's on this machine")
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl on this machine")
    return found[-1].parent


def _authority(folder: Path) -> Authority:
    authority = Authority(folder)
    _make_certificate(authority.certificate, f"/CN={folder.name}")
    return authority


@pytest.fixture(scope="module")
def authority(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return _authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other_authority(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return _authority(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def server(programs: Path, authority: Authority) -> Iterator[PostgresqlServer]:
    with running_server(programs=programs) as server:
        maintenance = server.databases.maintenance
        maintenance.sql(*[f"CREATE ROLE {name} LOGIN SUPERUSER" for name in ("ann", "unprotected", "certified")])
        server.speak_tls(
            certificate=authority.signed("server", host=NAME), authority=authority.certificate, rules=RULES
        )
        yield server


@pytest.fixture(scope="module")
def plain_server(programs: Path) -> Iterator[PostgresqlServer]:
    """A server without TLS."""
    with running_server(programs=programs) as server:
        server.databases.maintenance.sql("CREATE ROLE ann LOGIN SUPERUSER")
        yield server


def url(server: PostgresqlServer, user: str = "ann", *, host: str = NAME, **parameters: object) -> str:
    query = urlencode({name: str(value) for name, value in parameters.items()})
    return f"postgresql://{user}@{host}:{server.port}/postgres?{query}"


ASKED: Final = text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")


async def is_encrypted(setting: str) -> bool:
    """Whether the connections of the service, of an embedder and of the migrations use TLS."""
    found = set()
    for client_settings in (True, False):
        settings = DatabaseOptions(url=setting, client_settings=client_settings)
        async with open_database(settings) as database:
            found.add(bool((await database.read(ASKED))[0]["ssl"]))
        async with connected(settings) as connection:
            found.add(bool((await connection.execute(ASKED)).scalar_one()))
    assert len(found) == 1
    return found.pop()


async def refused(setting: str) -> str:
    """The reason why neither the service, nor an embedder, nor the migrations can connect."""
    reasons = set()
    for client_settings in (True, False):
        settings = DatabaseOptions(url=setting, client_settings=client_settings)
        async with open_database(settings) as database:
            with pytest.raises(StoreUnavailable) as refusal:
                await database.read(ASKED)
        reasons.add(refusal.value.reason)
        with pytest.raises(StoreUnavailable) as refusal:
            async with connected(settings):
                pass
        reasons.add(refusal.value.reason)
    # Closing a TLS connection takes some steps of the event loop, which ends with the test.
    await eventually(no_connection_is_open)
    assert len(reasons) == 1, reasons
    reason = reasons.pop()
    assert len(reason.splitlines()) == 1
    return reason


async def no_connection_is_open() -> bool:
    return not any(connection.raddr for connection in psutil.Process().net_connections("tcp"))


# The modes


@pytest.mark.parametrize("mode", ["allow", "prefer", "require", "verify-ca", "verify-full"])
async def test_every_mode_but_disable_encrypts_where_the_server_wants_it(
    server: PostgresqlServer, authority: Authority, mode: str
) -> None:
    files = {"sslrootcert": authority.certificate} if mode.startswith("verify") else {}
    assert await is_encrypted(url(server, sslmode=mode, **files))


async def test_without_a_mode_tls_is_preferred(server: PostgresqlServer) -> None:
    assert await is_encrypted(url(server, application_name="bot"))


@pytest.mark.parametrize("said", [{"ssl": "require"}, {"ssl": "true"}])
async def test_the_other_names_of_a_mode_encrypt_too(server: PostgresqlServer, said: dict[str, str]) -> None:
    assert await is_encrypted(url(server, **said))


async def test_disable_is_refused_by_a_server_that_wants_tls(server: PostgresqlServer) -> None:
    assert "no encryption" in await refused(url(server, sslmode="disable"))


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
async def test_a_server_that_wants_no_tls_is_reached_by_what_does_not_insist(
    server: PostgresqlServer, mode: str
) -> None:
    assert not await is_encrypted(url(server, "unprotected", sslmode=mode))


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
async def test_a_server_without_tls_is_reached_by_what_does_not_insist(
    plain_server: PostgresqlServer, mode: str
) -> None:
    assert not await is_encrypted(url(plain_server, sslmode=mode))


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_a_server_without_tls_is_refused_by_what_insists(
    plain_server: PostgresqlServer, authority: Authority, mode: str
) -> None:
    setting = url(plain_server, sslmode=mode, sslrootcert=authority.certificate)
    assert "rejected SSL upgrade" in await refused(setting)


# The server's certificate


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_a_certificate_of_another_authority_is_refused(
    server: PostgresqlServer, other_authority: Authority, mode: str
) -> None:
    # As in libpq, `require` verifies the certificate where the URL names an authority.
    assert "certificate verify failed" in await refused(
        url(server, sslmode=mode, sslrootcert=other_authority.certificate)
    )


async def test_the_authorities_of_the_machine_do_not_know_this_one(server: PostgresqlServer) -> None:
    assert "certificate verify failed" in await refused(url(server, sslrootcert="system"))


async def test_an_authority_of_the_machine_verifies_the_server(
    server: PostgresqlServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    assert await is_encrypted(url(server, sslrootcert="system"))
    assert "certificate verify failed" in await refused(url(server, host=LOOPBACK, sslrootcert="system"))


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_without_an_authority_nothing_can_be_verified(
    server: PostgresqlServer, mode: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ValueError, match="should have sslrootcert=FILE with the certificate authorities"):
        DatabaseOptions(url=read_database_url(url(server, sslmode=mode)))


async def test_verify_full_wants_the_name_of_the_certificate_and_verify_ca_does_not(
    server: PostgresqlServer, authority: Authority
) -> None:
    files = {"sslrootcert": authority.certificate}
    assert await is_encrypted(url(server, host=LOOPBACK, sslmode="verify-ca", **files))
    assert "certificate verify failed" in await refused(url(server, host=LOOPBACK, sslmode="verify-full", **files))


async def test_a_host_with_the_wrong_certificate_keeps_nobody_from_the_next(
    server: PostgresqlServer, authority: Authority
) -> None:
    files = f"sslmode=verify-full&sslrootcert={authority.certificate}"
    hosts = f"{LOOPBACK}:{server.port},{NAME}:{server.port}"
    assert await is_encrypted(f"postgresql://ann@{hosts}/postgres?{files}&connect_timeout=5")


async def test_a_file_that_is_lost_while_the_service_runs_is_why_it_has_no_database(
    server: PostgresqlServer, authority: Authority, tmp_path: Path
) -> None:
    file = Path(shutil.copy(authority.certificate, tmp_path))
    settings = DatabaseOptions(url=read_database_url(url(server, sslmode="verify-full", sslrootcert=file)))
    file.unlink()  # noqa: ASYNC240
    async with open_database(settings) as database:
        with pytest.raises(StoreUnavailable, match="database"):
            await database.read(ASKED)
        shutil.copy(authority.certificate, tmp_path)
        assert (await database.read(ASKED))[0]["ssl"]


# The client's own certificate


async def test_a_client_is_known_by_its_certificate(server: PostgresqlServer, authority: Authority) -> None:
    own = authority.signed("certified")
    files = {"sslcert": own, "sslkey": own.with_suffix(".key")}
    assert await is_encrypted(url(server, "certified", sslmode="require", **files))
    verified = {"sslmode": "verify-full", "sslrootcert": authority.certificate}
    assert await is_encrypted(url(server, "certified", **verified, **files))


async def test_a_client_is_known_by_its_certificate_beside_the_authorities_of_the_machine(
    server: PostgresqlServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    own = authority.signed("certified")
    files = {"sslcert": own, "sslkey": own.with_suffix(".key")}
    assert await is_encrypted(url(server, "certified", sslrootcert="system", **files))


@pytest.fixture
def locked_key(authority: Authority) -> Path:
    """The key of the certificate beside it, encrypted with the password "a b"."""
    own = authority.signed("certified")
    locked = own.with_name("locked.key")
    encrypt = ("openssl", "rsa", "-aes256", "-in", own.with_suffix(".key"), "-out", locked, "-passout", "pass:a b")
    subprocess.run([str(part) for part in encrypt], check=True, capture_output=True)
    return locked


async def test_an_encrypted_key_is_opened_with_its_password(server: PostgresqlServer, locked_key: Path) -> None:
    files = {"sslmode": "require", "sslcert": locked_key.with_name("certified.crt"), "sslkey": locked_key}
    assert await is_encrypted(url(server, "certified", **files, sslpassword="a b"))
    with pytest.raises(ValueError, match="sslpassword if the key is encrypted") as refusal:
        DatabaseOptions(url=read_database_url(url(server, "certified", **files, sslpassword="MySecret")))
    assert "MySecret" not in str(refusal.value)


async def test_a_client_without_a_certificate_is_refused_where_one_is_wanted(server: PostgresqlServer) -> None:
    assert "certificate" in await refused(url(server, "certified", sslmode="require"))


async def test_a_certificate_for_another_name_is_refused(server: PostgresqlServer, authority: Authority) -> None:
    other = authority.signed("ann")
    files = {"sslcert": other, "sslkey": other.with_suffix(".key")}
    assert "authentication failed" in await refused(url(server, "certified", sslmode="require", **files))


async def test_a_clients_certificate_of_another_authority_is_refused(
    server: PostgresqlServer, other_authority: Authority
) -> None:
    own = other_authority.signed("certified")
    files = {"sslcert": own, "sslkey": own.with_suffix(".key")}
    assert await refused(url(server, "certified", sslmode="require", **files))


# Other parameters of a URL


async def test_the_parameters_of_a_url_are_those_of_the_session(server: PostgresqlServer) -> None:
    said = {"application_name": "bot 7", "options": "-c search_path=app -c statement_timeout=0", "sslmode": "require"}
    settings = DatabaseOptions(url=read_database_url(url(server, **said)))
    async with open_database(settings) as database, taken(database) as connection:
        shown = {
            name: (await connection.fetch((f"SHOW {name}", ())))[0][name]
            for name in ("application_name", "search_path", "statement_timeout")
        }
    assert shown == {
        "application_name": "bot 7",
        "search_path": "app",
        # The service's own limits still apply.
        "statement_timeout": "2s",
    }


@pytest.mark.parametrize("mode", ["disable", "require"])
async def test_keepalives_are_set_on_the_socket(server: PostgresqlServer, mode: str) -> None:
    user = "unprotected" if mode == "disable" else "ann"
    wanted = {"keepalives_idle": 31, "keepalives_interval": 7, "keepalives_count": 3, "tcp_user_timeout": 9000}
    settings = DatabaseOptions(url=read_database_url(url(server, user, sslmode=mode, keepalives=1, **wanted)))
    async with open_database(settings) as database, taken(database) as connection:
        used = connection.pooled._con._transport.get_extra_info("socket")
        assert used.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
        options = [getattr(socket, name) for name in names if hasattr(socket, name)]
        assert [used.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [31, 7, 3, 9000][: len(options)]
    async with connected(settings) as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1


async def test_a_socket_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = DatabaseOptions(url=read_database_url(f"postgresql://ann@/service?host={tmp_path}"))
    async with open_database(settings) as database:
        with pytest.raises(StoreUnavailable) as refusal:
            await database.read(ASKED)
    assert str(tmp_path) in refusal.value.reason


async def test_keepalives_mean_nothing_to_a_socket_of_this_machine(server: PostgresqlServer) -> None:
    folder = str(server.socket_folder).replace("/", "%2F")
    setting = f"postgresql://ann@{folder}:{server.port}/postgres?keepalives_idle=30&sslmode=require"
    assert not await is_encrypted(setting)


async def test_the_wish_for_a_standby_is_content_with_a_primary_where_there_is_no_standby(
    server: PostgresqlServer,
) -> None:
    assert await is_encrypted(url(server, target_session_attrs="prefer-standby", connect_timeout=5))
    assert "target attribute" in await refused(url(server, target_session_attrs="standby"))
    assert await is_encrypted(url(server, target_session_attrs="primary"))


async def test_connect_timeout_says_how_long_a_silent_host_is_waited_for() -> None:
    with socket.create_server((LOOPBACK, 0)) as silent:
        port = silent.getsockname()[1]
        settings = DatabaseOptions(
            url=read_database_url(f"postgresql://ann@{LOOPBACK}:{port}/service?connect_timeout=1"), connect_timeout=0.2
        )
        with pytest.raises(TimeoutError, match="did not take the connection within 1 s"):
            # Several hosts would share the time equally.
            await adapter.connect(**adapter.connect_options(settings))
        assert adapter.connect_options(settings)["timeout"] == 1
        without = DatabaseOptions(
            url=read_database_url(f"postgresql://ann@{LOOPBACK}:{port}/service"), connect_timeout=0.2
        )
        assert adapter.connect_options(without)["timeout"] == 0.2


@pytest.mark.parametrize("variable", ["PGSSLMODE", "PGPORT", "PGTARGETSESSIONATTRS"])
async def test_variables_of_postgresqls_clients_that_cannot_be_used_are_a_mistake_of_configuration(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "MySecret")
    settings = DatabaseOptions(url=f"postgresql://ann@{NAME}/postgres", client_settings=True)
    async with open_database(settings) as database:
        with pytest.raises(ConfigurationError, match=r"^PostgreSQL's client settings \(PG\.\.\.\) cannot be used: "):
            await database.read(ASKED)


@pytest.mark.parametrize("mode", ["", "prefer", "require", "verify-full"])
async def test_variables_and_files_change_nothing_for_an_embedder(
    server: PostgresqlServer, authority: Authority, tmp_path: Path, mode: str
) -> None:
    own = authority.signed("certified")
    said = {"sslmode": mode} if mode else {}
    files = {"sslrootcert": authority.certificate, "sslcert": own, "sslkey": own.with_suffix(".key")}
    with misled(tmp_path):
        settings = DatabaseOptions(url=url(server, "certified", **said, **files))
        async with open_database(settings) as database:
            assert (await database.read(ASKED))[0]["ssl"]
        async with connected(settings) as connection:
            assert (await connection.execute(ASKED)).scalar_one()


# The commands


@pytest.fixture
def empty(server: PostgresqlServer) -> Iterator[Database]:
    with server.databases.fresh() as database:
        yield database


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder in which alembic finds the migrations."""
    shutil.copy(CHECKOUT / "alembic.ini", tmp_path)
    shutil.copytree(CHECKOUT / "migrations", tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_one_url_works_in_alembic_in_every_command_and_in_the_service(
    server: PostgresqlServer, authority: Authority, empty: Database, checkout: Path
) -> None:
    parameters = {
        "sslmode": "verify-full",
        "sslrootcert": str(authority.certificate),
        "connect_timeout": "10",
        "application_name": "bot",
        "options": "-c geqo=on",
        "channel_binding": "prefer",
        "gssencmode": "disable",
        "keepalives_idle": "30",
        "target_session_attrs": "read-write",
    }
    setting = f"postgres://ann:a%40b@{NAME}:{server.port}/{empty.url.database}?{urlencode(parameters)}\n"
    machine = Machine(checkout, {"DATABASE_URL": setting, "JWT_SECRET_KEY": f"{KEY}\n"})
    upgraded = machine.run("alembic", "upgrade", "head")
    assert (upgraded.returncode, upgraded.stdout) == (0, ""), upgraded.stderr
    named = f"database: postgresql://ann@{NAME}:{server.port}/{empty.url.database}\n"
    for command, said in ((("migrate",), ""), (("users", "list"), "There are no accounts.\n")):
        ended = machine.run("tradingagents", *command)
        assert (ended.returncode, ended.stderr) == (0, named + said)
    created = machine.run(
        "tradingagents", "users", "create", "ann@example.com", "--password-stdin", typed="Secret123\n"
    )
    assert created.returncode == 0, created.stderr
    with machine.serving(*UVICORN) as service:
        assert service.token("ann@example.com", "Secret123")
        sessions = "FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE usename = 'ann'"
        assert empty.sql(f"SELECT DISTINCT application_name, ssl {sessions}") == ["bot|t"]


WRONG: Final = {
    "wrong authority": "sslmode=verify-full&sslrootcert={other}",
    "no encryption": "sslmode=disable",
    "no file": "sslmode=verify-full&sslrootcert=/no/such/root.crt",
    "no authority": "sslmode=verify-full",
    "channel binding": "channel_binding=require",
    "unknown": "ssl_mode=require",
}


@pytest.mark.parametrize("parameters", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize(
    "command", [("alembic", "current"), ("tradingagents", "migrate"), ("tradingagents", "users", "list")], ids=" ".join
)
def test_what_does_not_fit_ends_in_one_line(
    server: PostgresqlServer, other_authority: Authority, checkout: Path, command: tuple[str, ...], parameters: str
) -> None:
    parameters = parameters.format(other=other_authority.certificate)
    setting = f"postgresql://ann:MySecret@{NAME}:{server.port}/postgres?{parameters}"
    ended = Machine(checkout, {"DATABASE_URL": setting}).run(*command)
    assert ended.returncode == 1
    line = only_line(ended)
    assert line.startswith("error: ")
    assert "MySecret" not in line


# pgbouncer


@pytest.fixture(scope="module")
def pgbouncer() -> str:
    found = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    if found is None:
        pytest.skip("there is no pgbouncer on this machine")
    return found


async def test_the_same_parameters_work_in_front_of_pgbouncer(
    server: PostgresqlServer, authority: Authority, other_authority: Authority, pgbouncer: str, tmp_path: Path
) -> None:
    certificate = authority.signed("pgbouncer", host=NAME)
    with running_pgbouncer(server, pgbouncer, server_connections=2, certificate=certificate) as pooled:
        account = f"{pooled.maintenance.url.username}@{NAME}:{pooled.maintenance.url.port}"
        with server.databases.fresh() as direct:
            said = "sslmode=verify-full&application_name=bot&connect_timeout=5&prepared_statement_cache_size=100"
            setting = f"postgresql://{account}/{direct.url.database}?{said}&sslrootcert="
            right = {"DATABASE_URL": f"{setting}{authority.certificate}", "DATABASE_PGBOUNCER": "true"}
            named = f"database: postgresql://{account}/{direct.url.database}\n"
            for command, output in ((("migrate",), ""), (("users", "list"), "There are no accounts.\n")):
                ended = Machine(tmp_path, right).run("tradingagents", *command)
                assert (ended.returncode, ended.stderr) == (0, named + output)
            wrong = right | {"DATABASE_URL": f"{setting}{other_authority.certificate}"}
            refusal = only_line(Machine(tmp_path, wrong).run("tradingagents", "users", "list"))
            assert "certificate verify failed" in refusal
