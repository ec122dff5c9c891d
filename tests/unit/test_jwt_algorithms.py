"""Tokens of every algorithm, signed and verified also without the code under test, and keys that follow each other."""

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import permutations
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from key_pairs import (
    ALGORITHMS,
    PAIR_ALGORITHMS,
    SECRET_ALGORITHMS,
    is_signed,
    key_text,
    pair_for,
    private_pem,
    public_pem,
    signature,
)

from tradingagents_adapters.jwt_tokens import JwtTokenService
from tradingagents_core.errors import InvalidToken

NOW: Final = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
ISSUED: Final = int(NOW.timestamp())
CLAIMS: Final = {
    "iss": "tradingagents",
    "aud": "tradingagents-api",
    "sub": "7",
    "sid": "3",
    "iat": ISSUED,
    "exp": ISSUED + 1800,
    "jti": "a-token",
}
PRIVATE_MEMBERS: Final = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


def service(
    algorithm: str,
    key: str | None = None,
    *,
    previous: str = "",
    clock: Callable[[], datetime] = lambda: NOW,
) -> JwtTokenService:
    return JwtTokenService(
        secret_key=key or key_text(algorithm),
        algorithm=algorithm,
        previous_keys=previous,
        lifetime=timedelta(minutes=30),
        clock=clock,
    )


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def compact(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def signed(header: bytes, algorithm: str, key: Any = None, claims: dict[str, Any] = CLAIMS) -> str:
    """A token with this header, signed by hand."""
    if key is None:
        key = key_text(algorithm).encode() if algorithm in SECRET_ALGORITHMS else pair_for(algorithm)
    message = f"{encoded(header)}.{encoded(compact(claims))}"
    return f"{message}.{encoded(signature(algorithm, key, message.encode()))}"


def header_of(token: str) -> dict[str, str]:
    return json.loads(decoded(token.partition(".")[0]))


def header_for(algorithm: str) -> dict[str, str]:
    return header_of(service(algorithm).issue(user_id=7, session_id=1))


def in_one_line(algorithm: str) -> str:
    """A previous key in one line."""
    return f"{algorithm} {' '.join(key_text(algorithm).splitlines())}"


def assert_refused(tokens: JwtTokenService, token: str) -> None:
    with pytest.raises(InvalidToken):
        tokens.verify(token)


def verifying_key(jwk: dict[str, str]) -> Any:
    """The public key in a JSON Web Key, without the code under test."""
    number = {name: int.from_bytes(decoded(jwk[name]), "big") for name in ("n", "e", "x", "y") if name in jwk}
    match jwk["kty"]:
        case "RSA":
            return rsa.RSAPublicNumbers(number["e"], number["n"]).public_key()
        case "EC":
            curve = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}[jwk["crv"]]
            assert len(decoded(jwk["x"])) == len(decoded(jwk["y"])) == curve.key_size // 8
            return ec.EllipticCurvePublicNumbers(number["x"], number["y"], curve).public_key()
        case _:
            assert jwk["crv"] == "Ed25519"
            return ed25519.Ed25519PublicKey.from_public_bytes(decoded(jwk["x"]))


# Without the code under test


@pytest.mark.parametrize("algorithm", PAIR_ALGORITHMS)
def test_another_program_verifies_a_token_with_the_published_key(algorithm: str) -> None:
    tokens = service(algorithm)
    token = tokens.issue(user_id=7, session_id=1)
    (jwk,) = [dict(key) for key in tokens.public_keys()]
    message, _, signed = token.rpartition(".")
    assert is_signed(algorithm, verifying_key(jwk), message.encode(), decoded(signed))
    assert not is_signed(algorithm, verifying_key(jwk), message.encode() + b"A", decoded(signed))
    assert verifying_key(jwk) == pair_for(algorithm).public_key()


@pytest.mark.parametrize("algorithm", PAIR_ALGORITHMS)
def test_the_header_of_a_token_names_the_published_key(algorithm: str) -> None:
    tokens = service(algorithm)
    (jwk,) = tokens.public_keys()
    assert header_of(tokens.issue(user_id=7, session_id=1)) == {"alg": algorithm, "kid": jwk["kid"], "typ": "JWT"}
    assert jwk["alg"] == algorithm


@pytest.mark.parametrize("algorithm", PAIR_ALGORITHMS)
def test_the_id_of_a_published_key_is_its_thumbprint(algorithm: str) -> None:
    (jwk,) = service(algorithm).public_keys()
    required = {name: jwk[name] for name in sorted(jwk) if name not in {"use", "alg", "kid"}}
    assert jwk["kid"] == encoded(hashlib.sha256(compact(required)).digest())


@pytest.mark.parametrize("algorithm", SECRET_ALGORITHMS)
def test_a_secret_is_not_published(algorithm: str) -> None:
    assert service(algorithm).public_keys() == ()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_that_another_program_signs_in_the_same_form_is_taken(algorithm: str) -> None:
    claims = service(algorithm).verify(signed(compact(header_for(algorithm)), algorithm))
    assert (claims.user_id, claims.session_id, claims.token_id) == (7, 3, "a-token")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "other",
    [
        {"sub": "8 "},
        {"sid": "3 "},
        {"iss": "https://example.com"},
        {"aud": "another-api"},
        {"exp": ISSUED},
        {"admin": True},
    ],
    ids=lambda other: next(iter(other)),
)
def test_other_claims_are_refused_though_the_signature_is_right(algorithm: str, other: dict[str, Any]) -> None:
    assert_refused(service(algorithm), signed(compact(header_for(algorithm)), algorithm, claims={**CLAIMS, **other}))


# Forged tokens


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_with_another_character_in_any_place_is_refused(algorithm: str) -> None:
    tokens = service(algorithm)
    token = tokens.issue(user_id=7, session_id=1)
    for place, character in enumerate(token):
        assert_refused(tokens, f"{token[:place]}{'A' if character != 'A' else '_'}{token[place + 1 :]}")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_with_another_bit_in_any_segment_is_refused(algorithm: str) -> None:
    tokens = service(algorithm)
    token = tokens.issue(user_id=7, session_id=1)

    @settings(max_examples=200)
    @given(st.integers(0, 2), st.data())
    def is_refused(number: int, data: st.DataObject) -> None:
        segments = token.split(".")
        content = bytearray(decoded(segments[number]))
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        segments[number] = encoded(bytes(content))
        assert_refused(tokens, ".".join(segments))

    is_refused()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_other_spelling_of_the_same_signature_is_taken(algorithm: str) -> None:
    tokens = service(algorithm)
    token = tokens.issue(user_id=7, session_id=1)
    for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".replace(token[-1], ""):
        assert_refused(tokens, token[:-1] + last)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("content", [b"", b"\0", b"\0" * 64, b"\0" * 96, b"\0" * 256, b"\xff" * 256])
def test_a_signature_of_another_length_or_of_zeros_is_refused(algorithm: str, content: bytes) -> None:
    tokens = service(algorithm)
    message = tokens.issue(user_id=7, session_id=1).rpartition(".")[0]
    assert_refused(tokens, f"{message}.{encoded(content)}")


def test_a_signature_in_der_is_refused() -> None:
    tokens = service("ES256")
    message = tokens.issue(user_id=7, session_id=1).rpartition(".")[0]
    in_der = pair_for("ES256").sign(message.encode(), ec.ECDSA(SHA256()))
    assert_refused(tokens, f"{message}.{encoded(in_der)}")


@pytest.mark.parametrize("algorithm", PAIR_ALGORITHMS)
@pytest.mark.parametrize("secret_algorithm", SECRET_ALGORITHMS)
def test_a_public_key_is_no_secret_for_a_forger(algorithm: str, secret_algorithm: str) -> None:
    tokens = service(algorithm, previous=f"{secret_algorithm} {key_text(secret_algorithm)}")
    public = public_pem(pair_for(algorithm))
    kid = header_for(algorithm)["kid"]
    for secret in (public, public.strip(), json.dumps(dict(tokens.public_keys()[0]))):
        for header in (
            {"alg": secret_algorithm, "kid": kid, "typ": "JWT"},
            {"alg": secret_algorithm, "typ": "JWT"},
            header_for(algorithm),
            header_for(secret_algorithm),
        ):
            assert_refused(tokens, signed(compact(header), secret_algorithm, secret.encode()))


@pytest.mark.parametrize(("algorithm", "other"), [*permutations(ALGORITHMS, 2)])
def test_a_token_that_says_another_algorithm_is_refused(algorithm: str, other: str) -> None:
    tokens = service(algorithm)
    header = header_for(algorithm) | {"alg": other}
    assert_refused(tokens, signed(compact(header), algorithm))
    assert_refused(tokens, signed(compact(header), other))
    assert_refused(tokens, signed(compact(header_for(algorithm)), other))


@pytest.mark.parametrize("algorithms", [("RS256", "RS512"), ("RS256", "PS256"), ("PS256", "PS384")])
def test_a_key_signs_with_its_own_algorithm_only(algorithms: tuple[str, str]) -> None:
    own, other = algorithms
    tokens = service(own)
    for header in (header_for(own), header_for(own) | {"alg": other}):
        assert_refused(tokens, signed(compact(header), other, pair_for(own)))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("alg", ["none", "None", "NONE", ""])
def test_an_unsigned_token_is_refused(algorithm: str, alg: str) -> None:
    for header in ({"alg": alg, "typ": "JWT"}, header_for(algorithm) | {"alg": alg}):
        message = f"{encoded(compact(header))}.{encoded(compact(CLAIMS))}"
        for token in (message, f"{message}.", f"{message}.AA"):
            assert_refused(service(algorithm), token)


FORGER: Final = pair_for("EdDSA", 9)
FORGERS_KEY: Final = {"kty": "OKP", "crv": "Ed25519", "x": encoded(FORGER.public_key().public_bytes_raw())}


@pytest.mark.parametrize(
    "more",
    [
        {"jwk": FORGERS_KEY},
        {"jku": "https://example.com/jwks.json"},
        {"x5u": "https://example.com/certificate.pem"},
        {"x5c": ["MIIB"]},
        {"x5t": "AAAA"},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"b64": True},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"typ": "at+jwt"},
        {"kid": "../../../dev/null"},
        {"kid": "' OR 1=1 --"},
        {"kid": "https://example.com/jwks.json"},
        {"kid": ""},
        {"kid": None},
        {"kid": ["a"]},
        {"kid": "a" * 2000},
    ],
    ids=lambda more: next(iter(more)),
)
@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256", "EdDSA"])
def test_another_header_is_refused_whoever_signs(algorithm: str, more: dict[str, Any]) -> None:
    header = compact(header_for(algorithm) | more)
    assert_refused(service(algorithm), signed(header, algorithm))
    assert_refused(service(algorithm), signed(header, "EdDSA", FORGER))


@pytest.mark.parametrize("algorithm", PAIR_ALGORITHMS)
def test_a_header_without_a_key_is_refused_for_keys_that_are_published(algorithm: str) -> None:
    assert_refused(service(algorithm), signed(compact({"alg": algorithm, "typ": "JWT"}), algorithm))


@pytest.mark.parametrize("algorithm", ["HS256", "ES256"])
@pytest.mark.parametrize("write", [json.dumps, partial(json.dumps, indent=1)])
def test_another_spelling_of_the_header_is_refused(algorithm: str, write: Callable[[Any], str]) -> None:
    assert_refused(service(algorithm), signed(write(header_for(algorithm)).encode(), algorithm))


# One key after another


@pytest.mark.parametrize("old", ALGORITHMS)
@pytest.mark.parametrize("new", ["HS256", "RS256", "ES256", "EdDSA"])
def test_a_token_of_a_previous_key_stays_valid(old: str, new: str) -> None:
    before = service(old)
    after = service(new, key_text(new, 2), previous=in_one_line(old))
    token = before.issue(user_id=7, session_id=1)
    assert after.verify(token) == before.verify(token)
    assert_refused(service(new, key_text(new, 2)), token)
    assert_refused(before, after.issue(user_id=7, session_id=1))


@pytest.mark.parametrize("old", PAIR_ALGORITHMS)
def test_the_public_half_of_a_previous_key_is_enough(old: str) -> None:
    after = service("ES256", key_text("ES256", 2), previous=f"{old}\n{public_pem(pair_for(old))}")
    assert after.verify(service(old).issue(user_id=7, session_id=1)).user_id == 7


def test_a_new_key_is_known_before_it_signs() -> None:
    current_first = service("ES256", previous=f"EdDSA\n{key_text('EdDSA')}")
    new_first = service("EdDSA", previous=f"ES256\n{key_text('ES256')}EdDSA\n{key_text('EdDSA')}")
    for issuing, verifying in ((current_first, new_first), (new_first, current_first)):
        assert verifying.verify(issuing.issue(user_id=7, session_id=1)).user_id == 7


@pytest.mark.parametrize("algorithm", SECRET_ALGORITHMS)
def test_a_token_of_an_earlier_version_which_names_no_key_stays_valid(algorithm: str) -> None:
    earlier = signed(compact({"alg": algorithm, "typ": "JWT"}), algorithm)
    for tokens in (
        service(algorithm),
        service("ES256", previous=f"{algorithm} {key_text(algorithm)}"),
        service(algorithm, key_text(algorithm, 2), previous=f"{algorithm} {key_text(algorithm)}"),
        service(
            algorithm,
            key_text(algorithm, 2),
            previous=f"{algorithm} {key_text(algorithm, 3)}\n{algorithm} {key_text(algorithm)}",
        ),
    ):
        assert tokens.verify(earlier).user_id == 7
    assert_refused(service(algorithm, key_text(algorithm, 2)), earlier)
    assert_refused(service("ES256"), earlier)


def test_public_keys_are_published_with_the_current_key_first() -> None:
    previous = f"HS256 {key_text('HS256')}\nRS256\n{key_text('RS256')}EdDSA\n{public_pem(pair_for('EdDSA'))}"
    tokens = service("ES256", previous=previous)
    keys = tokens.public_keys()
    assert [key["alg"] for key in keys] == ["ES256", "RS256", "EdDSA"]
    assert keys[0]["kid"] == header_of(tokens.issue(user_id=7, session_id=1))["kid"]


@given(st.sampled_from(ALGORITHMS), st.lists(st.sampled_from(ALGORITHMS), unique=True))
@settings(max_examples=15)
def test_nothing_private_is_published(current: str, others: list[str]) -> None:
    assume(current not in others)
    tokens = service(current, previous="\n".join(in_one_line(other) for other in others))
    published = json.dumps([dict(key) for key in tokens.public_keys()])
    for algorithm in (current, *others):
        if algorithm in SECRET_ALGORITHMS:
            assert key_text(algorithm) not in published
        elif algorithm == "EdDSA":
            assert encoded(pair_for(algorithm).private_bytes_raw()) not in published
        else:
            numbers = pair_for(algorithm).private_numbers()
            secret = numbers.d if hasattr(numbers, "d") else numbers.private_value
            assert encoded(secret.to_bytes((secret.bit_length() + 7) // 8, "big")) not in published
    assert not any(PRIVATE_MEMBERS & key.keys() for key in tokens.public_keys())
    assert {key["kty"] for key in tokens.public_keys()} <= {"RSA", "EC", "OKP"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("ES256", r"^the key of line 1 should be in PEM for ES256"),
        (f"RS512\n{private_pem(pair_for('RS256'))}", "^the key of line 1 is also the key of RS256"),
    ],
    ids=["no key", "the current key with another algorithm"],
)
def test_a_previous_key_that_cannot_be_used_is_refused(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        service("RS256", previous=text)
