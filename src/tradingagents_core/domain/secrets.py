"""Random secrets that a user keeps, and of which the service stores a hash only."""

import secrets
from hashlib import sha256
from typing import Final

SECRET_BYTES: Final = 32
"""How many random bytes a secret has: as many as its hash, so that nobody guesses one."""

SECRET_LENGTH: Final = -(-SECRET_BYTES * 4 // 3)
"""How many characters a secret has after its prefix: base64url has four for three bytes, without padding."""


def new_secret(prefix: str) -> str:
    """A new secret: the prefix, and `SECRET_BYTES` random bytes in base64url."""
    return prefix + secrets.token_urlsafe(SECRET_BYTES)


def hash_of(secret: str) -> str:
    """The SHA-256 of a secret in hexadecimal digits. A secret of random bytes needs no slow hash."""
    return sha256(secret.encode(errors="surrogatepass")).hexdigest()
