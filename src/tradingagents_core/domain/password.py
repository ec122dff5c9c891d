"""Passwords: which ones may be set, and the one form in which they are hashed and compared."""

import unicodedata
from typing import Final

from tradingagents_core.domain.text import check_length, check_unicode
from tradingagents_core.errors import InvalidInput

PASSWORD_MIN_LENGTH: Final = 8
"""Characters that a new password has at least (NIST SP 800-63B, 5.1.1.2)."""

PASSWORD_MAX_BYTES: Final = 1024
"""Bytes of UTF-8 that a new password has at most."""


_TYPED_MAX_BYTES: Final = 4 * PASSWORD_MAX_BYTES
"""Bytes that a password has at most before it is in its normal form, in which a quarter of them or more are left: some
Greek letters with two accents shrink to two sevenths."""


def normalize_password(text: str) -> str:
    """The form in which a password is hashed and compared: NFC, so that every keyboard types the same one.

    A text that is too long to be any password in any form stays as it is, since the time that normalization takes may
    grow with the square of the length.
    """
    if len(text.encode(errors="surrogatepass")) > _TYPED_MAX_BYTES:
        return text
    return unicodedata.normalize("NFC", text)


def new_password(text: str) -> str:
    """A password that may be set, in its normal form.

    Raises:
        InvalidInput: it has fewer than `PASSWORD_MIN_LENGTH` characters or more than `PASSWORD_MAX_BYTES` bytes, or
            holds a lone surrogate.
    """
    check_unicode("password", text)
    password = normalize_password(text)
    check_length("password", password, minimum=PASSWORD_MIN_LENGTH)
    if len(password.encode()) > PASSWORD_MAX_BYTES:
        raise InvalidInput(
            field="password", rule="too_large", message=f"should have at most {PASSWORD_MAX_BYTES} bytes as UTF-8"
        )
    return password
