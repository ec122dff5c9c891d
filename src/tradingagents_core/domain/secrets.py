"""Random secrets that a user keeps, and of which the service stores a hash only."""

import re
import secrets
from hashlib import sha256
from typing import Final

from tradingagents_core.domain.plain_types import plain_str
from tradingagents_core.errors import InvalidInput

SECRET_BYTES: Final = 32
"""How many random bytes a secret has: as many as its hash, so that nobody guesses one."""

SECRET_LENGTH: Final = -(-SECRET_BYTES * 4 // 3)
"""How many characters a secret has after its prefix: base64url has four for three bytes, without padding."""

HASH_LENGTH: Final = 64
"""How many hexadecimal digits the hash of a secret has."""

_HASH: Final = re.compile(f"[0-9a-f]{{{HASH_LENGTH}}}")


def new_secret(prefix: str) -> str:
    """A new secret: the prefix, and `SECRET_BYTES` random bytes in base64url."""
    return prefix + secrets.token_urlsafe(SECRET_BYTES)


def hash_of(secret: str) -> str:
    """The SHA-256 of a secret in hexadecimal digits. A secret of random bytes needs no slow hash."""
    return sha256(secret.encode(errors="surrogatepass")).hexdigest()


def plain_hash(field: str, value: object) -> str:
    """A hash in the form of `hash_of`, as a plain `str`.

    Raises:
        InvalidInput: the value is not a text of `HASH_LENGTH` hexadecimal digits in lower case.
    """
    text = plain_str(field, value)
    if _HASH.fullmatch(text) is None:
        raise InvalidInput(
            field=field, rule="hash", message=f"should be {HASH_LENGTH} hexadecimal digits in lower case"
        )
    return text
