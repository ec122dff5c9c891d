"""API keys: credentials of bots, with few rights and without a password."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Self

from tradingagents_core.domain.plain_types import plain_id, plain_str, utc_time
from tradingagents_core.domain.scopes import plain_scopes
from tradingagents_core.domain.secrets import SECRET_LENGTH, plain_hash
from tradingagents_core.domain.text import check_length, check_no_control_characters, check_unicode
from tradingagents_core.errors import InvalidInput

API_KEY_PREFIX: Final = "ta_"
"""The beginning of every key."""

API_KEY_PATTERN: Final = rf"{API_KEY_PREFIX}[A-Za-z0-9_-]{{{SECRET_LENGTH}}}"
"""The form of every key, as a regular expression: scanners for secrets find keys by their form."""

API_KEYS_MAX: Final = 100
"""The most live keys of a user."""

API_KEY_NAME_MAX_LENGTH: Final = 100

SHOWN_LENGTH: Final = len(API_KEY_PREFIX) + 8
"""How many characters of a key are stored and shown, to tell keys apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyContent:
    """What a user decides about a key. Several keys may have one name.

    Raises:
        InvalidInput: the name is not 1 to `API_KEY_NAME_MAX_LENGTH` characters long, is only white space, or contains a
            control character or a lone surrogate; the scopes are not among `ALL_SCOPES`, or there are none; the time
            has no time zone, or cannot be converted to UTC.
    """

    name: str
    scopes: tuple[str, ...]
    expires_at: datetime | None = None
    """When the key expires; None for a key that never expires."""

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "name", plain_str("name", self.name))
        check_length("name", self.name, minimum=1, maximum=API_KEY_NAME_MAX_LENGTH)
        check_unicode("name", self.name)
        check_no_control_characters("name", self.name)
        if self.name.isspace():
            raise InvalidInput(field="name", rule="blank", message="should not be blank")
        put(self, "scopes", plain_scopes("scopes", self.scopes))
        if self.expires_at is not None:
            put(self, "expires_at", utc_time("expires_at", self.expires_at))


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey(ApiKeyContent):
    """A stored key, of which only the beginning and a hash are known. The times are converted to UTC.

    Raises:
        InvalidInput: the content breaks a rule of `ApiKeyContent`; an id is not an integer between 1 and `INTEGER_MAX`;
            the beginning is not 1 to `SHOWN_LENGTH` characters long, or contains a control character or a lone
            surrogate; the hash is not in the form of `hash_of`; a time has no time zone, or cannot be converted to UTC.
    """

    id: int
    user_id: int
    prefix: str
    key_hash: str = field(repr=False)
    created_at: datetime
    last_used_at: datetime | None = None

    def __post_init__(self) -> None:
        # `super()` does not work in a dataclass with slots.
        ApiKeyContent.__post_init__(self)
        put = object.__setattr__
        put(self, "id", plain_id("id", self.id))
        put(self, "user_id", plain_id("user_id", self.user_id))
        put(self, "prefix", plain_str("prefix", self.prefix))
        check_length("prefix", self.prefix, minimum=1, maximum=SHOWN_LENGTH)
        check_unicode("prefix", self.prefix)
        check_no_control_characters("prefix", self.prefix)
        put(self, "key_hash", plain_hash("key_hash", self.key_hash))
        put(self, "created_at", utc_time("created_at", self.created_at))
        if self.last_used_at is not None:
            put(self, "last_used_at", utc_time("last_used_at", self.last_used_at))

    @classmethod
    def created(
        cls,
        content: ApiKeyContent,
        *,
        id: int,  # noqa: A002
        user_id: int,
        prefix: str,
        key_hash: str,
        at: datetime,
    ) -> Self:
        """A new key with this content, created `at` and never used.

        Raises:
            InvalidInput: a value breaks a rule of `ApiKey`.
        """
        return cls(
            id=id,
            user_id=user_id,
            name=content.name,
            scopes=content.scopes,
            expires_at=content.expires_at,
            prefix=prefix,
            key_hash=key_hash,
            created_at=at,
        )

    def is_live(self, *, now: datetime) -> bool:
        """Whether the key has not expired."""
        return self.expires_at is None or now < self.expires_at

    def used(self, *, at: datetime) -> Self:
        """This key, last used `at`; the time never moves back, even if the clock was set back."""
        return replace(self, last_used_at=at if self.last_used_at is None else max(at, self.last_used_at))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApiKey:
    """A key that was just made: the only time that its text is known."""

    api_key: ApiKey
    text: str = field(repr=False)
