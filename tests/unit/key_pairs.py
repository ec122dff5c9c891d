"""Key pairs of each kind, as other programs write them, and their signatures without the code under test."""

from functools import cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

SECRET = "a secret of tests, long enough for every algorithm: 0123456789abcdef"
HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
SECRET_ALGORITHMS = ("HS256", "HS384", "HS512")
PAIR_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
ALGORITHMS = (*SECRET_ALGORITHMS, *PAIR_ALGORITHMS)


_CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1(), "secp256k1": ec.SECP256K1()}


@cache
def pair(kind: str, number: int = 1) -> Any:
    """A private key of this kind; another one for each number."""
    match kind:
        case "Ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "Ed448":
            return ed448.Ed448PrivateKey.generate()
        case _ if kind in _CURVES:
            return ec.generate_private_key(_CURVES[kind])
        case _:
            return rsa.generate_private_key(65537, int(kind.removeprefix("RSA ")))


def pair_for(algorithm: str, number: int = 1) -> Any:
    """A private key for this algorithm."""
    kinds = {"ES256": "P-256", "ES384": "P-384", "EdDSA": "Ed25519"}
    # No two algorithms share a key.
    return pair(kinds.get(algorithm, "RSA 2048"), number + 10 * ALGORITHMS.index(algorithm))


def private_pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


def public_pem(key: Any, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> str:
    return key.public_key().public_bytes(Encoding.PEM, form).decode()


def key_text(algorithm: str, number: int = 1) -> str:
    """A key for this algorithm as an operator has it."""
    if algorithm in SECRET_ALGORITHMS:
        return f"{number}{algorithm}{SECRET}"
    return private_pem(pair_for(algorithm, number))


def signature(algorithm: str, key: Any, message: bytes) -> bytes:
    """A signature as RFC 7518 and RFC 8037 have it. The key is a private key, or the bytes of a secret."""
    digest = HASHES.get(algorithm[2:])
    match algorithm[:2]:
        case "HS":
            signer = hmac.HMAC(key, digest)
            signer.update(message)
            return signer.finalize()
        case "RS":
            return key.sign(message, padding.PKCS1v15(), digest)
        case "PS":
            return key.sign(message, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        case "ES":
            size = key.key_size // 8
            r, s = decode_dss_signature(key.sign(message, ec.ECDSA(digest)))
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        case _:
            return key.sign(message)


def is_signed(algorithm: str, key: Any, message: bytes, signed: bytes) -> bool:
    """Whether a public key verifies this signature."""
    digest = HASHES.get(algorithm[2:])
    try:
        match algorithm[:2]:
            case "RS":
                key.verify(signed, message, padding.PKCS1v15(), digest)
            case "PS":
                key.verify(signed, message, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
            case "ES":
                size = key.key_size // 8
                assert len(signed) == 2 * size
                r, s = (int.from_bytes(half, "big") for half in (signed[:size], signed[size:]))
                key.verify(encode_dss_signature(r, s), message, ec.ECDSA(digest))
            case _:
                key.verify(signed, message)
    except InvalidSignature:
        return False
    return True
