"""What the settings take, what they refuse, and what they say about it."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

import pytest
from key_pairs import SECRET, key_text, pair, private_pem, public_pem
from pydantic import ValidationError
from sqlalchemy.engine import URL

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.jwt_keys import read_signing_key
from tradingagents_core.use_cases import RefreshOptions
from tradingagents_service.settings import DatabaseSettings, Settings, load_settings

README: Final = Path(__file__).parents[2] / "README.md"
KEY: Final = "-" * 32

Load = Callable[..., Settings]

LEAST_AND_MOST: Final = {
    "DATABASE_POOL_SIZE": (1, 1000),
    "DATABASE_POOL_TIMEOUT": (0.001, 60),
    "PASSWORD_HASH_MEMORY_KIB": (19456, 4 * 1024 * 1024),
    "PASSWORD_HASH_TIME_COST": (2, 100),
    "PASSWORD_HASH_PARALLELISM": (1, 64),
    "PASSWORD_HASH_THREADS": (1, 64),
    "JWT_EXPIRATION_MINUTES": (1, 366 * 24 * 60),
    "IDENTITY_CACHE_SECONDS": (0, 60),
    "REFRESH_EXPIRATION_DAYS": (1, 366),
    "REFRESH_REUSE_SECONDS": (0, 300),
}
BEYOND: Final = [
    (name, str(value))
    for name, (least, most) in LEAST_AND_MOST.items()
    for value in (0 if name == "DATABASE_POOL_TIMEOUT" else least - 1, most + 1)
]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """Loads the settings of a process that has these variables and an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)

    def load_with(settings: type[DatabaseSettings] = Settings, **variables: str) -> Any:
        for name, value in ({"JWT_SECRET_KEY": KEY} | variables).items():
            monkeypatch.setenv(name, value)
        return load_settings(settings)

    return load_with


def test_the_defaults_are_those_of_the_readme(load: Load) -> None:
    table = dict(re.findall(r"^\| `([A-Z_]+)` \| (.*?) \|", README.read_text(), re.MULTILINE))
    settings = load()
    assert {name.upper() for name in Settings.model_fields} == table.keys()
    assert table.pop("JWT_SECRET_KEY") == "required"
    for name in ("MIGRATE_ON_START", "JWT_SECRET_KEY_FILE", "JWT_PREVIOUS_KEYS_FILE"):
        assert (table.pop(name), getattr(settings, name.lower())) == ("not set", None)
    assert (table.pop("ROOT_PATH"), settings.root_path) == ("not set", "")
    for name, default in table.items():
        value = getattr(settings, name.lower())
        said = str(value) if isinstance(value, str | URL) else json.dumps(value).removesuffix(".0")
        assert (name, default) == (name, f"`{said}`")


def test_a_missing_key_is_said_to_be_required(load: Load) -> None:
    with pytest.raises(ConfigurationError, match=r"^JWT_SECRET_KEY is required: set it to 32 bytes or more"):
        load(JWT_SECRET_KEY="")


@pytest.mark.parametrize("name", LEAST_AND_MOST)
def test_a_number_may_be_the_least_and_the_most(load: Load, name: str) -> None:
    assert [getattr(load(**{name: str(value)}), name.lower()) for value in LEAST_AND_MOST[name]] == [
        *LEAST_AND_MOST[name]
    ]


@pytest.mark.parametrize(("name", "value"), BEYOND)
def test_a_number_beyond_its_limits_is_refused_by_the_name_of_its_variable(load: Load, name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} should be "):
        load(**{name: value})


@pytest.mark.parametrize(
    ("algorithm", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)], ids=["HS256", "HS384", "HS512"]
)
def test_a_key_is_as_long_as_its_algorithm_wants(load: Load, algorithm: str, least: int) -> None:
    assert load(JWT_ALGORITHM=algorithm, JWT_SECRET_KEY="k" * least).jwt_algorithm == algorithm
    with pytest.raises(ConfigurationError, match=f"^JWT_SECRET_KEY is too short for {algorithm}: use {least} bytes"):
        load(JWT_ALGORITHM=algorithm, JWT_SECRET_KEY="k" * (least - 1))


def test_a_key_is_measured_in_bytes(load: Load) -> None:
    assert load(JWT_SECRET_KEY="ä" * 16)


def test_a_key_that_is_no_text_is_refused(load: Load) -> None:
    with pytest.raises(ConfigurationError, match=r"^JWT_SECRET_KEY is not UTF-8 text"):
        load(JWT_SECRET_KEY="\udcff" * 32)


@pytest.mark.parametrize(
    "key",
    [
        "change-me-change-me-change-me-change-me",
        "CHANGE THIS to something of your own, please",
        "your-256-bit-secret-your-256-bit-secret",
        "replace-with-a-real-secret-of-your-own!",
        "a-string-secret-at-least-256-bits-long",
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    ],
)
def test_a_key_that_everybody_knows_is_refused(load: Load, key: str) -> None:
    with pytest.raises(ConfigurationError, match="is an example that everybody knows"):
        load(JWT_SECRET_KEY=key)


def test_credentials_are_for_origins_that_are_named(load: Load) -> None:
    named = load(CORS_ALLOW_CREDENTIALS="true", CORS_ORIGINS='["https://app.example.com"]')
    assert named.cors_allow_credentials
    with pytest.raises(ConfigurationError, match=r"^CORS_ALLOW_CREDENTIALS needs named origins"):
        load(CORS_ALLOW_CREDENTIALS="true", CORS_ORIGINS='["https://app.example.com", "*"]')


def test_proxies_are_addresses_and_networks(load: Load) -> None:
    trusted = load(TRUSTED_PROXIES='["192.0.2.1", "2001:db8::/32"]').trusted_proxies
    assert trusted == [ip_network("192.0.2.1/32"), ip_network("2001:db8::/32")]


@pytest.mark.parametrize(
    "value",
    [
        '["https://a.example.com","http://localhost:3000"]',
        "https://a.example.com,http://localhost:3000",
        " https://a.example.com , http://localhost:3000, ",
    ],
)
def test_a_list_is_json_or_has_commas(load: Load, value: str) -> None:
    assert load(CORS_ORIGINS=value).cors_origins == ["https://a.example.com", "http://localhost:3000"]


def test_an_empty_list_is_the_default(load: Load) -> None:
    assert load(CORS_ORIGINS="").cors_origins == ["*"]
    assert load(TRUSTED_PROXIES="").trusted_proxies == []


@pytest.mark.parametrize("value", ["[", '["https://a.example.com",]', "{}", '"https://a.example.com"', "[1]"])
def test_a_list_that_is_no_list_is_refused(load: Load, value: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^CORS_ORIGINS should be a (JSON|valid) (list|string)"):
        load(CORS_ORIGINS=value)


@pytest.mark.parametrize(
    "origin",
    [
        "app.example.com",
        "https://",
        "https://app.example.com/",
        "https://app.example.com/path",
        "https://app.example.com?query",
        "https://user@app.example.com",
        "https://*.example.com",
        "https://app.example.com:443",
        "http://app.example.com:80",
        "https://App.example.com",
        "https://app.example.com:port",
        "null",
    ],
)
def test_an_origin_that_no_browser_sends_is_refused(load: Load, origin: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"^CORS_ORIGINS should hold origins such as https://app\.example\.com"
    ):
        load(CORS_ORIGINS=f"https://good.example.com,{origin}")


@pytest.mark.parametrize("origin", ["https://app.example.com:8443", "http://[::1]:3000", "capacitor://localhost", "*"])
def test_an_origin_that_browsers_send_is_taken(load: Load, origin: str) -> None:
    assert load(CORS_ORIGINS=origin).cors_origins == [origin]


@pytest.mark.parametrize("value", ["127.0.0.1", "127.0.0.1, 10.0.0.0/8", '["127.0.0.1", "10.0.0.0/8"]'])
def test_proxies_are_written_as_one_writes_lists(load: Load, value: str) -> None:
    assert load(TRUSTED_PROXIES=value).trusted_proxies[0] == ip_network("127.0.0.1/32")


def test_the_error_about_proxies_shows_proxies(load: Load) -> None:
    with pytest.raises(
        ConfigurationError, match=r"^TRUSTED_PROXIES should hold .* such as 127\.0\.0\.1 or 10\.0\.0\.0/8$"
    ):
        load(TRUSTED_PROXIES="proxy.example.com")


def test_headers_that_pages_may_send_are_names(load: Load) -> None:
    assert load(CORS_ALLOW_HEADERS="traceparent, X-Requested-With").cors_allow_headers == [
        "traceparent",
        "X-Requested-With",
    ]
    with pytest.raises(ConfigurationError, match=r"^CORS_ALLOW_HEADERS should hold names of headers"):
        load(CORS_ALLOW_HEADERS="two words")


# Databases


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///some.db", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:///./some.db", "sqlite+aiosqlite"),
        ("postgres://ann@db/service", "postgresql+asyncpg"),
        ("postgresql://ann@db/service", "postgresql+asyncpg"),
        ("postgresql+asyncpg://ann@/service?host=a:5432&host=b:5432", "postgresql+asyncpg"),
    ],
)
def test_a_database_is_reached_through_the_driver_of_this_project(load: Load, url: str, driver: str) -> None:
    assert load(DATABASE_URL=url).database_url.drivername == driver


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("no url", "should be a URL such as"),
        ("postgresql://ann@db:port/service", "should have a number from 1 to 65535 as port"),
        ("mysql://root@localhost/db", "should start with"),
        ("sqlite://", "should name a file"),
        ("sqlite:///", "should name a file"),
        ("sqlite:///:memory:", "should name a file"),
        ("sqlite:///some.db?timeout=1", "should contain only a path"),
        ("sqlite://host/some.db", "should contain only a path"),
        ("sqlite:///missing/some.db", "should name a file in a folder that exists"),
    ],
)
def test_a_url_is_refused_with_its_reason(load: Load, url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^DATABASE_URL {reason}"):
        load(DATABASE_URL=url)


@pytest.mark.parametrize(
    ("url", "said", "migrates"),
    [
        ("sqlite:///some.db", "", True),
        ("postgresql://db/service", "", False),
        ("sqlite:///some.db", "false", False),
        ("postgresql://db/service", "true", True),
    ],
)
def test_a_start_migrates_where_that_is_said_and_else_on_sqlite(
    load: Load, url: str, said: str, migrates: bool
) -> None:
    assert load(DATABASE_URL=url, MIGRATE_ON_START=said).core.migrates is migrates


def test_a_url_that_is_one_already_keeps_its_password(load: Load) -> None:
    url = URL.create("postgresql+asyncpg", "ann", "secret", "db", database="service")
    assert DatabaseSettings(database_url=url).database_url.password == "secret"


@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_an_empty_url_is_refused_and_no_other_database_takes_its_place(load: Load, value: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^DATABASE_URL is empty: set it to the URL of a database"):
        load(DATABASE_URL=value)


def test_an_empty_url_in_the_environment_is_refused_whatever_the_file_says(load: Load) -> None:
    Path(".env").write_text("DATABASE_URL=sqlite:///some.db\n")
    with pytest.raises(ConfigurationError, match=r"^DATABASE_URL is empty"):
        load(DATABASE_URL="")


def test_the_settings_show_nothing_of_a_url(load: Load) -> None:
    assert "postgresql" not in repr(load(DATABASE_URL="postgresql://ann:MySecret@db/service?sslpassword=MySecret"))


def test_the_core_gets_what_the_variables_say_of_refresh_and_registration(load: Load) -> None:
    core = load(REFRESH_EXPIRATION_DAYS="7", REFRESH_REUSE_SECONDS="2.5", REGISTRATION_ENABLED="true").core
    assert core.refresh == RefreshOptions(lifetime=timedelta(days=7), reuse=timedelta(seconds=2.5))
    assert core.registration_enabled


# White-space around values

KEYS: Final = {"JWT_SECRET_KEY", "JWT_SECRET_KEY_FILE", "JWT_PREVIOUS_KEYS_FILE"}
ALL: Final = {
    "DATABASE_URL": "postgresql://ann:secret@db/service",
    "JWT_ALGORITHM": "HS256",
    "JWT_EXPIRATION_MINUTES": "7",
    "REFRESH_EXPIRATION_DAYS": "8",
    "REFRESH_REUSE_SECONDS": "9.5",
    "REGISTRATION_ENABLED": "true",
    "CORS_ORIGINS": '["https://app.example.com"]',
    "CORS_ALLOW_CREDENTIALS": "true",
    "TRUSTED_PROXIES": '["192.0.2.1"]',
    "ROOT_PATH": "/trading",
    "SQLALCHEMY_ECHO": "true",
    "DATABASE_POOL_SIZE": "6",
    "DATABASE_POOL_TIMEOUT": "3.5",
    "DATABASE_PGBOUNCER": "true",
    "IDENTITY_CACHE_SECONDS": "4",
    "PASSWORD_HASH_MEMORY_KIB": "20000",
    "CORS_ALLOW_HEADERS": "traceparent",
    "DATABASE_CONNECT_TIMEOUT": "6",
    "DATABASE_STATEMENT_TIMEOUT": "5",
    "DATABASE_ANSWER_TIMEOUT": "6.5",
    "PASSWORD_HASH_TIME_COST": "3",
    "PASSWORD_HASH_PARALLELISM": "2",
    "PASSWORD_HASH_THREADS": "2",
    "MIGRATE_ON_START": "true",
}


@pytest.mark.parametrize(("before", "after"), [("", "\n"), ("", "\r\n"), (" ", " "), ("\n\t", "\n\n")])
def test_white_space_around_a_value_is_no_part_of_it(load: Load, before: str, after: str) -> None:
    assert ALL.keys() | KEYS == {name.upper() for name in Settings.model_fields}
    plain = load(**ALL)
    assert load(**{name: f"{before}{value}{after}" for name, value in ALL.items()}) == plain


@pytest.mark.parametrize("name", sorted(ALL.keys() - {"DATABASE_URL"}))
@pytest.mark.parametrize("value", ["", "\n"])
def test_a_variable_with_nothing_in_it_is_as_one_that_is_not_set(load: Load, name: str, value: str) -> None:
    assert load(**{name: value}) == load(**{name: ""}) == Settings(jwt_secret_key=KEY)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_a_line_break_at_its_end_is_no_part_of_a_key(load: Load, end: str) -> None:
    assert load(JWT_SECRET_KEY=KEY + end).jwt_secret_key.get_secret_value() == KEY


def test_blanks_are_part_of_a_key(load: Load) -> None:
    key = f" \n{KEY} "
    assert load(JWT_SECRET_KEY=key).jwt_secret_key.get_secret_value() == key


def test_a_key_of_line_breaks_is_none(load: Load) -> None:
    with pytest.raises(ConfigurationError, match=r"^JWT_SECRET_KEY is required"):
        load(JWT_SECRET_KEY="\n" * 64)


# Files with keys


@pytest.fixture
def load_without_key(load: Load, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Loads the settings of a process that has no `JWT_SECRET_KEY`."""

    def load_with(**variables: str) -> Settings:
        return load(JWT_SECRET_KEY="", **variables)

    return load_with


def secret_of(settings: Settings) -> str | None:
    return settings.core.secret_key


@pytest.mark.parametrize("end", ["", "\n", "\r\n", " \t\n\n"])
def test_a_key_may_be_in_a_file_and_white_space_at_its_end_is_no_part_of_it(load_without_key: Load, end: str) -> None:
    Path("key").write_bytes(f" {KEY}{end}".encode())
    assert secret_of(load_without_key(JWT_SECRET_KEY_FILE="key")) == f" {KEY}"


def test_a_file_with_a_byte_order_mark_is_read(load_without_key: Load) -> None:
    Path("key").write_text(KEY, "utf-8-sig")
    assert secret_of(load_without_key(JWT_SECRET_KEY_FILE=f" {Path('key').absolute()}\n")) == KEY


@pytest.mark.parametrize("algorithm", ["RS256", "PS384", "ES256", "ES384", "EdDSA"])
def test_a_private_key_may_be_in_a_variable_or_in_a_file(load: Load, load_without_key: Load, algorithm: str) -> None:
    pem = key_text(algorithm)
    Path("key.pem").write_text(pem)
    escaped = pem.replace("\n", "\\n")
    for settings in (
        load(JWT_SECRET_KEY=pem, JWT_ALGORITHM=algorithm),
        load(JWT_SECRET_KEY=escaped, JWT_ALGORITHM=algorithm),
        load_without_key(JWT_SECRET_KEY_FILE="key.pem", JWT_ALGORITHM=algorithm),
    ):
        key = read_signing_key(secret_of(settings) or "", algorithm=settings.core.algorithm)
        assert key.key_id == read_signing_key(pem, algorithm=algorithm).key_id


@pytest.mark.parametrize("form", ["in one line", "in quotes over several lines", "in quotes in one line"])
def test_a_private_key_may_be_in_dotenv(load_without_key: Load, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    pem = key_text("ES256").rstrip()
    escaped = pem.replace("\n", "\\n")
    written = {
        "in one line": escaped,
        "in quotes over several lines": f'"{pem}"',
        "in quotes in one line": f'"{escaped}"',
    }
    Path(".env").write_text(f"JWT_SECRET_KEY={written[form]}\nJWT_ALGORITHM=ES256\n")
    monkeypatch.delenv("JWT_SECRET_KEY", raising=False)
    settings = load_settings(Settings)
    assert read_signing_key(secret_of(settings) or "", algorithm="ES256")


def test_a_private_key_that_dotenv_cuts_at_its_first_line_break_is_refused_with_the_reason(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".env").write_text(f"JWT_ALGORITHM=ES256\nJWT_SECRET_KEY={key_text('ES256')}")
    monkeypatch.delenv("JWT_SECRET_KEY", raising=False)
    with pytest.raises(
        ConfigurationError, match=r"^JWT_SECRET_KEY has no line -----END \.\.\.-----: the key may have been"
    ):
        load_settings(Settings)


def test_a_key_in_two_places_is_refused(load: Load) -> None:
    Path("key").write_text(KEY)
    with pytest.raises(
        ConfigurationError, match=r"^JWT_SECRET_KEY and JWT_SECRET_KEY_FILE are both set: remove one of them$"
    ):
        load(JWT_SECRET_KEY_FILE="key")


@pytest.mark.parametrize("algorithm", ["HS384", "ES256"])
def test_a_missing_key_is_said_to_be_required_with_the_algorithm(load_without_key: Load, algorithm: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^JWT_SECRET_KEY is required: set it to .*`tradingagents secret"):
        load_without_key(JWT_ALGORITHM=algorithm)


@pytest.mark.parametrize("variable", ["JWT_SECRET_KEY_FILE", "JWT_PREVIOUS_KEYS_FILE"])
@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("missing", "names a file that does not exist"),
        ("text/key", "names a file that does not exist"),
        ("MySecret" * 100, "names a file that does not exist"),
        ("folder", "names a folder"),
        ("bytes", "names a file that is not UTF-8 text"),
        ("large", "names a file of more than 262144 bytes"),
    ],
    ids=["missing", "no folder", "a key", "folder", "bytes", "large"],
)
def test_a_file_of_keys_that_cannot_be_read_is_refused(load: Load, variable: str, path: str, fault: str) -> None:
    Path("folder").mkdir()
    Path("text").write_text("text")
    Path("bytes").write_bytes(b"\xff" * 64)
    Path("large").write_bytes(b"k" * 300_000)
    key = "" if variable == "JWT_SECRET_KEY_FILE" else KEY
    with pytest.raises(ConfigurationError, match=f"^{variable} {fault}") as refused:
        load(JWT_SECRET_KEY=key, **{variable: path})
    assert "MySecret" not in str(refused.value)


def test_an_empty_file_is_no_key(load_without_key: Load) -> None:
    Path("key").write_text(" \n")
    with pytest.raises(ConfigurationError, match=r"^JWT_SECRET_KEY_FILE: the key is too short for HS256: use 32 bytes"):
        load_without_key(JWT_SECRET_KEY_FILE="key")


@pytest.mark.parametrize(
    ("algorithm", "text", "fault"),
    [
        ("HS256", "short", "is too short for HS256"),
        ("HS256", key_text("ES256"), "is in PEM, but the algorithm HS256 needs a secret text"),
        ("ES256", KEY, "should be in PEM for ES256"),
        ("ES384", key_text("ES256"), "is an EC key on the curve P-256, but ES384 needs an EC key on the curve P-384"),
        ("RS256", private_pem(pair("RSA 1024")), "has 1024 bits"),
        ("ES256", public_pem(pair("P-256")), "is a public key"),
    ],
    ids=["short", "PEM", "no PEM", "curve", "bits", "public"],
)
def test_a_key_that_cannot_be_used_is_refused_by_the_name_of_its_variable(
    load: Load, load_without_key: Load, algorithm: str, text: str, fault: str
) -> None:
    Path("key").write_text(text)
    with pytest.raises(ConfigurationError, match=f"^JWT_SECRET_KEY {fault}"):
        load(JWT_SECRET_KEY=text, JWT_ALGORITHM=algorithm)
    with pytest.raises(ConfigurationError, match=f"^JWT_SECRET_KEY_FILE: the key {fault}"):
        load_without_key(JWT_SECRET_KEY_FILE="key", JWT_ALGORITHM=algorithm)


def test_previous_keys_are_in_a_file(load: Load) -> None:
    Path("previous").write_text(f"HS256 {SECRET}\n")
    assert load(JWT_PREVIOUS_KEYS_FILE="previous").core.previous_keys == f"HS256 {SECRET}"
    assert load(JWT_PREVIOUS_KEYS_FILE="").core.previous_keys == ""


def test_an_empty_file_has_no_previous_keys(load: Load) -> None:
    Path("previous").write_text("\n")
    assert load(JWT_PREVIOUS_KEYS_FILE="previous").core.previous_keys == ""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (SECRET, "line 1 should begin with the name of an algorithm"),
        ("HS256 MySecret", "the key of line 1 is too short for HS256"),
        (f"HS512 {KEY * 2}", "the key of line 1 is also the key of HS256: a key has one algorithm"),
    ],
    ids=["no algorithm", "short", "two algorithms"],
)
def test_a_previous_key_that_cannot_be_used_is_refused_by_its_line(load: Load, text: str, fault: str) -> None:
    Path("previous").write_text(f"{text}\n")
    with pytest.raises(ConfigurationError, match=f"^JWT_PREVIOUS_KEYS_FILE: {fault}") as refused:
        load(JWT_PREVIOUS_KEYS_FILE="previous", JWT_SECRET_KEY=KEY * 2)
    assert "MySecret" not in str(refused.value)


def test_keys_from_files_are_not_shown(load_without_key: Load) -> None:
    Path("key").write_text(KEY)
    Path("previous").write_text(f"HS256 {SECRET}\n")
    settings = load_without_key(JWT_SECRET_KEY_FILE="key", JWT_PREVIOUS_KEYS_FILE="previous")
    for shown in (repr(settings), repr(settings.core), str(settings.model_dump())):
        assert KEY not in shown
        assert SECRET not in shown


# The file `.env`


def test_a_file_of_others_variables_is_read_too(load: Load) -> None:
    Path(".env").write_text("JWT_EXPIRATION_MINUTES=7\nSOMEBODY_ELSES=1\nCORS_ORIGINS=\n")
    settings = load()
    assert (settings.jwt_expiration_minutes, settings.cors_origins) == (7, ["*"])


def test_a_file_that_is_no_text_is_refused(load: Load) -> None:
    Path(".env").write_bytes(b"JWT_ALGORITHM=\xff\n")
    with pytest.raises(ConfigurationError, match=r"^\.env should be UTF-8 text$"):
        load()


# What becomes known of secrets


def test_commands_that_only_touch_the_database_need_no_key(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JWT_SECRET_KEY", raising=False)
    assert load_settings(DatabaseSettings).database_url.database == "./tradingagents.db"


def test_all_that_is_wrong_is_said_at_once_and_no_value_is_repeated(load: Load) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load(JWT_ALGORITHM="MySecret", DATABASE_POOL_SIZE="MySecret", DATABASE_URL="foo://ann:MySecret@db/x")
    assert {part.split()[0] for part in str(refusal.value).split("; ")} == {
        "JWT_ALGORITHM",
        "DATABASE_POOL_SIZE",
        "DATABASE_URL",
    }
    assert "MySecret" not in str(refusal.value)
    assert refusal.value.__suppress_context__


def test_whoever_makes_settings_of_their_own_reads_no_value_in_a_refusal_either(load: Load) -> None:
    with pytest.raises(ValidationError) as refusal:
        Settings(jwt_secret_key="MySecret", jwt_algorithm="MySecret", database_url="foo://ann:MySecret@db/x")
    assert "MySecret" not in str(refusal.value)


def test_the_key_is_not_shown(load: Load) -> None:
    assert KEY not in repr(load())


def test_settings_stay_as_they_were_checked(load: Load) -> None:
    settings = load()
    with pytest.raises(ValidationError, match="frozen"):
        settings.cors_allow_credentials = True
