"""The URL of a database, in the forms of libpq, asyncpg and SQLAlchemy.

The URL is checked before the first connection. Every error is one line, and repeats no value except the path of a file.
"""

import getpass
import os
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from os import environ
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

_SQLITE: Final = "sqlite+aiosqlite"
_POSTGRESQL: Final = "postgresql+asyncpg"
_DRIVERS: Final = {
    "sqlite": _SQLITE,
    "sqlite+aiosqlite": _SQLITE,
    "postgres": _POSTGRESQL,
    "postgresql": _POSTGRESQL,
    "postgresql+asyncpg": _POSTGRESQL,
}
"""The schemes of URLs, each with its driver."""

_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_TLS_VERSIONS: Final = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_SYSTEM: Final = "system"
"""In place of a file: the certificate authorities that this machine trusts."""

_CHOICES: Final[Mapping[str, Sequence[str]]] = {
    "sslmode": _SSL_MODES,
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": _TLS_VERSIONS,
    "ssl_max_protocol_version": _TLS_VERSIONS,
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "gsslib": ("gssapi", "sspi"),
    "keepalives": ("0", "1"),
}
"""Parameters of the driver, with all allowed values."""

_NUMBERS: Final[Mapping[str, tuple[int, int]]] = {
    "connect_timeout": (1, 3600),
    "keepalives_idle": (0, 32767),
    "keepalives_interval": (0, 32767),
    "keepalives_count": (0, 127),
    "tcp_user_timeout": (0, 2**31 - 1),
    "statement_cache_size": (0, 2**31 - 1),
    "prepared_statement_cache_size": (0, 2**31 - 1),
}
"""Parameters that are whole numbers, with minimum and maximum."""

_FILES: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_TEXTS: Final = (
    "application_name",
    "fallback_application_name",
    "options",
    "sslpassword",
    "passfile",
    "service",
    "servicefile",
    "krbsrvname",
)
_KNOWN: Final = (*_CHOICES, *_NUMBERS, *_FILES, *_TEXTS)

_WITHOUT_EFFECT: Final[Mapping[str, Sequence[str]]] = {
    "channel_binding": ("disable", "prefer"),
    "client_encoding": ("UTF8", "utf8", "UTF-8", "utf-8", "auto"),
    "gssdelegation": ("0",),
    "gssencmode": ("disable", "prefer"),
    "load_balance_hosts": ("disable",),
    "max_protocol_version": ("3.0", "3.2", "latest"),
    "min_protocol_version": ("3.0",),
    "replication": ("false", "off", "no", "0"),
    "requiressl": ("0",),
    "sslcertmode": ("allow",),
    "sslcompression": ("0",),
    "sslsni": ("1",),
    "hostaddr": (),
    "require_auth": (),
    "requirepeer": (),
    "scram_client_key": (),
    "scram_server_key": (),
    "sslcrldir": (),
    "sslkeylogfile": (),
    "oauth_issuer": (),
    "oauth_client_id": (),
    "oauth_client_secret": (),
    "oauth_scope": (),
}
"""Parameters of libpq that the driver lacks, with the values that describe what the driver does anyway."""

_INSTEAD: Final[Mapping[str, str]] = {
    "hostaddr": "give the address as the host",
    "timeout": "write connect_timeout",
    "pgbouncer": "set DATABASE_PGBOUNCER or pgbouncer",
    "connection_limit": "set DATABASE_POOL_SIZE or pool_size",
    "pool_size": "set DATABASE_POOL_SIZE or pool_size",
    "max_overflow": "set DATABASE_POOL_SIZE or pool_size",
    "pool_timeout": "set DATABASE_POOL_TIMEOUT or pool_timeout",
    "schema": "write options=-csearch_path%3DNAME",
    "currentSchema": "write options=-csearch_path%3DNAME",
    "search_path": "write options=-csearch_path%3DNAME",
}
"""Parameters of other drivers and tools, with their replacements."""

_TLS_IN_DRIVER: Final = (
    *_FILES,
    "sslmode",
    "sslpassword",
    "sslnegotiation",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
)
"""Parameters that asyncpg accepts only in a URL."""

_CLIENT_FILES: Final = ("passfile", "service", "servicefile")
"""Parameters about files of PostgreSQL's clients. The driver reads these files beside environment variables."""

_PASSED_THROUGH: Final = (*_CLIENT_FILES, "target_session_attrs", "krbsrvname", "gsslib")
"""Parameters that `asyncpg.connect` accepts under their own names."""

_PORT: Final = 5432

_KEEPALIVES: Final = ("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")

_UNENCODED: Final = (
    'should have each "@", "/", "?" and "#" of its password, user name or database name percent-encoded, '
    "as %40, %2F, %3F and %23"
)
_EXAMPLE: Final = "postgresql://USER:PASSWORD@HOST/NAME"
_EXAMPLE_FILE: Final = "sqlite+aiosqlite:///./tradingagents.db"

_AUTHORITY: Final = re.compile(r"[^/?#]*")
_BRACKETED: Final = re.compile(r"\[(?P<host>[^\[\]]+)\](?::(?P<port>.*))?")

Address = tuple[str | None, int | None]
"""A host or the folder of a socket, and a port; None for a part that is not given."""

MakeTls = Callable[[], ssl.SSLContext]
"""Makes the TLS of a new connection, from the files of the URL as they are then."""


def read_database_url(value: object, *, client_settings: bool = False) -> URL:
    """The URL of a supported database, in SQLAlchemy's form and with the driver of this project.

    `client_settings` says whether PostgreSQL's environment variables and files complete the URL.

    Raises:
        ValueError: the URL cannot be used. The message continues the name of the variable or parameter.
    """
    if isinstance(value, URL):
        _check_driver(value.drivername)
        if value.get_backend_name() == "sqlite":
            return _read_sqlite(value)
        return _checked(PostgresqlUrl.of(value), client_settings=client_settings)
    text = str(value).strip()
    if not text:
        raise ValueError(f"is empty: set it to the URL of a database, such as {_EXAMPLE} or {_EXAMPLE_FILE}")
    if any(character < " " for character in text):
        raise ValueError("should be one line without tabs or other control characters")
    if text[0] in "\"'":
        raise ValueError("should be written without quotation marks")
    scheme, separator, _ = text.partition("://")
    if not separator:
        raise ValueError(f"should be a URL such as {_EXAMPLE} or {_EXAMPLE_FILE}")
    _check_driver(scheme)
    if _DRIVERS[scheme] == _POSTGRESQL:
        return _checked(PostgresqlUrl.read(text), client_settings=client_settings)
    try:
        return _read_sqlite(make_url(text))
    except ArgumentError:
        raise ValueError(f"should be a URL such as {_EXAMPLE_FILE}") from None


def shown_url(url: URL) -> str:
    """A PostgreSQL URL for logs: user, hosts and database, without password and parameters."""
    read = PostgresqlUrl.of(url)
    places = ",".join(f"{host or ''}{f':{port}' if port else ''}" for host, port in read.addresses)
    return f"postgresql://{f'{read.user}@' if read.user else ''}{places}/{read.database or ''}"


def _check_driver(scheme: str) -> None:
    if scheme not in _DRIVERS:
        raise ValueError("should start with sqlite+aiosqlite:// or postgresql+asyncpg://")


def _read_sqlite(url: URL) -> URL:
    if url.host or url.query:
        raise ValueError("should contain only a path: sqlite+aiosqlite:///PATH")
    if url.database in (None, "", ":memory:"):
        raise ValueError("should name a file: in memory, all requests would share one transaction")
    if not Path(url.database).parent.is_dir():
        raise ValueError("should name a file in a folder that exists")
    return url.set(drivername=_SQLITE)


def _checked(read: "PostgresqlUrl", *, client_settings: bool) -> URL:
    read.check(client_settings=client_settings)
    return read.as_url()


@dataclass(frozen=True, slots=True)
class PostgresqlUrl:
    """The parts of a PostgreSQL URL. All parameters are known, and have values that the driver supports.

    Raises:
        ValueError: a part of the URL cannot be used. The message continues the name of the variable.
    """

    user: str | None
    password: str | None = field(repr=False)
    addresses: Sequence[Address]
    database: str | None
    parameters: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls, text: str) -> Self:
        """Parse a URL as libpq does. The forms of asyncpg and SQLAlchemy are accepted, too."""
        _, _, rest = text.partition("://")
        match = _AUTHORITY.match(rest)
        assert match is not None
        authority, rest = match.group(), rest[match.end() :]
        path, _, query = rest.partition("?")
        account, _, hosts = authority.rpartition("@")
        if "#" in rest or "@" in account or "@" in path:
            raise ValueError(_UNENCODED)
        # Without an account, a host and a port may really be the beginning of one: `ann:pass?word@host`.
        if ":" in authority and not account and not path and "@" in query:
            raise ValueError(_UNENCODED)
        user, _, password = account.partition(":")
        return cls._of_parts(
            user=_decoded(user),
            password=_decoded(password),
            addresses=[_address(spec) for spec in hosts.split(",")] if hosts else [],
            database=_decoded(path.removeprefix("/")),
            query=_pairs(query),
        )

    @classmethod
    def of(cls, url: URL) -> Self:
        """The parts of an SQLAlchemy URL."""
        hosts = url.host.split(",") if url.host else [None] if url.port else []
        return cls._of_parts(
            user=url.username,
            password=None if url.password is None else str(url.password),
            addresses=[(host, url.port) for host in hosts],
            database=url.database,
            query=[
                (name, value)
                for name, values in url.query.items()
                for value in ([values] if isinstance(values, str) else values)
            ],
        )

    @classmethod
    def _of_parts(
        cls,
        *,
        user: str | None,
        password: str | None,
        addresses: Sequence[Address],
        database: str | None,
        query: Sequence[tuple[str, str]],
    ) -> Self:
        parameters = _parameters([pair for pair in query if pair[0] not in ("host", "port")])
        user = parameters.pop("user", "") or user or None
        password = parameters.pop("password", "") or password or None
        database = parameters.pop("dbname", "") or database or None
        hosts = [each for name, value in query if name == "host" and value for each in value.split(",")]
        ports = [each for name, value in query if name == "port" for each in value.split(",")]
        addresses = _combined(addresses, [_address_in_query(each) for each in hosts], [_port(each) for each in ports])
        for text in (user, password, database, *(host for host, _ in addresses), *parameters.values()):
            _check_text(text)
        return cls(user=user, password=password, addresses=addresses, database=database, parameters=parameters)

    def as_url(self) -> URL:
        """The same as an SQLAlchemy URL. Several hosts or a socket are parameters."""
        query: dict[str, str | tuple[str, ...]] = dict(self.parameters)
        host: str | None = None
        port: int | None = None
        match self.addresses:
            case [(host, port)] if not is_socket(host):
                pass
            case [*addresses] if addresses:
                host = port = None
                query["host"] = tuple(each or "" for each, _ in addresses)
                query["port"] = tuple("" if each is None else str(each) for _, each in addresses)
        return URL.create(_POSTGRESQL, self.user, self.password, host, port, self.database, query)

    def check(self, *, client_settings: bool) -> None:
        """Check that a user is known, and that the files of the URL can be read.

        Raises:
            ValueError: a check failed. The message continues the name of the variable or parameter.
        """
        if not client_settings:
            for name in _CLIENT_FILES:
                if name in self.parameters:
                    raise ValueError(
                        f"has the parameter {name}, which works only with PostgreSQL's environment variables and "
                        "files: remove it, or pass client_settings=True"
                    )
        self._check_tls(client_settings=client_settings)
        if self.user is not None:
            return
        if not client_settings:
            raise ValueError(f"should name a user: {_EXAMPLE}")
        if "service" not in self.parameters and not environ.get("PGUSER"):
            try:
                getpass.getuser()
            except (KeyError, OSError):
                raise ValueError(f"should name a user: {_EXAMPLE}") from None

    def driver_options(self, *, client_settings: bool) -> dict[str, Any]:
        """The options of `tradingagents_adapters.sql.postgresql.connect` that the URL sets.

        Without `client_settings` no option is left to the environment variables and files of PostgreSQL's clients.
        `timeout` is in seconds, for all hosts together. `tcp_options` are options of the connection's socket.
        """
        given = self.parameters
        options: dict[str, Any] = {name: given[name] for name in _PASSED_THROUGH if name in given}
        options |= {"user": self.user, "password": self.password, "database": self.database}
        options["host"] = [host for host, _ in self.addresses]
        options["port"] = [port for _, port in self.addresses]
        if not client_settings:
            options = self._complete(options)
        elif given.get("sslrootcert") == _SYSTEM:
            options |= {
                "ssl": self._make_tls(client_settings=True),
                "direct_tls": given.get("sslnegotiation") == "direct",
            }
        else:
            tls = {name: given[name] for name in _TLS_IN_DRIVER if name in given}
            # Without a URL, the driver looks no service up.
            if tls or "service" in given:
                options["dsn"] = f"postgresql://?{urlencode(tls, quote_via=quote)}"
        server_settings = {}
        if name := given.get("application_name") or given.get("fallback_application_name"):
            server_settings["application_name"] = name
        if "options" in given:
            server_settings["options"] = given["options"]
        options["server_settings"] = server_settings
        if "connect_timeout" in given:
            options["timeout"] = float(given["connect_timeout"]) * max(len(self.addresses), 1)
        if "statement_cache_size" in given:
            options["statement_cache_size"] = int(given["statement_cache_size"])
        options["tcp_options"] = self._tcp_options()
        return options

    def _complete(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options with the driver's defaults, since the driver completes missing options from the environment."""
        defaults = {
            "target_session_attrs": "any",
            "krbsrvname": "postgres",
            "gsslib": "sspi" if os.name == "nt" else "gssapi",
        }
        return {
            **defaults,
            **options,
            "host": options["host"] or [None],
            "port": [port or _PORT for port in options["port"] or [None]],
            "password": self.password or "",
            "database": self.database or self.user,
            "tls": self._ways_to_encrypt(),
            "direct_tls": self.parameters.get("sslnegotiation") == "direct",
        }

    def _ways_to_encrypt(self) -> Sequence[MakeTls | None]:
        # The authorities of a machine are more than a hundred certificates. Reading them again would delay requests.
        kept = self._make_tls(client_settings=False) if self.parameters.get("sslrootcert") == _SYSTEM else None

        def make() -> ssl.SSLContext:
            return kept or self._make_tls(client_settings=False)

        match self._ssl_mode(client_settings=False):
            case "disable":
                return [None]
            case "allow":
                return [None, make]
            case "prefer":
                return [make, None]
        return [make]

    def _tcp_options(self) -> dict[str, int]:
        numbers = {name: int(self.parameters[name]) for name in _KEEPALIVES if name in self.parameters}
        if not numbers and "keepalives" not in self.parameters:
            return {}
        # As in libpq, 0 stands for the default of the operating system.
        return {"keepalives": int(self.parameters.get("keepalives", "1"))} | {
            name: number for name, number in numbers.items() if number
        }

    def _ssl_mode(self, *, client_settings: bool) -> str:
        if self.parameters.get("sslrootcert") == _SYSTEM:
            return "verify-full"
        of_clients = environ.get("PGSSLMODE") if client_settings else None
        return self.parameters.get("sslmode") or of_clients or "prefer"

    def _check_tls(self, *, client_settings: bool) -> None:
        given = self.parameters
        mode = self._ssl_mode(client_settings=client_settings)
        if given.get("sslrootcert") == _SYSTEM and given.get("sslmode", mode) != mode:
            raise ValueError("should have sslmode=verify-full beside sslrootcert=system, or no sslmode")
        if given.get("sslnegotiation") == "direct" and mode in ("disable", "allow", "prefer"):
            raise ValueError("should have sslmode=require or stricter beside sslnegotiation=direct")
        least, most = (given.get(f"ssl_{name}_protocol_version") for name in ("min", "max"))
        if least and most and _TLS_VERSIONS.index(least) > _TLS_VERSIONS.index(most):
            raise ValueError("should have an ssl_min_protocol_version that is no later than ssl_max_protocol_version")
        files = {name: given[name] for name in _FILES if name in given and given[name] != _SYSTEM}
        for name, path in files.items():
            _check_file(name, path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for name in ("sslrootcert", "sslcrl"):
            if name in files:
                try:
                    context.load_verify_locations(cafile=files[name])
                except ssl.SSLError:
                    raise ValueError(f"should have a file in PEM form as {name}: {_shown(files[name])}") from None
        if "sslcert" in files:
            self._check_client_certificate(context, client_settings=client_settings)
        if not mode.startswith("verify") or given.get("sslrootcert"):
            return
        if client_settings:
            if environ.get("PGSSLROOTCERT"):
                return
            with suppress(RuntimeError):
                if (Path.home() / ".postgresql" / "root.crt").exists():
                    return
        raise ValueError(
            f"should have sslrootcert=FILE with the certificate authorities for sslmode={mode}, or "
            "sslrootcert=system for those of this machine"
        )

    def _check_client_certificate(self, context: ssl.SSLContext, *, client_settings: bool) -> None:
        try:
            self._load_client_certificate(context, client_settings=client_settings)
        except (OSError, ValueError):
            certificate = self.parameters["sslcert"]
            key = self._client_key(client_settings=client_settings) or certificate
            raise ValueError(
                f"should have a certificate in PEM form as sslcert, {_shown(certificate)}, and its key as sslkey, "
                f"{_shown(key)} (with sslpassword if the key is encrypted)"
            ) from None

    def _load_client_certificate(self, context: ssl.SSLContext, *, client_settings: bool) -> None:
        password = self.parameters.get("sslpassword", "")
        key = self._client_key(client_settings=client_settings)
        context.load_cert_chain(self.parameters["sslcert"], key, lambda: password)

    def _client_key(self, *, client_settings: bool) -> str | None:
        """The file of the client's key; None for a key in the same file as the certificate."""
        if "sslkey" in self.parameters or not client_settings:
            return self.parameters.get("sslkey")
        with suppress(RuntimeError, OSError):
            standard = Path.home() / ".postgresql" / "postgresql.key"
            return str(standard) if standard.exists() else None
        return None

    def _make_tls(self, *, client_settings: bool) -> ssl.SSLContext:
        """TLS as the URL describes it.

        Raises:
            OSError: a file of the URL cannot be read any more.
        """
        given, mode = self.parameters, self._ssl_mode(client_settings=client_settings)
        # `create_default_context` also reads the environment variable SSLKEYLOGFILE.
        context = ssl.create_default_context() if client_settings else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = mode == "verify-full"
        authority = given.get("sslrootcert") if mode not in ("allow", "prefer") else None
        context.verify_mode = ssl.CERT_REQUIRED if authority else ssl.CERT_NONE
        if authority == _SYSTEM:
            context.load_default_certs()
        elif authority:
            context.load_verify_locations(cafile=authority)
        if authority and (revoked := given.get("sslcrl")):
            context.load_verify_locations(cafile=revoked)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
        if "sslcert" in given:
            self._load_client_certificate(context, client_settings=client_settings)
        context.minimum_version = _tls_version(given.get("ssl_min_protocol_version", "TLSv1.2"))
        if most := given.get("ssl_max_protocol_version"):
            context.maximum_version = _tls_version(most)
        # PostgreSQL requires this protocol name (ALPN) for direct TLS.
        context.set_alpn_protocols(["postgresql"])
        return context


def _tls_version(name: str) -> ssl.TLSVersion:
    return ssl.TLSVersion[name.replace(".", "_")]


def is_socket(host: str | None) -> bool:
    """Whether a host is the folder of a Unix socket."""
    return host is not None and host.startswith("/")


def _decoded(text: str) -> str | None:
    if not text:
        return None
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("should be UTF-8 where it is percent-encoded") from None


def _check_text(text: str | None) -> None:
    try:
        encoded = (text or "").encode()
    except UnicodeEncodeError:
        raise ValueError("should be UTF-8 text") from None
    if b"\0" in encoded:
        raise ValueError("should not contain %00")


def _pairs(query: str) -> list[tuple[str, str]]:
    query = "&".join(filter(None, query.split("&")))
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict")
    except UnicodeDecodeError:
        raise ValueError("should be UTF-8 where it is percent-encoded") from None
    except ValueError:
        raise ValueError(
            _UNENCODED if "@" in query else 'should have only NAME=VALUE after its "?", separated by "&"'
        ) from None
    # An unknown name may be part of a password, and must not be repeated.
    if "@" in query and not all(_is_parameter(name) for name, _ in pairs):
        raise ValueError(_UNENCODED)
    return pairs


def _is_parameter(name: str) -> bool:
    return (
        name in ("host", "port", "user", "password", "dbname", "database", "ssl")
        or name in _KNOWN
        or name in _WITHOUT_EFFECT
        or name in _INSTEAD
    )


def _parameters(query: Sequence[tuple[str, str]]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for name, value in query:
        if name == "ssl":
            # libpq accepts the "true" of JDBC, and asyncpg accepts underscores.
            name, value = "sslmode", {"true": "require"}.get(value, value.replace("_", "-"))  # noqa: PLW2901
        elif name == "database":
            name = "dbname"  # noqa: PLW2901
        _check_parameter(name, value)
        if parameters.get(name, value) != value:
            raise ValueError(f"should have one {name}, not several that differ")
        if name not in _WITHOUT_EFFECT:
            parameters[name] = value
    return {
        name: value
        for name, value in parameters.items()
        # An empty text counts as not given.
        if value or name not in _TEXTS
    }


def _check_parameter(name: str, value: str) -> None:
    if name in _CHOICES and value not in _CHOICES[name]:
        raise ValueError(f"should have {_alternatives(_CHOICES[name])} as {name}")
    if name in _NUMBERS:
        least, most = _NUMBERS[name]
        if not re.fullmatch("[0-9]{1,10}", value) or not least <= int(value) <= most:
            raise ValueError(f"should have a whole number from {least} to {most} as {name}")
    if name in _FILES and not value:
        raise ValueError(f"should name a file as {name}, or leave {name} out")
    if name in _WITHOUT_EFFECT and value not in (harmless := _WITHOUT_EFFECT[name]):
        advice = f"write {_alternatives(harmless)}, or remove it" if harmless else _INSTEAD.get(name, "remove it")
        raise ValueError(f"asks with {name} for a feature that the driver lacks: {advice}")
    if not _is_parameter(name):
        alike = get_close_matches(name.lower().replace("-", ""), [*_KNOWN, *_WITHOUT_EFFECT], n=1, cutoff=0.8)
        advice = f"write {alike[0]}, or remove it" if alike else "remove it"
        raise ValueError(f"has the unknown parameter {_shown(name)}: {advice}")
    if name in _INSTEAD and name not in _WITHOUT_EFFECT:
        raise ValueError(f"has the parameter {name}, which PostgreSQL does not have: remove it, and {_INSTEAD[name]}")


def _combined(
    addresses: Sequence[Address], in_query: Sequence[Address], ports: Sequence[int | None]
) -> Sequence[Address]:
    """Combine both kinds of addresses: hosts in the query win, and a single port is for all hosts without one."""
    if in_query:
        others = [port for _, port in addresses]
        ports = ports or (others if len(others) in (1, len(in_query)) else [])
        addresses = in_query
    elif not addresses and ports:
        addresses = [(None, None)]
    if len(ports) == 1:
        ports = [*ports] * len(addresses)
    if ports and len(ports) != len(addresses):
        raise ValueError("should have one port, or as many as it has hosts")
    if len(addresses) > 1 and any(host is None for host, _ in addresses):
        raise ValueError("should have no empty host among its hosts")
    if not ports:
        return addresses
    return [(host, own or port) for (host, own), port in zip(addresses, ports, strict=True)]


def _address(spec: str) -> Address:
    """Parse an address before the path: percent-encoded, with its port."""
    if bracketed := _BRACKETED.fullmatch(spec):
        host, port = bracketed["host"], bracketed["port"] or ""
    else:
        host, _, port = spec.partition(":")
    return _checked_host(_decoded(host)) if host else None, _port(port)


def _address_in_query(spec: str) -> Address:
    """Parse an address in the parameter `host`. SQLAlchemy writes the port there, too."""
    if not spec:
        raise ValueError("should have no empty host among its hosts")
    if not is_socket(spec) and (bracketed := _BRACKETED.fullmatch(spec)):
        return _checked_host(bracketed["host"]), _port(bracketed["port"] or "")
    if not is_socket(spec) and spec.count(":") == 1:
        host, _, port = spec.partition(":")
        return _checked_host(host), _port(port)
    return _checked_host(spec), None


def _checked_host(host: str | None) -> str:
    if not host:
        raise ValueError("should have no empty host among its hosts")
    if host.startswith("@"):
        raise ValueError(
            "has an abstract socket as host, which the driver does not support: name the folder of a socket"
        )
    if not is_socket(host):
        if not host.isprintable() or " " in host:
            raise ValueError("should have no blank in a host")
        try:
            host.encode("idna")
        except UnicodeError:
            raise ValueError("has a host name with an empty part, or one of more than 63 characters") from None
    return host


def _port(text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise ValueError(
            'should have a number from 1 to 65535 as port; a ":", "@", "/", "?" or "#" of a password is written '
            "%3A, %40, %2F, %3F or %23"
        )
    return int(text)


def _check_file(name: str, path: str) -> None:
    try:
        with Path(path).open("rb"):
            return
    except FileNotFoundError:
        fault = "does not exist"
    except IsADirectoryError:
        fault = "is a folder"
    except PermissionError:
        fault = "this user may not read"
    except OSError as error:
        fault = f"cannot be read ({error.strerror})"
    raise ValueError(f"has the {name} {_shown(path)}, which {fault}")


def _alternatives(values: Sequence[str]) -> str:
    *others, last = values
    return f"{', '.join(others)} or {last}" if others else last


def _shown(text: str) -> str:
    """A name or a path on one line, with control characters escaped."""
    return repr(text)
