"""Users, and the passwords with which they log in."""

import re
import unicodedata
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Self

from tradingagents_core.domain.plain_types import plain_bool, plain_id, plain_str, utc_time
from tradingagents_core.domain.text import check_length, check_no_nul, check_unicode
from tradingagents_core.errors import InvalidInput

EMAIL_MAX_LENGTH: Final = 254
"""The longest address that fits a mail path (RFC 5321, 4.5.3.1.3)."""

PASSWORD_MIN_LENGTH: Final = 8
"""The minimum number of characters of a new password (NIST SP 800-63B, 5.1.1.2)."""

PASSWORD_MAX_BYTES: Final = 1024
"""The maximum length of a new password in bytes of UTF-8."""

_TYPED_MAX_BYTES: Final = 4 * PASSWORD_MAX_BYTES
"""The maximum length of a password before normalization, in bytes of UTF-8.

Normalization keeps at least a quarter of the bytes: some Greek letters with two accents shrink to two sevenths.
"""

_EMAIL: Final = re.compile(r"[^@\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+@[^@\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


def is_email(text: str) -> bool:
    """Whether the text has the form of an e-mail address.

    An address has at most `EMAIL_MAX_LENGTH` characters, one `@` with text before and after it, and no white space,
    control characters or lone surrogates.
    """
    return len(text) <= EMAIL_MAX_LENGTH and _EMAIL.fullmatch(text) is not None


def normalize_email(text: str) -> str:
    """An e-mail address in the form in which addresses are stored and compared: lower case.

    Raises:
        InvalidInput: the text is not an address (`is_email`).
    """
    email = plain_str("email", text).lower()
    if not is_email(email):
        raise InvalidInput(field="email", rule="email", message="should be an e-mail address such as user@example.com")
    return email


def normalize_password(text: str) -> str:
    """A password in the form in which passwords are hashed and compared: NFC, which is the same for every keyboard.

    A text longer than any password is returned unchanged, because the time of normalization may grow with the square
    of the length.

    Raises:
        InvalidInput: the value is not text.
    """
    text = plain_str("password", text)
    if len(text.encode(errors="surrogatepass")) > _TYPED_MAX_BYTES:
        return text
    return unicodedata.normalize("NFC", text)


def normalize_new_password(text: str, *, field: str = "password") -> str:
    """A password that a user may set, normalized. Errors name the `field`.

    Raises:
        InvalidInput: the password has fewer than `PASSWORD_MIN_LENGTH` characters or more than `PASSWORD_MAX_BYTES`
            bytes, contains a lone surrogate, or is not text.
    """
    password = normalize_password(plain_str(field, text))
    check_unicode(field, password)
    check_length(field, password, minimum=PASSWORD_MIN_LENGTH)
    if len(password.encode()) > PASSWORD_MAX_BYTES:
        raise InvalidInput(
            field=field, rule="too_large", message=f"should have at most {PASSWORD_MAX_BYTES} bytes as UTF-8"
        )
    return password


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person with an account. The e-mail is unique and in lower case; times are converted to UTC.

    Raises:
        InvalidInput: the id is not an integer between 1 and `INTEGER_MAX`; the e-mail is not in the form of
            `normalize_email`; the hash is not text, or contains NUL or a lone surrogate; `is_active` is not a boolean;
            a time has no time zone, or cannot be converted to UTC.
    """

    id: int
    email: str
    password_hash: str = field(repr=False)
    is_active: bool = True
    created_at: datetime
    updated_at: datetime

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "id", plain_id("id", self.id))
        put(self, "email", plain_str("email", self.email))
        if self.email != normalize_email(self.email):
            raise InvalidInput(field="email", rule="email", message="should be in lower case")
        put(self, "password_hash", plain_str("password_hash", self.password_hash))
        check_unicode("password_hash", self.password_hash)
        check_no_nul("password_hash", self.password_hash)
        plain_bool("is_active", self.is_active)
        put(self, "created_at", utc_time("created_at", self.created_at))
        put(self, "updated_at", utc_time("updated_at", self.updated_at))

    @classmethod
    def from_store(
        cls,
        *,
        id: int,  # noqa: A002
        email: str,
        password_hash: str,
        is_active: bool,
        created_at: datetime,
        updated_at: datetime,
    ) -> Self:
        """A user from the values of another user. Nothing is checked: for stores only."""
        user = object.__new__(cls)
        put = object.__setattr__
        put(user, "id", id)
        put(user, "email", email)
        put(user, "password_hash", password_hash)
        put(user, "is_active", is_active)
        put(user, "created_at", created_at)
        put(user, "updated_at", updated_at)
        return user

    def with_password_hash(self, password_hash: str, *, at: datetime) -> Self:
        """This user with another password hash."""
        return replace(self, password_hash=password_hash, updated_at=max(utc_time("at", at), self.updated_at))

    def activated(self, *, at: datetime) -> Self:
        """This user, allowed to log in."""
        return replace(self, is_active=True, updated_at=max(utc_time("at", at), self.updated_at))

    def deactivated(self, *, at: datetime) -> Self:
        """This user, not allowed to log in or to use a token."""
        return replace(self, is_active=False, updated_at=max(utc_time("at", at), self.updated_at))
