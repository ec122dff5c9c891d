"""The forms of a database's URL that hosts hand out: what is understood, what is refused, and what is said about it."""

import copy
import getpass
import math
import os
import pickle
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.engine import URL, make_url

from tradingagents_adapters.database_url import PostgresqlUrl, read_database_url, shown_url
from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.options import DatabaseOptions

SECRET: Final = "MySecret"
NOBODY: Final = 65534


def read(url: str | URL) -> URL:
    """A URL as the service reads it: PostgreSQL's environment variables and files may complete it."""
    return read_database_url(url, client_settings=True)


def options(url: str | URL) -> dict[str, Any]:
    """What the driver is given for a URL of the service."""
    return PostgresqlUrl.of(read(url)).driver_options(client_settings=True)


def complete_options(url: str) -> dict[str, Any]:
    """What the driver is given for a URL that nothing completes."""
    return PostgresqlUrl.of(read_database_url(url)).driver_options(client_settings=False)


def addresses(url: str | URL) -> list[tuple[str | None, int | None]]:
    said = options(url)
    return list(zip(said["host"], said["port"], strict=True))


def refusal(url: str | URL, *, client_settings: bool = True) -> str:
    """What is said of a URL that is refused."""
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        read_database_url(url, client_settings=client_settings)
    said = str(refused.value)
    assert len(said.splitlines()) == 1
    assert SECRET not in said
    return said


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of what PostgreSQL's clients read besides a URL."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)


# Accounts, hosts and names


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://", []),
        ("postgresql:///service", []),
        ("postgresql://db/service", [("db", None)]),
        ("postgresql://db:5433/service", [("db", 5433)]),
        ("postgresql://ann@:5433/service", [(None, 5433)]),
        ("postgresql://ann@[2001:db8::1]/service", [("2001:db8::1", None)]),
        ("postgresql://ann@[2001:db8::1]:5433/service", [("2001:db8::1", 5433)]),
        ("postgresql://h1:5432,h2:5433/service", [("h1", 5432), ("h2", 5433)]),
        ("postgresql://ann:secret@h1,h2:5433/service", [("h1", None), ("h2", 5433)]),
        ("postgresql://ann@[::1]:5432,h2/service", [("::1", 5432), ("h2", None)]),
        ("postgresql://ann@h1,h2/service?port=5433", [("h1", 5433), ("h2", 5433)]),
        ("postgresql:///service?host=h1,h2&port=5432,5433", [("h1", 5432), ("h2", 5433)]),
        ("postgresql:///service?host=h1,h2&port=,5433", [("h1", None), ("h2", 5433)]),
        ("postgresql:///service?host=h1,h2&port=5433", [("h1", 5433), ("h2", 5433)]),
        ("postgresql:///service?host=::1&port=5433", [("::1", 5433)]),
        ("postgresql://unused/service?host=db", [("db", None)]),
        ("postgresql+asyncpg://ann@/service?host=a:5432&host=b:5433", [("a", 5432), ("b", 5433)]),
        ("postgresql+asyncpg://ann@/service?host=a&host=b&port=5432&port=5433", [("a", 5432), ("b", 5433)]),
        ("postgresql+asyncpg://ann@/service?host=a:5433", [("a", 5433)]),
        ("postgresql://%2Fvar%2Frun/service", [("/var/run", None)]),
        ("postgresql://ann:secret@%2Fvar%2Frun:5433/service", [("/var/run", 5433)]),
        ("postgresql://%2Ftmp%2Fa,%2Ftmp%2Fb:5433/service", [("/tmp/a", None), ("/tmp/b", 5433)]),
        ("postgresql:///service?host=/var/run/postgresql", [("/var/run/postgresql", None)]),
        ("postgresql://:5433/service?host=/var/run/postgresql", [("/var/run/postgresql", 5433)]),
        ("postgresql:///service?host=/cloudsql/project:region:instance", [("/cloudsql/project:region:instance", None)]),
        (
            "postgresql://ann@%2Fcloudsql%2Fproject%3Aregion%3Ainstance/service",
            [("/cloudsql/project:region:instance", None)],
        ),
    ],
)
def test_hosts_ports_and_sockets_are_understood_in_every_form(
    url: str, expected: list[tuple[str | None, int | None]]
) -> None:
    assert addresses(url) == expected
    # As SQLAlchemy's URL, and read again as the text of that.
    assert addresses(read(url)) == expected
    assert addresses(read(url).render_as_string(hide_password=False)) == expected


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:50%25%20%40%2F%3A%3F%23@db/some%20db",
        "postgresql://db/some%20db?user=ann&password=50%25%20%40%2F%3A%3F%23",
        "postgresql://db?user=ann&password=50%25%20@/:%3F%23&dbname=some%20db",
        "postgresql+asyncpg://db/?user=ann&password=50%25%20%40%2F%3A%3F%23&database=some%20db",
        "postgresql://bob:other@db/other?user=ann&password=50%25%20%40%2F%3A%3F%23&dbname=some%20db",
    ],
)
def test_the_account_and_the_name_may_stand_in_the_parameters(url: str) -> None:
    found = read(url)
    assert (found.username, found.password, found.database) == ("ann", "50% @/:?#", "some db")
    said = options(url)
    assert (said["user"], said["password"], said["database"]) == ("ann", "50% @/:?#", "some db")
    assert not found.query


TEXT: Final = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
HOSTS: Final = st.sampled_from(["db", "a.example.com", "192.0.2.1", "2001:db8::1", "/var/run/postgresql"])
PORTS: Final = st.none() | st.integers(1, 65535)


@given(TEXT, TEXT, TEXT, st.lists(st.tuples(HOSTS, PORTS), min_size=1, max_size=3), TEXT)
def test_what_is_percent_encoded_arrives_as_it_was(
    user: str, password: str, database: str, hosts: list[tuple[str, int | None]], name: str
) -> None:
    written = ",".join(
        (f"[{host}]" if ":" in host else quote(host, safe="")) + (f":{port}" if port else "") for host, port in hosts
    )
    account = f"{quote(user, safe='')}:{quote(password, safe='')}"
    text = f"postgresql://{account}@{written}/{quote(database, safe='')}?application_name={quote(name, safe='')}"
    for url in (text, read(text), read(text).render_as_string(hide_password=False)):
        said = options(url)
        assert (said["user"], said["password"], said["database"]) == (user, password, database)
        assert addresses(url) == hosts
        assert said["server_settings"] == {"application_name": name}


SQLALCHEMYS: Final = st.one_of(
    st.builds(
        lambda hosts: "&".join(f"host={host}:{port}" for host, port in hosts),
        st.lists(st.tuples(st.sampled_from(["a", "b.example.com"]), st.integers(1, 65535)), min_size=2, max_size=3),
    ),
    st.builds(
        lambda hosts: f"host={','.join(host for host, _ in hosts)}&port={','.join(str(port) for _, port in hosts)}",
        st.lists(st.tuples(st.sampled_from(["a", "b", "/tmp"]), st.integers(1, 65535)), min_size=1, max_size=3),
    ),
)


@given(SQLALCHEMYS)
def test_lists_of_hosts_are_read_as_sqlalchemy_reads_them(query: str) -> None:
    text = f"postgresql+asyncpg://ann:secret@/service?{query}"
    _, theirs = dialect().create_connect_args(make_url(text))
    ours = options(text)
    one = len(ours["host"]) == 1
    assert theirs["host"] == (ours["host"][0] if one else ours["host"])
    assert theirs["port"] == (ours["port"][0] if one else ours["port"])


@given(st.text("ab1:/?#@[]%=&,", max_size=16), st.text("ab1:/?#@[]%=&,", max_size=8))
def test_no_text_is_refused_in_another_way_than_in_one_line(account: str, rest: str) -> None:
    said = ""
    try:
        read(f"postgresql://{account}{SECRET}@{rest}")
    except ValueError as error:
        said = str(error)
    assert len(said.splitlines()) <= 1
    assert SECRET not in said


# Special characters that are not encoded


@pytest.mark.parametrize("character", "@/?#")
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:My{}Secret@db/service",
        "postgresql://ann:My{}Secret@db:5432/service?sslmode=require",
        "postgresql://ann:My@{}Secret@db/service",
        "postgresql://ann:12{}Secret@db/service",
        "postgresql://ann:12{}x=1@db/service",
        "postgresql://ann:My@h{}x=1@db/service",
        "postgresql://an{}n:My@db/service",
    ],
)
def test_what_should_have_been_encoded_is_explained(url: str, character: str) -> None:
    assert "percent-encoded, as %40, %2F, %3F and %23" in refusal(url.format(character))


def test_a_colon_in_a_password_needs_no_encoding() -> None:
    assert options("postgresql://ann:a:b@db/service")["password"] == "a:b"


def test_an_at_sign_in_a_parameter_needs_no_encoding() -> None:
    assert options("postgresql://db/service?user=ann@example.com")["user"] == "ann@example.com"
    assert options("postgresql:///service?host=db&user=ann@example.com")["user"] == "ann@example.com"
    assert options("postgresql://ann@db:5432/service?application_name=a@b")["server_settings"] == {
        "application_name": "a@b"
    }


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "is empty: set it to the URL of a database"),
        (" \n", "is empty: set it to the URL of a database"),
        ("'postgresql://db/service'", "should be written without quotation marks"),
        ('"postgresql://db/service"', "should be written without quotation marks"),
        ("jdbc:postgresql://db/service", "should start with"),
        ("postgresql+psycopg2://db/service", "should start with"),
        ("postgresql:/db/service", "should be a URL such as"),
        ("postgresql://db:0/service", "should have a number from 1 to 65535 as port"),
        ("postgresql://db:65536/service", "should have a number from 1 to 65535 as port"),
        ("postgresql://db:٥٤٣٢/service", "should have a number from 1 to 65535 as port"),
        ("postgresql://ann:MySecret/service", "should have a number from 1 to 65535 as port"),
        ("postgresql:///service?host=db&port=MySecret", "should have a number from 1 to 65535 as port"),
        ("postgresql://a,b,c/service?port=1,2", "should have one port, or as many as it has hosts"),
        ("postgresql://a,,c/service", "should have no empty host"),
        ("postgresql:///service?host=a,", "should have no empty host"),
        ("postgresql://a b/service", "should have no blank in a host"),
        ("postgresql://a%0Ab/service", "should have no blank in a host"),
        ("postgresql:///service?host=a,+b", "should have no blank in a host"),
        ("postgresql://ann:My\nSecret@db/service", "should be one line"),
        ("postgresql://db/service\n?sslmode=require", "should be one line"),
        ("postgresql://a..b/service", "has a host name with an empty part"),
        (f"postgresql://{'a' * 64}/service", "has a host name with an empty part, or one of more than 63 characters"),
        ("postgresql://%40abstract/service", "has an abstract socket as host"),
        ("postgresql://ann:%FF@db/service", "should be UTF-8 where it is percent-encoded"),
        ("postgresql://db/service?application_name=%FF", "should be UTF-8 where it is percent-encoded"),
        ("postgresql://ann:%00@db/service", "should not contain %00"),
        ("postgresql://ann:\udcff@db/service", "should be UTF-8 text"),
        ("postgresql://db/service?MySecret", 'should have only NAME=VALUE after its "?"'),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_its_reason(url: str, said: str) -> None:
    assert refusal(url).startswith(said)


def test_a_user_who_has_no_name_is_told_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", unknown)
    assert refusal("postgresql://db/service").startswith("should name a user")
    assert options("postgresql://ann@db/service")["user"] == "ann"


# Parameters


@pytest.mark.parametrize("end", ["?", "?sslmode=prefer&", "?&sslmode=prefer&&"])
def test_a_sign_with_nothing_behind_it_says_nothing(end: str) -> None:
    assert options(f"postgresql://db/service{end}")["database"] == "service"


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require"])
@pytest.mark.parametrize("name", ["sslmode", "ssl"])
def test_every_ssl_mode_is_given_to_the_driver(name: str, mode: str) -> None:
    assert options(f"postgresql://db/service?{name}={mode}")["dsn"] == f"postgresql://?sslmode={mode}"


@pytest.mark.parametrize("said", ["ssl=true", "ssl=require", "ssl=true&sslmode=require", "sslmode=require&ssl=require"])
def test_ssl_is_another_name_of_sslmode(said: str) -> None:
    assert options(f"postgresql://db/service?{said}")["dsn"] == "postgresql://?sslmode=require"


def test_a_url_without_tls_leaves_it_to_the_driver() -> None:
    assert not {"dsn", "ssl"} & options("postgresql://db/service").keys()


@pytest.mark.parametrize(
    "harmless",
    [
        "channel_binding=prefer",
        "channel_binding=disable",
        "gssencmode=disable",
        "gssencmode=prefer",
        "sslcompression=0",
        "sslsni=1",
        "client_encoding=utf8",
        "load_balance_hosts=disable",
        "replication=false",
        "prepared_statement_cache_size=0",
        "prepared_statement_cache_size=500",
    ],
)
def test_what_asks_for_nothing_but_what_is_done_anyway_is_accepted(harmless: str) -> None:
    assert options(f"postgresql://db/service?{harmless}") == options("postgresql://db/service")


@pytest.mark.parametrize(
    ("parameter", "advice"),
    [
        ("channel_binding=require", "write disable or prefer, or remove it"),
        ("gssencmode=require", "write disable or prefer, or remove it"),
        ("load_balance_hosts=random", "write disable, or remove it"),
        ("sslcompression=1", "write 0, or remove it"),
        ("sslsni=0", "write 1, or remove it"),
        ("sslcertmode=require", "write allow, or remove it"),
        ("client_encoding=LATIN1", "write UTF8"),
        ("replication=database", "write false"),
        ("require_auth=scram-sha-256", "remove it"),
        ("hostaddr=192.0.2.1", "give the address as the host"),
        ("requirepeer=postgres", "remove it"),
        ("sslcrldir=/tmp", "remove it"),
    ],
)
def test_what_the_driver_cannot_do_is_refused_by_name(parameter: str, advice: str) -> None:
    name = parameter.partition("=")[0]
    assert refusal(f"postgresql://ann:{SECRET}@db/service?{parameter}").startswith(
        f"asks with {name} for a feature that the driver lacks: {advice}"
    )


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("foo=MySecret", "has the unknown parameter 'foo': remove it"),
        ("ssl_mode=require", "has the unknown parameter 'ssl_mode': write sslmode, or remove it"),
        ("ssl-mode=REQUIRED", "has the unknown parameter 'ssl-mode': write sslmode, or remove it"),
        ("sslMode=require", "has the unknown parameter 'sslMode': write sslmode, or remove it"),
        ("a%0Ab=1", r"has the unknown parameter 'a\nb'"),
        ("command_timeout=3", "has the unknown parameter 'command_timeout'"),
        (
            "pgbouncer=true",
            "has the parameter pgbouncer, which PostgreSQL does not have: remove it, and set DATABASE_PG",
        ),
        ("connection_limit=5", "has the parameter connection_limit, which PostgreSQL does not have"),
        ("schema=public", "has the parameter schema, which PostgreSQL does not have"),
    ],
)
def test_a_parameter_that_is_not_known_is_refused_by_name(parameter: str, said: str) -> None:
    assert refusal(f"postgresql://ann:{SECRET}@db/service?{parameter}").startswith(said)


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("sslmode=MySecret", "should have disable, allow, prefer, require, verify-ca or verify-full as sslmode"),
        ("sslmode=", "should have disable, allow, prefer, require, verify-ca or verify-full as sslmode"),
        ("ssl=no-verify", "should have disable, allow, prefer, require, verify-ca or verify-full as sslmode"),
        ("sslmode=require&sslmode=disable", "should have one sslmode"),
        ("sslmode=require&ssl=disable", "should have one sslmode"),
        ("target_session_attrs=master", "should have any, read-write,"),
        ("connect_timeout=MySecret", "should have a whole number from 1 to 3600 as connect_timeout"),
        ("connect_timeout=0", "should have a whole number from 1 to 3600 as connect_timeout"),
        ("connect_timeout=1.5", "should have a whole number from 1 to 3600 as connect_timeout"),
        ("connect_timeout=", "should have a whole number from 1 to 3600 as connect_timeout"),
        ("keepalives=yes", "should have 0 or 1 as keepalives"),
        ("keepalives_idle=x", "should have a whole number from 0 to 32767 as keepalives_idle"),
        ("keepalives_count=128", "should have a whole number from 0 to 127 as keepalives_count"),
        ("sslrootcert=", "should name a file as sslrootcert"),
        ("sslnegotiation=direct", "should have sslmode=require or stricter"),
        ("sslrootcert=system&sslmode=require", "should have sslmode=verify-full beside sslrootcert=system"),
        (
            "ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2",
            "should have an ssl_min_protocol_version that is no later",
        ),
        ("ssl_min_protocol_version=SSLv3", "should have TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3 as"),
    ],
)
def test_a_value_that_cannot_be_right_is_refused_by_the_name_of_its_parameter(parameter: str, said: str) -> None:
    assert refusal(f"postgresql://ann:{SECRET}@db/service?{parameter}").startswith(said)


@pytest.mark.parametrize(
    ("parameters", "settings"),
    [
        ("application_name=bot", {"application_name": "bot"}),
        ("fallback_application_name=bot", {"application_name": "bot"}),
        ("application_name=bot&fallback_application_name=other", {"application_name": "bot"}),
        ("application_name=", {}),
        ("options=-c%20search_path%3Dapp", {"options": "-c search_path=app"}),
        ("options=endpoint%3Dquiet-field", {"options": "endpoint=quiet-field"}),
        ("options=", {}),
    ],
)
def test_the_name_of_the_application_and_options_reach_the_server(parameters: str, settings: dict[str, str]) -> None:
    assert options(f"postgresql://db/service?{parameters}")["server_settings"] == settings


def test_connect_timeout_is_for_each_host() -> None:
    assert "timeout" not in options("postgresql://db/service")
    assert options("postgresql://db/service?connect_timeout=10")["timeout"] == 10
    assert options("postgresql:///service?connect_timeout=10")["timeout"] == 10
    assert options("postgresql://a,b/service?connect_timeout=10")["timeout"] == 20


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("", {}),
        ("keepalives=1", {"keepalives": 1}),
        ("keepalives=0", {"keepalives": 0}),
        ("keepalives_idle=30&keepalives_count=3", {"keepalives": 1, "keepalives_idle": 30, "keepalives_count": 3}),
        ("keepalives_idle=0&keepalives_interval=5", {"keepalives": 1, "keepalives_interval": 5}),
        ("tcp_user_timeout=2000", {"keepalives": 1, "tcp_user_timeout": 2000}),
    ],
)
def test_keepalives_are_for_the_socket(parameters: str, expected: dict[str, int]) -> None:
    assert options(f"postgresql://db/service?{parameters}".removesuffix("?"))["tcp_options"] == expected


def test_a_url_is_shown_without_passwords() -> None:
    url = read(f"postgresql://ann:{SECRET}@a,b/service?sslpassword={SECRET}&password={SECRET}")
    assert SECRET not in shown_url(url)
    assert "service" in shown_url(url)
    assert SECRET not in repr(PostgresqlUrl.of(url))


# Files


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate, beside its key: `some.crt`, `some.key`."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl on this machine")
    folder = tmp_path_factory.mktemp("certificate")
    files = ("-keyout", str(folder / "some.key"), "-out", str(folder / "some.crt"))
    new = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=some")
    subprocess.run([*new, *files], check=True, capture_output=True)
    return folder / "some.crt"


@contextmanager
def ordinary_user() -> Iterator[None]:
    """A block in which root, who may read everything, is somebody else."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(me)


FILES: Final[Sequence[str]] = ("sslrootcert", "sslcert", "sslkey", "sslcrl")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_does_not_exist_is_named(tmp_path: Path, name: str) -> None:
    said = refusal(f"postgresql://ann:{SECRET}@db/service?sslmode=require&{name}={tmp_path}/missing%0A.pem")
    assert said == rf"has the {name} '{tmp_path}/missing\n.pem', which does not exist"


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path, name: str) -> None:
    said = refusal(f"postgresql://db/service?sslmode=verify-full&{name}={tmp_path}")
    assert said == f"has the {name} '{tmp_path}', which is a folder"


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / "private.pem"
    file.touch(mode=0)
    with ordinary_user():
        said = refusal(f"postgresql://db/service?{name}={file}")
    assert said == f"has the {name} '{file}', which this user may not read"


@pytest.mark.parametrize("name", ["sslrootcert", "sslcrl", "sslcert"])
def test_a_file_without_certificates_is_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / "empty.pem"
    file.write_text("nothing\n")
    said = refusal(f"postgresql://db/service?{name}={file}")
    assert str(file) in said
    assert name in said


def test_a_certificate_without_its_key_is_named(certificate: Path) -> None:
    said = refusal(f"postgresql://db/service?sslcert={certificate}")
    assert said.startswith(f"should have a certificate in PEM form as sslcert, '{certificate}', and its")


def test_a_certificate_and_its_key_are_given_to_the_driver(certificate: Path) -> None:
    key = certificate.with_suffix(".key")
    said = options(f"postgresql://db/service?sslmode=require&sslcert={certificate}&sslkey={key}")["dsn"]
    assert said == f"postgresql://?sslcert={quote(str(certificate), '')}&sslkey={quote(str(key), '')}&sslmode=require"


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_what_is_to_be_verified_needs_an_authority(mode: str) -> None:
    assert refusal(f"postgresql://db/service?sslmode={mode}").startswith(
        f"should have sslrootcert=FILE with the certificate authorities for sslmode={mode}"
    )
    assert refusal(f"postgresql://db/service?ssl={mode.replace('-', '_')}").startswith("should have sslrootcert=FILE")


def test_the_authority_may_be_that_of_all_clients_of_postgresql(
    tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSSLROOTCERT", str(certificate))
    assert options("postgresql://db/service?sslmode=verify-full")
    monkeypatch.delenv("PGSSLROOTCERT")
    (tmp_path / ".postgresql").mkdir()
    shutil.copy(certificate, tmp_path / ".postgresql" / "root.crt")
    assert options("postgresql://db/service?sslmode=verify-full")


@pytest.mark.parametrize("mode", ["", "&sslmode=verify-full"])
def test_the_authorities_of_the_machine_verify_the_name_too(mode: str) -> None:
    said = options(f"postgresql://db/service?sslrootcert=system&sslnegotiation=direct{mode}")
    assert said["ssl"].check_hostname
    assert said["ssl"].verify_mode == ssl.CERT_REQUIRED
    assert said["direct_tls"]
    assert "dsn" not in said


def test_the_driver_takes_every_option_under_its_name() -> None:
    known = asyncpg.connect.__kwdefaults__.keys()
    url = "postgresql://ann:secret@a,b/service?sslmode=require&target_session_attrs=any&passfile=x&krbsrvname=y"
    assert options(url).keys() - {"dsn", "tcp_options"} <= known


# A URL that nothing completes


def test_a_url_that_nothing_completes_has_to_name_a_user() -> None:
    assert refusal("postgresql://db/service", client_settings=False).startswith("should name a user: postgresql://")


def test_the_defaults_of_a_url_that_nothing_completes_are_those_of_postgresql() -> None:
    said = complete_options("postgresql://ann@")
    assert (said["host"], said["port"], said["database"], said["password"]) == ([None], [5432], "ann", "")


def test_each_host_without_a_port_has_the_standard_port() -> None:
    assert complete_options("postgresql://ann@a,b:5433/service")["port"] == [5432, 5433]


@pytest.mark.parametrize("name", ["passfile", "service", "servicefile"])
def test_files_that_come_with_environment_variables_are_refused(name: str) -> None:
    said = refusal(f"postgresql://ann@db/service?{name}=x", client_settings=False)
    assert said.startswith(f"has the parameter {name}, which works only with PostgreSQL's environment variables")
    assert "client_settings=True" in said


def tls_of(url: str) -> ssl.SSLContext:
    """The TLS that a URL which insists on TLS asks for."""
    [make] = complete_options(url)["tls"]
    context = make()
    assert isinstance(context, ssl.SSLContext)
    return context


@pytest.mark.parametrize(
    ("mode", "ways"),
    [
        ("disable", [False]),
        ("allow", [False, True]),
        ("prefer", [True, False]),
        ("require", [True]),
    ],
)
def test_each_mode_has_its_order_of_connecting_with_and_without_tls(mode: str, ways: list[bool]) -> None:
    tried = complete_options(f"postgresql://ann@db/service?sslmode={mode}")["tls"]
    assert [way is not None for way in tried] == ways


@pytest.mark.parametrize(
    ("mode", "verifies", "checks_name"),
    [("require", True, False), ("verify-ca", True, False), ("verify-full", True, True)],
)
def test_each_mode_verifies_what_it_promises(
    certificate: Path, mode: str, *, verifies: bool, checks_name: bool
) -> None:
    tls = tls_of(f"postgresql://ann@db/service?sslmode={mode}&sslrootcert={certificate}")
    assert (tls.verify_mode == ssl.CERT_REQUIRED, tls.check_hostname) == (verifies, checks_name)


def test_require_without_an_authority_only_encrypts() -> None:
    assert tls_of("postgresql://ann@db/service?sslmode=require").verify_mode == ssl.CERT_NONE


def test_versions_of_tls_and_revoked_certificates_are_those_of_the_url(certificate: Path) -> None:
    files = f"sslrootcert={certificate}&sslcrl={certificate}"
    tls = tls_of(f"postgresql://ann@db/service?sslmode=verify-full&{files}&ssl_max_protocol_version=TLSv1.2")
    assert (tls.minimum_version, tls.maximum_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
    assert tls.verify_flags & ssl.VERIFY_CRL_CHECK_CHAIN


def test_a_key_in_the_home_folder_is_not_that_of_a_url_which_nothing_completes(
    tmp_path: Path, certificate: Path
) -> None:
    (tmp_path / ".postgresql").mkdir()
    shutil.copy(certificate.with_suffix(".key"), tmp_path / ".postgresql" / "postgresql.key")
    url = f"postgresql://ann@db/service?sslmode=require&sslcert={certificate}"
    assert options(url)
    assert refusal(url, client_settings=False).startswith("should have a certificate in PEM form")


def test_an_authority_in_the_home_folder_is_not_that_of_a_url_which_nothing_completes(
    tmp_path: Path, certificate: Path
) -> None:
    (tmp_path / ".postgresql").mkdir()
    shutil.copy(certificate, tmp_path / ".postgresql" / "root.crt")
    said = refusal("postgresql://ann@db/service?sslmode=verify-full", client_settings=False)
    assert said.startswith("should have sslrootcert=FILE")


# Options of an embedder


def wrong_option(**given: Any) -> str:
    """What is said of options that are refused."""
    with pytest.raises(ConfigurationError) as refused:
        DatabaseOptions(**{"url": "sqlite:///service.db", **given})
    said = str(refused.value)
    assert len(said.splitlines()) == 1
    assert SECRET not in said
    return said


@pytest.mark.parametrize(
    "text", ["postgres://ann:secret@db/service", "postgresql+asyncpg://ann:secret@/service?host=db", "sqlite:///x.db"]
)
def test_options_take_a_url_as_text(text: str) -> None:
    assert DatabaseOptions(url=text).url == read_database_url(text)


def test_options_take_a_url_of_sqlalchemy() -> None:
    url = URL.create("postgresql", "ann", "secret", "db", database="service")
    assert DatabaseOptions(url=url) == DatabaseOptions(url="postgresql://ann:secret@db/service")


def test_changed_options_keep_the_others() -> None:
    options = DatabaseOptions(url="postgresql://ann:secret@db/service", pool_size=5)
    assert replace(options, pool_timeout=1) == DatabaseOptions(url=options.url, pool_size=5, pool_timeout=1)
    assert copy.deepcopy(pickle.loads(pickle.dumps(options))) == options


def test_options_show_no_secret() -> None:
    assert SECRET not in repr(DatabaseOptions(url=f"postgresql://ann:{SECRET}@db/service?sslpassword={SECRET}"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"mysql://ann:{SECRET}@db/service", "url should start with"),
        (f"postgresql://ann:{SECRET}@db/service?ssl_mode=require", "url has the unknown parameter 'ssl_mode'"),
        (f"postgresql://:{SECRET}@db/service", "url should name a user"),
        (URL.create("mysql", "ann", SECRET), "url should start with"),
        ("", "url is empty: set it to the URL of a database"),
        (None, "url should be a URL such as"),
    ],
)
def test_a_wrong_url_of_options_is_named_by_its_parameter(url: object, said: str) -> None:
    assert wrong_option(url=url).startswith(said)


@pytest.mark.parametrize("value", [0, 1001, "5", 5.0, True, None])
def test_a_pool_has_a_whole_number_of_connections(value: object) -> None:
    assert wrong_option(pool_size=value) == "pool_size should be a whole number from 1 to 1000"


@pytest.mark.parametrize("value", [-1, 0, math.nan, math.inf, "2", True, None, 4000])
@pytest.mark.parametrize("name", ["pool_timeout", "connect_timeout", "statement_timeout", "answer_timeout"])
def test_a_time_limit_is_a_number_of_seconds_within_its_limits(name: str, value: object) -> None:
    assert wrong_option(**{name: value}).startswith(f"{name} should be a number of seconds from 0.")


@pytest.mark.parametrize("value", ["no", 0, None])
@pytest.mark.parametrize("name", ["echo", "pgbouncer", "client_settings"])
def test_a_switch_is_true_or_false(name: str, value: object) -> None:
    assert wrong_option(**{name: value}) == f"{name} should be True or False"


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(TypeError, match="poolsize"):
        DatabaseOptions(url="sqlite:///service.db", poolsize=5)  # type: ignore[call-arg]
