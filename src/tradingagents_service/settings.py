"""Settings from the environment and the file `.env`, checked before anything starts."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    IPvAnyNetwork,
    PlainValidator,
    SecretStr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from sqlalchemy.engine import URL, make_url

from tradingagents_adapters.argon2_passwords import MEMORY_KIB_MIN, PARALLELISM_MIN, TIME_COST_MIN
from tradingagents_adapters.database_url import read_database_url
from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.files import own_user, owner
from tradingagents_adapters.jwt_keys import (
    KEY_MIN_BYTES,
    AlgorithmName,
    InvalidKey,
    read_previous_keys,
    read_signing_key,
)
from tradingagents_adapters.jwt_tokens import LIFETIME_MAX
from tradingagents_adapters.sql.options import (
    ANSWER_TIMEOUT,
    CONNECT_TIMEOUT,
    POOL_SIZE,
    POOL_TIMEOUT,
    STATEMENT_TIMEOUT,
    DatabaseOptions,
)
from tradingagents_core.use_cases import RefreshOptions
from tradingagents_core.use_cases.authentication import REFRESH_LIFETIME, REFRESH_REUSE
from tradingagents_service.options import CoreOptions

_STANDARD_PORTS: Final = {"http": 80, "https": 443}

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

_PATH_PREFIX: Final = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+")

_REMOVED: Final = {
    "database_pool_overflow": "remove it, and set DATABASE_POOL_SIZE to the most connections that a process may have"
}
"""Variables of earlier versions, and what the operator should do instead."""

_KEY_FILE_MAX_BYTES: Final = 256 * 1024


def _trimmed(variables: Mapping[str, str | None]) -> Mapping[str, str | None]:
    """The variables without leading and trailing white space. Empty variables are treated as unset.

    The key loses only line breaks at its end, since spaces may belong to the key. An empty `DATABASE_URL` stays and is
    refused: the operator would not expect the default database in its place.
    """
    trimmed = {
        name: value.rstrip("\r\n") if name == "jwt_secret_key" else value.strip()
        for name, value in variables.items()
        if value is not None
    }
    return {name: value for name, value in trimmed.items() if value or name == "database_url"}


def _path_prefix(text: str) -> str:
    prefix = text.rstrip("/")
    if prefix and not _PATH_PREFIX.fullmatch(prefix):
        raise PydanticCustomError("prefix", "should be a path such as /trading, of plain characters")
    return prefix


def _listed(text: object) -> object:
    """The entries of a list in JSON or separated by commas."""
    if not isinstance(text, str):
        return text
    if not text.lstrip().startswith(("[", '"', "{")):
        return [entry for part in text.split(",") if (entry := part.strip())]
    try:
        return json.loads(text)
    except ValueError:
        raise PydanticCustomError("list", "should be a JSON list, or entries with commas between them") from None


def _origin(text: str) -> str:
    """An origin as browsers send it (RFC 6454, 6.2)."""
    if text == "*":
        return text
    example = "should hold origins such as https://app.example.com"
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise PydanticCustomError("origin", f"{example}: one of them is no URL") from None
    if not url.scheme or not url.hostname:
        raise PydanticCustomError("origin", f"{example}: one of them has no scheme or no host")
    if "*" in text:
        raise PydanticCustomError("origin", f'{example}, or "*" alone: a wildcard matches no host')
    if url.path or url.query or url.fragment or url.username is not None:
        raise PydanticCustomError("origin", f"{example}: one of them goes on after the host")
    if text != text.lower() or port == _STANDARD_PORTS.get(url.scheme, 0):
        raise PydanticCustomError("origin", f"{example}: browsers send them in lower case, and without a standard port")
    return text


def _header_name(text: str) -> str:
    if not _HEADER_NAME.fullmatch(text):
        raise PydanticCustomError("header", 'should hold names of headers such as X-Requested-With, or "*"')
    return text


def _network(text: object, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(text)
    except ValidationError:
        raise PydanticCustomError(
            "proxies", "should hold addresses or networks of proxies, such as 127.0.0.1 or 10.0.0.0/8"
        ) from None


def _content(text: object) -> object:
    """The content of the file with this path, without white space at its end."""
    if not isinstance(text, str):
        return text
    try:
        with Path(text).open("rb") as file:
            content = file.read(_KEY_FILE_MAX_BYTES + 1)
    except IsADirectoryError:
        raise PydanticCustomError("file", "names a folder: set it to the path of a file") from None
    except PermissionError as error:
        raise PydanticCustomError("file", _unreadable(text, error)) from None
    except (OSError, ValueError):
        # The path is not repeated: the operator may have set the variable to the key itself.
        raise PydanticCustomError("file", "names a file that does not exist: set it to the path of a file") from None
    if len(content) > _KEY_FILE_MAX_BYTES:
        raise PydanticCustomError("file", f"names a file of more than {_KEY_FILE_MAX_BYTES} bytes: no key is so large")
    try:
        return content.decode("utf-8-sig").rstrip()
    except UnicodeDecodeError:
        raise PydanticCustomError("file", "names a file that is not UTF-8 text: keys are PEM or plain text") from None


_Listed: Final = BeforeValidator(_listed)
_Content: Final = BeforeValidator(_content)
_Proxy: Final = WrapValidator(_network)
_DatabaseUrl: Final = PlainValidator(partial(read_database_url, client_settings=True))


class DatabaseSettings(BaseSettings):
    """The settings of commands that need only the database."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True)

    database_url: Annotated[URL, NoDecode, _DatabaseUrl, Field(repr=False)] = make_url(
        "sqlite+aiosqlite:///./tradingagents.db"
    )
    sqlalchemy_echo: bool = False
    database_pool_size: Annotated[int, Field(ge=POOL_SIZE.least, le=POOL_SIZE.most)] = DatabaseOptions.pool_size
    database_pool_timeout: Annotated[float, Field(ge=POOL_TIMEOUT.least, le=POOL_TIMEOUT.most)] = (
        DatabaseOptions.pool_timeout
    )
    database_connect_timeout: Annotated[float, Field(ge=CONNECT_TIMEOUT.least, le=CONNECT_TIMEOUT.most)] = (
        DatabaseOptions.connect_timeout
    )
    database_statement_timeout: Annotated[float, Field(ge=STATEMENT_TIMEOUT.least, le=STATEMENT_TIMEOUT.most)] = (
        DatabaseOptions.statement_timeout
    )
    database_answer_timeout: Annotated[float, Field(ge=ANSWER_TIMEOUT.least, le=ANSWER_TIMEOUT.most)] = (
        DatabaseOptions.answer_timeout
    )
    database_pgbouncer: bool = DatabaseOptions.pgbouncer
    migrate_on_start: bool | None = None
    """Whether a start migrates the schema; by default on SQLite only."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment, then `.env`, and trim the values."""
        for source in (env_settings, dotenv_settings):
            assert isinstance(source, EnvSettingsSource)
            source.env_vars = _trimmed(source.env_vars)
            for name, instead in _REMOVED.items():
                if name in source.env_vars:
                    raise ConfigurationError(f"{name.upper()} is no longer supported: {instead}")
        return init_settings, env_settings, dotenv_settings

    @property
    def core(self) -> CoreOptions:
        """The options of the core."""
        return CoreOptions(
            database=self.database,
            migrates=self.database.is_sqlite if self.migrate_on_start is None else self.migrate_on_start,
        )

    @property
    def database(self) -> DatabaseOptions:
        """The options of the SQL adapters."""
        return DatabaseOptions(
            url=self.database_url,
            echo=self.sqlalchemy_echo,
            pool_size=self.database_pool_size,
            pool_timeout=self.database_pool_timeout,
            connect_timeout=self.database_connect_timeout,
            statement_timeout=self.database_statement_timeout,
            answer_timeout=self.database_answer_timeout,
            pgbouncer=self.database_pgbouncer,
            client_settings=True,
        )


class AccountSettings(DatabaseSettings):
    """The settings of commands that also hash and verify passwords."""

    password_hash_memory_kib: Annotated[int, Field(ge=MEMORY_KIB_MIN, le=4 * 1024 * 1024)] = CoreOptions.hash_memory_kib
    password_hash_time_cost: Annotated[int, Field(ge=TIME_COST_MIN, le=100)] = CoreOptions.hash_time_cost
    password_hash_parallelism: Annotated[int, Field(ge=PARALLELISM_MIN, le=64)] = CoreOptions.hash_parallelism
    password_hash_threads: Annotated[int, Field(ge=1, le=64)] = CoreOptions.hash_threads
    """Passwords that a process hashes at once."""

    @property
    def core(self) -> CoreOptions:
        return replace(
            super().core,
            hash_memory_kib=self.password_hash_memory_kib,
            hash_time_cost=self.password_hash_time_cost,
            hash_parallelism=self.password_hash_parallelism,
            hash_threads=self.password_hash_threads,
        )


class Settings(AccountSettings):
    """All settings of the HTTP service."""

    jwt_secret_key: SecretStr | None = None
    jwt_secret_key_file: Annotated[SecretStr | None, _Content] = None
    """The key in a file, in place of `jwt_secret_key`. The value is the content of the file."""
    jwt_algorithm: AlgorithmName = "HS256"
    jwt_previous_keys_file: Annotated[SecretStr | None, _Content] = None
    """Keys that only verify tokens, in the form of `read_previous_keys`. The value is the content of the file."""
    jwt_expiration_minutes: Annotated[int, Field(ge=1, le=LIFETIME_MAX // timedelta(minutes=1))] = 30
    refresh_expiration_days: Annotated[int, Field(ge=1, le=LIFETIME_MAX // timedelta(days=1))] = (
        REFRESH_LIFETIME // timedelta(days=1)
    )
    """How long a session with a refresh token goes on after its last refresh."""
    refresh_reuse_seconds: Annotated[float, Field(ge=0, le=300)] = REFRESH_REUSE / timedelta(seconds=1)
    """How long after its first use a refresh token is answered again."""
    registration_enabled: bool = CoreOptions.registration_enabled
    """Whether everybody may create an account over HTTP."""
    identity_cache_seconds: Annotated[float, Field(ge=0, le=60)] = CoreOptions.identity_cache_seconds
    """How long a process caches an authenticated caller; 0 disables the cache."""
    cors_origins: Annotated[list[Annotated[str, AfterValidator(_origin)]], NoDecode, _Listed] = ["*"]
    """The origins whose pages may read responses; `*` stands for all."""
    cors_allow_headers: Annotated[list[Annotated[str, AfterValidator(_header_name)]], NoDecode, _Listed] = ["*"]
    """The request headers that those pages may send; `*` stands for all."""
    cors_allow_credentials: bool = False
    trusted_proxies: Annotated[list[Annotated[IPvAnyNetwork, _Proxy]], NoDecode, _Listed] = []
    """The addresses or networks of proxies whose `X-Forwarded-For` is trusted."""
    root_path: Annotated[str, AfterValidator(_path_prefix)] = ""
    """The prefix that a proxy strips from request paths; empty if there is no prefix."""

    @property
    def core(self) -> CoreOptions:
        return replace(
            super().core,
            secret_key=self._secret_key,
            algorithm=self.jwt_algorithm,
            previous_keys=self._previous_keys,
            token_lifetime=timedelta(minutes=self.jwt_expiration_minutes),
            refresh=RefreshOptions(
                lifetime=timedelta(days=self.refresh_expiration_days),
                reuse=timedelta(seconds=self.refresh_reuse_seconds),
            ),
            registration_enabled=self.registration_enabled,
            identity_cache_seconds=self.identity_cache_seconds,
        )

    @model_validator(mode="after")
    def _credentials_are_for_named_origins(self) -> Self:
        if self.cors_allow_credentials and "*" in self.cors_origins:
            raise ValueError('CORS_ALLOW_CREDENTIALS needs named origins in CORS_ORIGINS, not "*"')
        return self

    @model_validator(mode="after")
    def _keys_are_usable(self) -> Self:
        name = "JWT_SECRET_KEY" if self.jwt_secret_key_file is None else "JWT_SECRET_KEY_FILE: the key"
        try:
            current = read_signing_key(self._secret_key, algorithm=self.jwt_algorithm)
        except InvalidKey as fault:
            raise ValueError(f"{name} {fault}") from None
        try:
            read_previous_keys(self._previous_keys, current=current)
        except InvalidKey as fault:
            raise ValueError(f"JWT_PREVIOUS_KEYS_FILE: {fault}") from None
        return self

    @property
    def _secret_key(self) -> str:
        match self.jwt_secret_key, self.jwt_secret_key_file:
            case None, None:
                raise ValueError(_missing_key_message(self.jwt_algorithm))
            case (SecretStr() as secret, None) | (None, SecretStr() as secret):
                return secret.get_secret_value()
        raise ValueError("JWT_SECRET_KEY and JWT_SECRET_KEY_FILE are both set: remove one of them")

    @property
    def _previous_keys(self) -> str:
        return self.jwt_previous_keys_file.get_secret_value() if self.jwt_previous_keys_file else ""


SettingsT = TypeVar("SettingsT", bound=DatabaseSettings)


def load_settings(settings: type[SettingsT]) -> SettingsT:
    """The settings of this process.

    Raises:
        ConfigurationError: a variable is missing or wrong. The message does not repeat its value.
    """
    dotenv = Path(str(settings.model_config.get("env_file"))).absolute()
    try:
        # `.env` may be a virtual environment. If a file to mount is missing, Docker makes an empty folder in its place.
        if dotenv.is_dir() and not (dotenv / "pyvenv.cfg").exists():
            raise ConfigurationError(f"{dotenv} is a folder: replace it by a file, or remove it")
        return settings()
    except ValidationError as error:
        messages = [_message(each["loc"], each["msg"]) for each in error.errors()]
        raise ConfigurationError("; ".join(messages)) from None
    except UnicodeDecodeError:
        raise ConfigurationError(".env should be UTF-8 text") from None
    except OSError as error:
        path = Path(str(error.filename or dotenv)).absolute()
        raise ConfigurationError(f"{path} {_unreadable(str(path), error)}") from None


def _message(loc: tuple[int | str, ...], text: str) -> str:
    variable = str(loc[0]).upper() if loc else ""
    text = text.removeprefix("Value error, ").removeprefix("Input ")
    return f"{variable} {text[:1].lower()}{text[1:]}" if variable else text


def _missing_key_message(algorithm: str) -> str:
    if algorithm in KEY_MIN_BYTES:
        return (
            f"JWT_SECRET_KEY is required: set it to {KEY_MIN_BYTES[algorithm]} bytes or more, for example to what "
            "`tradingagents secret` prints"
        )
    return (
        "JWT_SECRET_KEY is required: set it to a private key in PEM, such as `tradingagents secret --algorithm "
        f"{algorithm}` prints, or set JWT_SECRET_KEY_FILE to the path of a file with the key"
    )


def _unreadable(path: str, error: OSError) -> str:
    """Why a file cannot be read, with its owner, and what the operator can do."""
    # `Path.exists` raises an error if a parent folder may not be entered.
    belongs = f" and belongs to the user {owner(Path(path))}" if os.path.exists(path) else ""  # noqa: PTH110
    return (
        f"cannot be read by the user {own_user()}{belongs} ({error.strerror}): "
        "allow that user to read it, or run the service as another user"
    )
