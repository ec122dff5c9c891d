"""The documented variables: their defaults, their effects, and the error messages for invalid values."""

import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Final

import jwt
import pytest
from processes import GUNICORN, KEY, SERVE, UVICORN, Machine, Server, at_once, only_line

EMAIL: Final = "reader.of.logs@example.com"
PASSWORD: Final = "NobodyMayReadThis1"
OTHER_KEY: Final = "the key of the other source, which should not be what signs tokens"

CONFIGURED: Final = {
    "DATABASE_URL": "sqlite+aiosqlite:///./elsewhere.db",
    "JWT_SECRET_KEY": KEY,
    "JWT_EXPIRATION_MINUTES": "5",
    "CORS_ORIGINS": '["https://app.example.com", "https://www.example.com"]',
    "CORS_ALLOW_CREDENTIALS": "true",
    "SQLALCHEMY_ECHO": "true",
}
OVERRIDDEN: Final = {
    "DATABASE_URL": "sqlite+aiosqlite:///./overridden.db",
    "JWT_SECRET_KEY": OTHER_KEY,
    "JWT_ALGORITHM": "HS384",
    "JWT_EXPIRATION_MINUTES": "7",
    "CORS_ORIGINS": '["https://overridden.example.com"]',
    "CORS_ALLOW_CREDENTIALS": "false",
    "SQLALCHEMY_ECHO": "false",
}

WITHOUT_KEY: Final[dict[str, dict[str, str]]] = {
    "no key": {},
    "an empty key": {"JWT_SECRET_KEY": ""},
    "a well-known key": {"JWT_SECRET_KEY": "MySecretKey, or change-me-in-production"},
    "31 bytes": {"JWT_SECRET_KEY": "MySecretKeyOf31Bytes-----------"},
    "63 bytes for HS512": {"JWT_SECRET_KEY": "MySecretKey" + 52 * "-", "JWT_ALGORITHM": "HS512"},
}
SHORTEST_KEY: Final = "MySecretKeyOf32Bytes------------"

IMPORTER: Final = """
from tradingagents_adapters.errors import ConfigurationError
try:
    import tradingagents.api.main
except ConfigurationError as error:
    print("going on after", error)
"""
CAREFUL_IMPORTER: Final = """
import asyncio, gc, logging
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

def state():
    logger = logging.getLogger("tradingagents_http")
    frozen, thresholds = gc.get_freeze_count(), gc.get_threshold()
    return frozen, thresholds, HttpToolsProtocol.on_header, logger.handlers, logger.level

before = state()
from tradingagents.api.main import app

async def start_by_hand():
    async with app.router.lifespan_context(app):
        return state()

print("the same" if before == state() == asyncio.run(start_by_hand()) else "changed")
"""

SAID_BY: Final = {"uvicorn": "ERROR:    Error loading ASGI app. ", "tradingagents serve": "error: "}
"""How the one line of a server begins."""

WRONG: Final = {
    "JWT_ALGORITHM": ["none", "ES512"],
    "JWT_SECRET_KEY": ["-----BEGIN PRIVATE KEY-----"],
    "JWT_PREVIOUS_KEYS_FILE": ["/no/such/file", "/"],
    "JWT_EXPIRATION_MINUTES": ["abc", "0"],
    "CORS_ORIGINS": ["x", '"x"'],
    "SQLALCHEMY_ECHO": ["perhaps"],
    "DATABASE_URL": ["foo", "", "postgresql://ann:p@ss@db/service", "postgresql://db/service?channel_binding=require"],
    "DATABASE_POOL_SIZE": ["0"],
    "CORS_ALLOW_CREDENTIALS": ["true"],
    "TRUSTED_PROXIES": ['["x"]'],
    "PASSWORD_HASH_MEMORY_KIB": ["1024"],
    "MIGRATE_ON_START": ["maybe"],
    "IDENTITY_CACHE_SECONDS": ["-1", "61", "nan", "x"],
}

NO_DATABASES: Final = [
    "mysql://root:TheSecret@localhost/db",
    "sqlite+aiosqlite://",
    "sqlite+aiosqlite:///:memory:",
    "sqlite+aiosqlite:///file::memory:?uri=true",
    "sqlite+aiosqlite:///file:shared?mode=memory&cache=shared&uri=true",
    "sqlite+aiosqlite://host/some.db",
    "sqlite+aiosqlite:///no/such/folder/some.db",
    "sqlite+aiosqlite:///some.db?timeout=x",
    "foo://user:TheSecret@host:port/db",
    "",
    "'postgresql://ann:TheSecret@db/service'",
    "postgresql://ann:TheSecret@db:port/service",
    "postgresql://ann:@TheSecret@db/service",
    "postgresql://ann:/TheSecret@db/service",
    "postgresql://ann:#TheSecret@db/service",
    "postgresql://ann:?TheSecret@db/service",
    "postgresql://ann:TheSecret@db/service?sslmode=TheSecret",
    "postgresql://ann:TheSecret@db/service?sslmode=verify-full",
    "postgresql://ann:TheSecret@db/service?sslmode=require&sslrootcert=/no/such/root.crt",
    "postgresql://ann:TheSecret@db/service?channel_binding=require",
    "postgresql://ann:TheSecret@db/service?gssencmode=require",
    "postgresql://ann:TheSecret@db/service?foo=TheSecret",
    "postgresql://ann:TheSecret@db/service?connect_timeout=soon",
    "postgresql://ann:TheSecret@a,b/service?port=1,2,3",
]

STARTS: Final = {
    **{
        (server, fault): ((*command, "--port", "0"), variables)
        for server, command in {"uvicorn": UVICORN, "tradingagents serve": SERVE}.items()
        for fault, variables in WITHOUT_KEY.items()
    },
    **{("gunicorn", fault): (GUNICORN, WITHOUT_KEY[fault]) for fault in ("no key", "31 bytes")},
    ("uvicorn with workers", "no key"): ((*UVICORN, "--port", "0", "--workers", "2"), {}),
    ("an importer", "no key"): (("python", "-c", IMPORTER), {}),
    ("an importer", "a good key"): (("python", "-c", CAREFUL_IMPORTER), {"JWT_SECRET_KEY": KEY}),
    **{
        (variable, value): ((*UVICORN, "--port", "0"), {"JWT_SECRET_KEY": KEY} | {variable: value})
        for variable, values in WRONG.items()
        for value in values
    },
    **{
        ("tradingagents migrate", url): (("tradingagents", "migrate"), {"DATABASE_URL": url})
        for url in (*NO_DATABASES, *NO_DATABASES)
    },
}


@dataclass(frozen=True)
class Visit:
    """The answers and the output of a server for a user who logs in and stores a strategy."""

    server: Server
    folder: Path
    token: str
    algorithm: str

    def claims(self) -> dict[str, Any]:
        return jwt.decode(self.token, options={"verify_signature": False})

    def allowed_origin(self, origin: str) -> str | None:
        return self.server.client.get("/health", headers={"Origin": origin}).headers.get("access-control-allow-origin")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    machine = Machine(tmp_path_factory.mktemp("database"))
    created = machine.run("tradingagents", "users", "create", EMAIL, "--password-stdin", typed=f"{PASSWORD}\n")
    assert created.returncode == 0, created.stderr
    return machine.folder / "tradingagents.db"


def write_dotenv(folder: Path, variables: Mapping[str, str]) -> None:
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))


def visited(server: Server, folder: Path, *, algorithm: str) -> Visit:
    token = server.token(EMAIL, PASSWORD)
    strategy = {
        "name": "NameForNobody",
        "description": "DescriptionForNobody",
        "parameters": {"KeyForNobody": "ValueForNobody", "number": 918273645},
    }
    for status in (201, 409):
        answer = server.client.post("/api/v1/strategies", headers={"Authorization": f"Bearer {token}"}, json=strategy)
        assert answer.status_code == status, answer.text
    return Visit(server, folder, token, algorithm)


@pytest.fixture(scope="module")
def by_default(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Iterator[Visit]:
    machine = Machine(tmp_path_factory.mktemp("default"), {"JWT_SECRET_KEY": SHORTEST_KEY})
    shutil.copy(database, machine.folder / "tradingagents.db")
    with machine.serving(*UVICORN) as server:
        yield visited(server, machine.folder, algorithm="HS256")


@pytest.fixture(scope="module", params=["environment", ".env", "environment over .env"])
def as_configured(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, database: Path
) -> Iterator[Visit]:
    algorithm = {"environment": "HS512", ".env": "HS384", "environment over .env": "HS256"}[request.param]
    configured = CONFIGURED | {"JWT_ALGORITHM": algorithm}
    machine = Machine(tmp_path_factory.mktemp("configured"), {} if request.param == ".env" else configured)
    if request.param != "environment":
        write_dotenv(machine.folder, configured if request.param == ".env" else OVERRIDDEN)
    shutil.copy(database, machine.folder / "elsewhere.db")
    with machine.serving(*UVICORN) as server:
        yield visited(server, machine.folder, algorithm=algorithm)


def test_the_database_is_a_file_in_the_working_directory_by_default(by_default: Visit) -> None:
    assert [file.name for file in by_default.folder.glob("*.db")] == ["tradingagents.db"]


def test_tokens_are_signed_with_hs256_by_default(by_default: Visit) -> None:
    assert jwt.get_unverified_header(by_default.token)["alg"] == "HS256"


def test_tokens_last_30_minutes_by_default(by_default: Visit) -> None:
    assert by_default.claims()["exp"] - by_default.claims()["iat"] == 30 * 60


def test_32_bytes_are_long_enough_for_a_key(by_default: Visit) -> None:
    assert len(SHORTEST_KEY) == 32
    jwt.decode(by_default.token, SHORTEST_KEY, algorithms=["HS256"], audience="tradingagents-api")


def test_every_origin_is_allowed_by_default(by_default: Visit) -> None:
    assert by_default.allowed_origin("https://anybody.example.com") == "*"


def test_sql_is_not_logged_by_default(by_default: Visit) -> None:
    assert "SELECT" not in by_default.server.output()


def test_database_url_says_where_the_data_lives(as_configured: Visit) -> None:
    assert [file.name for file in as_configured.folder.glob("*.db")] == ["elsewhere.db"]


def test_jwt_secret_key_signs_the_tokens(as_configured: Visit) -> None:
    jwt.decode(as_configured.token, KEY, algorithms=[as_configured.algorithm], audience="tradingagents-api")


def test_jwt_algorithm_says_how_tokens_are_signed(as_configured: Visit) -> None:
    assert jwt.get_unverified_header(as_configured.token)["alg"] == as_configured.algorithm


def test_jwt_expiration_minutes_says_how_long_tokens_last(as_configured: Visit) -> None:
    assert as_configured.claims()["exp"] - as_configured.claims()["iat"] == 5 * 60


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("https://www.example.com", "https://www.example.com"),
        ("https://overridden.example.com", None),
    ],
)
def test_cors_origins_lists_the_allowed_origins(as_configured: Visit, origin: str, allowed: str | None) -> None:
    assert as_configured.allowed_origin(origin) == allowed


def test_cors_allow_credentials_lets_browsers_send_theirs(as_configured: Visit) -> None:
    headers = {"Origin": "https://app.example.com"}
    answer = as_configured.server.client.get("/health", headers=headers)
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"


def test_sqlalchemy_echo_logs_the_statements(as_configured: Visit) -> None:
    assert "INSERT INTO tradingagents_strategies" in as_configured.server.output()


def test_sqlalchemy_echo_logs_no_password_no_hash_no_token_and_no_value(as_configured: Visit) -> None:
    with closing(sqlite3.connect(as_configured.folder / "elsewhere.db")) as connection:
        (password_hash,) = connection.execute("SELECT password_hash FROM tradingagents_users").fetchone()
    secrets = [EMAIL, PASSWORD, KEY, password_hash, "$argon2", as_configured.token, "ForNobody", "918273645"]
    assert [secret for secret in secrets if secret in as_configured.server.output()] == []


def test_sqlalchemy_echo_logs_nothing_of_a_new_account_but_the_statements(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"SQLALCHEMY_ECHO": "true"})
    created = machine.run("tradingagents", "users", "create", EMAIL, "--password-stdin", typed=f"{PASSWORD}\n")
    output = created.stdout.replace(f"Created the account {EMAIL}.", "") + created.stderr
    assert "INSERT INTO tradingagents_users" in output
    assert [secret for secret in (EMAIL, PASSWORD, "$argon2") if secret in output] == []


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], CompletedProcess[str]]:
    """The results of all starts in `STARTS`."""
    machine = Machine(tmp_path_factory.mktemp("refused"), {"GUNICORN_CMD_ARGS": "--bind 127.0.0.1:0"})
    ended = at_once(lambda start: machine.given(**start[1]).run(*start[0]), list(STARTS.values()))
    return dict(zip(STARTS, ended, strict=True))


@pytest.mark.parametrize("fault", WITHOUT_KEY)
@pytest.mark.parametrize("server", ["uvicorn", "tradingagents serve"])
def test_without_a_good_key_a_server_ends_with_one_line_that_says_how_to_make_one(
    refused: dict[tuple[str, str], CompletedProcess[str]], server: str, fault: str
) -> None:
    ended = refused[server, fault]
    assert ended.returncode != 0
    line = only_line(ended)
    assert line.startswith(f"{SAID_BY[server]}JWT_SECRET_KEY ")
    assert "tradingagents secret" in line
    assert "MySecretKey" not in line


@pytest.mark.parametrize("fault", ["no key", "31 bytes"])
def test_without_a_good_key_gunicorn_says_so_and_gives_up(
    refused: dict[tuple[str, str], CompletedProcess[str]], fault: str
) -> None:
    ended = refused["gunicorn", fault]
    assert ended.returncode != 0
    assert ended.stderr.count("Booting worker") <= 4
    (line,) = {line for line in ended.stderr.splitlines() if line.startswith("JWT_SECRET_KEY ")}
    assert "tradingagents secret" in line
    assert "MySecretKey" not in ended.stderr
    # Gunicorn 27 prints a traceback when two workers end at the same time; no traceback may include this project.
    assert re.search(r'File ".*tradingagents_', ended.stderr) is None


def test_without_a_key_uvicorn_starts_no_worker_again(
    refused: dict[tuple[str, str], CompletedProcess[str]],
) -> None:
    ended = refused["uvicorn with workers", "no key"]
    lines = [line for line in ended.stderr.splitlines() if line.startswith(f"{SAID_BY['uvicorn']}JWT_SECRET_KEY ")]
    assert 1 <= len(lines) <= 2
    assert "Traceback" not in ended.stderr


def test_a_program_that_imports_the_application_without_a_key_gets_an_exception_and_goes_on(
    refused: dict[tuple[str, str], CompletedProcess[str]],
) -> None:
    ended = refused["an importer", "no key"]
    assert ended.stderr == ""
    assert ended.stdout.startswith("going on after JWT_SECRET_KEY ")
    assert ended.returncode == 0


def test_a_program_that_imports_the_application_keeps_its_process_as_it_is(
    refused: dict[tuple[str, str], CompletedProcess[str]],
) -> None:
    ended = refused["an importer", "a good key"]
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "the same\n", "")


@pytest.mark.parametrize(("variable", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_is_refused_in_one_line_that_names_the_variable(
    refused: dict[tuple[str, str], CompletedProcess[str]], variable: str, value: str
) -> None:
    ended = refused[variable, value]
    assert ended.returncode != 0
    assert only_line(ended).startswith(f"{SAID_BY['uvicorn']}{variable} ")


def test_a_wrong_value_in_dotenv_is_refused_in_one_line_that_names_the_variable(tmp_path: Path) -> None:
    write_dotenv(tmp_path, {"JWT_SECRET_KEY": KEY, "JWT_EXPIRATION_MINUTES": "abc"})
    ended = Machine(tmp_path).run(*UVICORN, "--port", "0")
    assert ended.returncode != 0
    assert only_line(ended).startswith(f"{SAID_BY['uvicorn']}JWT_EXPIRATION_MINUTES ")


@pytest.mark.parametrize("url", NO_DATABASES)
def test_a_url_of_no_database_that_can_be_served_is_refused_in_one_line_that_does_not_repeat_it(
    refused: dict[tuple[str, str], CompletedProcess[str]], url: str
) -> None:
    ended = refused["tradingagents migrate", url]
    assert ended.returncode == 1
    line = only_line(ended)
    assert line.startswith("error: DATABASE_URL ")
    assert "TheSecret" not in line
