"""Keys that sign and verify JSON Web Tokens (RFC 7518). Each key has one algorithm (RFC 8725, 3.1)."""

import base64
import hashlib
import hmac
import json
import re
import secrets
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from tradingagents_core.domain.authentication import JsonWebKey

AlgorithmName: TypeAlias = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"
]
ALGORITHMS: Final[tuple[AlgorithmName, ...]] = get_args(AlgorithmName)
"""The supported algorithms (RFC 7518, 3.1; RFC 8037, 3.1). `EdDSA` is Ed25519."""

KEY_MIN_BYTES: Final[Mapping[str, int]] = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The algorithms whose key is a secret text, each with the minimum length of the key (RFC 7518, 3.2)."""

RSA_MIN_BITS: Final = 2048
"""The minimum size of an RSA key (RFC 7518, 3.3)."""

_NEW_SECRET_BYTES: Final = 64
"""Long enough for every algorithm in `KEY_MIN_BYTES`."""
_NEW_RSA_BITS: Final = 3072
_RSA_EXPONENT: Final = 65537

_RSA: Final = "an RSA key"
_P256: Final = "an EC key on the curve P-256"
_P384: Final = "an EC key on the curve P-384"
_ED25519: Final = "an Ed25519 key"
_NEEDED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), _RSA),
    "ES256": _P256,
    "ES384": _P384,
    "EdDSA": _ED25519,
}
_NEW_KEYS: Final[Mapping[str, Callable[[], Any]]] = {
    _RSA: partial(rsa.generate_private_key, _RSA_EXPONENT, _NEW_RSA_BITS),
    _P256: partial(ec.generate_private_key, ec.SECP256R1()),
    _P384: partial(ec.generate_private_key, ec.SECP384R1()),
    _ED25519: ed25519.Ed25519PrivateKey.generate,
}
_CURVES: Final = {"secp256r1": _P256, "secp384r1": _P384}

_PUBLIC_MEMBERS: Final = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}
"""The members of a thumbprint, in its order (RFC 7638, 3.2; RFC 8037, 2)."""

_KEY_ID_PURPOSE: Final = b"the id of this key"
"""Signed for the id of a secret key. No token begins like this."""
_KEY_ID_BYTES: Final = 12

_PEM_BEGINNING: Final = "-----BEGIN "
_PEM_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_PEM_LINE_LENGTH: Final = 64
_ESCAPED_LINE_BREAK: Final = re.compile(r"\\+[nr]")
_PRIVATE_LABELS: Final = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY")
_PUBLIC_LABELS: Final = ("PUBLIC KEY", "RSA PUBLIC KEY")

_LINE_BREAK: Final = re.compile(r"\r\n|\n|\r")
_ENTRY: Final = re.compile(rf"\s*({'|'.join(ALGORITHMS)})(?:\s+(.*))?")

_WELL_KNOWN: Final = re.compile(
    "change.?(me|this|it|in.?prod)|your.{0,9}(secret|key)|replace.?(me|this|with)"
    "|a-string-secret-at-least-256-bits-long|09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"
)
"""Placeholders for keys in examples, and the complete keys of two popular tutorials."""

_jws: Final = jwt.PyJWS()


class InvalidKey(ValueError):
    """A key that cannot be used. The message does not repeat the key.

    For one key, the message continues a sentence that begins with the name of the key, such as `JWT_SECRET_KEY`.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtKey:
    """A key with its one algorithm."""

    algorithm: str
    key_id: str
    """The thumbprint of a public key (RFC 7638). The id of a secret key comes from a one-way function."""
    public: JsonWebKey | None
    """The public key; None for a secret key."""
    signing: Any = field(repr=False)
    """The key as PyJWT signs with it; None for a key that only verifies."""
    verifying: Any = field(repr=False)
    """The key as PyJWT verifies with it."""

    def sign(self, message: bytes) -> bytes:
        """The signature of a message."""
        return _jws.get_algorithm_by_name(self.algorithm).sign(message, self.signing)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature was made with this key for this message."""
        return _jws.get_algorithm_by_name(self.algorithm).verify(message, self.verifying, signature)


def read_signing_key(text: str, *, algorithm: str) -> JwtKey:
    """The key in this text: a secret text for HS256, HS384 and HS512, otherwise a private key in PEM (RFC 7468).

    The algorithm is one of `ALGORITHMS`. The line breaks of PEM may be escaped as `\\n`, or missing. PKCS#8, PKCS#1 and
    SEC 1 are supported.

    Raises:
        InvalidKey: the key does not fit the algorithm, is not secure or cannot be read.
    """
    if algorithm in KEY_MIN_BYTES:
        return _secret_key(text, algorithm)
    key = _key_pair(text, algorithm)
    if key.signing is None:
        raise InvalidKey(f"is a public key: tokens are signed with a private key, {_such_as(algorithm)}")
    return key


def read_previous_keys(text: str, *, current: JwtKey) -> tuple[JwtKey, ...]:
    """The other keys in this text, which only verify tokens.

    Before each key is the name of its algorithm. A secret key is in the same line, and a private or public key in PEM
    in the next lines. Empty lines and lines that begin with `#` are ignored, and so is the current key.

    Raises:
        InvalidKey: a key cannot be used, or has two algorithms. The message names its line.
    """
    known = {current.key_id: current}
    for line, algorithm, content in _entries(text):
        try:
            key = (_secret_key if algorithm in KEY_MIN_BYTES else _key_pair)(content, algorithm)
        except InvalidKey as fault:
            raise InvalidKey(f"the key of line {line} {fault}") from None
        if known.setdefault(key.key_id, key).algorithm != algorithm:
            raise InvalidKey(
                f"the key of line {line} is also the key of {known[key.key_id].algorithm}: a key has one algorithm, so "
                "use a new key for the other algorithm"
            )
    return tuple(known.values())[1:]


def new_key(algorithm: AlgorithmName) -> str:
    """A new random key: a secret text, or a private key in PEM (PKCS#8)."""
    if algorithm in KEY_MIN_BYTES:
        return secrets.token_urlsafe(_NEW_SECRET_BYTES)
    key = _NEW_KEYS[_NEEDED[algorithm]]()
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode().rstrip()


class _Entry(NamedTuple):
    line: int
    algorithm: str
    content: str


def _entries(text: str) -> Iterator[_Entry]:
    entry: _Entry | None = None
    for number, line in enumerate(_LINE_BREAK.split(text), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if named := _ENTRY.fullmatch(line):
            if entry is not None:
                yield entry
            entry = _Entry(number, named[1], (named[2] or "").rstrip())
        elif entry is not None and entry.algorithm not in KEY_MIN_BYTES:
            entry = entry._replace(content=f"{entry.content}\n{line}")
        else:
            raise InvalidKey(
                f"line {number} should begin with the name of an algorithm ({', '.join(ALGORITHMS)}); the key comes "
                "after the name"
            )
    if entry is not None:
        yield entry


def _secret_key(text: str, algorithm: str) -> JwtKey:
    try:
        secret = text.encode()
    except UnicodeEncodeError:
        raise InvalidKey(f"is not UTF-8 text: use {_secret_such_as(algorithm)}") from None
    if _PEM_BEGINNING in text:
        raise InvalidKey(
            f"is in PEM, but the algorithm {algorithm} needs a secret text: use the algorithm of the PEM key, or "
            f"{_secret_such_as(algorithm)}"
        )
    if len(secret) < KEY_MIN_BYTES[algorithm]:
        raise InvalidKey(f"is too short for {algorithm}: use {_secret_such_as(algorithm)}")
    if _WELL_KNOWN.search(text.lower()):
        raise InvalidKey(f"is an example that everybody knows: use {_secret_such_as(algorithm)}")
    try:
        secret = _jws.get_algorithm_by_name(algorithm).prepare_key(secret)
    except jwt.InvalidKeyError:
        raise InvalidKey(
            f"is a public key, a certificate or a JSON Web Key, but {algorithm} needs a secret text: use "
            f"{_secret_such_as(algorithm)}"
        ) from None
    key_id = base64url(hmac.digest(secret, _KEY_ID_PURPOSE, "sha256")[:_KEY_ID_BYTES])
    return JwtKey(algorithm=algorithm, key_id=key_id, public=None, signing=secret, verifying=secret)


def _key_pair(text: str, algorithm: str) -> JwtKey:
    """The private key, or the public key alone, in PEM."""
    key = _loaded(*_pem_block(text, algorithm), algorithm)
    needed, kind = _NEEDED[algorithm], _kind(key)
    if kind != needed:
        raise InvalidKey(f"is {kind}, but {algorithm} needs {needed}, {_such_as(algorithm)}")
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey) and key.key_size < RSA_MIN_BITS:
        raise InvalidKey(
            f"has {key.key_size} bits, but an RSA key needs {RSA_MIN_BITS} bits or more, {_such_as(algorithm)}"
        )
    is_private = hasattr(key, "private_bytes")
    verifying = key.public_key() if is_private else key
    members = _jws.get_algorithm_by_name(algorithm).to_jwk(verifying, as_dict=True)
    public = {name: str(members[name]) for name in _PUBLIC_MEMBERS[members["kty"]]}
    key_id = base64url(hashlib.sha256(json.dumps(public, separators=(",", ":")).encode()).digest())
    return JwtKey(
        algorithm=algorithm,
        key_id=key_id,
        public=MappingProxyType({**public, "use": "sig", "alg": algorithm, "kid": key_id}),
        signing=key if is_private else None,
        verifying=verifying,
    )


def _pem_block(text: str, algorithm: str) -> tuple[str, str]:
    """The label and the content of the one block that holds a key."""
    text = _ESCAPED_LINE_BREAK.sub("\n", text)
    blocks = [(label, content) for label, content in _PEM_BLOCK.findall(text) if label != "EC PARAMETERS"]
    if not blocks and _PEM_BEGINNING in text:
        raise InvalidKey(
            "has no line -----END ...-----: the key may have been cut at its first line break. A variable can hold the "
            "key in one line, with \\n in place of each line break"
        )
    if not blocks:
        raise InvalidKey(f"should be in PEM for {algorithm}, {_such_as(algorithm)}")
    if len(blocks) > 1:
        raise InvalidKey(f"has {len(blocks)} PEM blocks: keep the block of one key")
    if _PEM_BLOCK.sub("", text).strip():
        raise InvalidKey("has text before or after its PEM block, such as quotes: keep only the PEM block")
    return blocks[0]


def _loaded(label: str, content: str, algorithm: str) -> Any:
    if "ENCRYPTED" in label or "Proc-Type: 4,ENCRYPTED" in content:
        raise InvalidKey("is encrypted: remove its password, for example with `openssl pkey -in OLD.pem -out NEW.pem`")
    if label not in (*_PRIVATE_LABELS, *_PUBLIC_LABELS):
        raise InvalidKey(f"is a PEM block of another kind, {label}: use a key {_such_as(algorithm)}")
    lines = textwrap.wrap("".join(content.split()), _PEM_LINE_LENGTH)
    pem = "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", "")).encode()
    try:
        return load_pem_public_key(pem) if label in _PUBLIC_LABELS else load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InvalidKey(f"is damaged, or of an unsupported kind: use a key {_such_as(algorithm)}") from None


def _kind(key: object) -> str:
    match key:
        case rsa.RSAPrivateKey() | rsa.RSAPublicKey():
            return _RSA
        case ec.EllipticCurvePrivateKey() | ec.EllipticCurvePublicKey():
            return _CURVES.get(key.curve.name, f"an EC key on the curve {key.curve.name}")
        case ed25519.Ed25519PrivateKey() | ed25519.Ed25519PublicKey():
            return _ED25519
        case ed448.Ed448PrivateKey() | ed448.Ed448PublicKey():
            return "an Ed448 key"
        case _:
            return "a key of another kind"


def _such_as(algorithm: str) -> str:
    return f"such as `tradingagents secret --algorithm {algorithm}` prints"


def _secret_such_as(algorithm: str) -> str:
    return f"{KEY_MIN_BYTES[algorithm]} bytes or more, for example what `tradingagents secret` prints"


def base64url(content: bytes) -> str:
    """Bytes in base64url, without padding (RFC 7515, 2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
