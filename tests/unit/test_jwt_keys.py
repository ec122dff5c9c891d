"""Which keys are read, in which forms, and what is said about the others."""

import json
import re
from base64 import urlsafe_b64decode
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from key_pairs import (
    ALGORITHMS,
    PAIR_ALGORITHMS,
    SECRET,
    SECRET_ALGORITHMS,
    key_text,
    pair,
    pair_for,
    private_pem,
    public_pem,
)

from tradingagents_adapters.jwt_keys import (
    ALGORITHMS as SUPPORTED,
)
from tradingagents_adapters.jwt_keys import (
    InvalidKey,
    JwtKey,
    new_key,
    read_previous_keys,
    read_signing_key,
)

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUd\n-----END CERTIFICATE-----\n"
PARAMETERS = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


def current() -> JwtKey:
    return read_signing_key(SECRET, algorithm="HS256")


def previous(text: str) -> list[JwtKey]:
    return list(read_previous_keys(text, current=current()))


def encrypted_pem(form: PrivateFormat) -> str:
    return pair("RSA 2048").private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"password")).decode()


def assert_faulty(text: str, algorithm: str, fault: str) -> None:
    """The key is refused in one line that does not repeat the key."""
    with pytest.raises(InvalidKey, match=fault) as refused:
        read_signing_key(text, algorithm=algorithm)
    said = str(refused.value)
    assert "\n" not in said
    words = (word for line in text.splitlines() for word in re.split(r"-----|\\n", line))
    assert not any(word in said for word in words if len(word) > 20)
    assert refused.value.__context__ is None or refused.value.__suppress_context__


def test_the_supported_algorithms_are_those_that_are_tested() -> None:
    assert SUPPORTED == ALGORITHMS


# Forms


@pytest.mark.parametrize("algorithm", PAIR_ALGORITHMS)
def test_a_private_key_is_read_from_pkcs8(algorithm: str) -> None:
    read = read_signing_key(key_text(algorithm), algorithm=algorithm)
    assert read.signing.private_numbers if algorithm != "EdDSA" else read.signing.private_bytes_raw
    assert read.verifying == pair_for(algorithm).public_key()


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384"])
def test_a_private_key_is_read_from_the_traditional_form_of_openssl(algorithm: str) -> None:
    pem = private_pem(pair_for(algorithm), PrivateFormat.TraditionalOpenSSL)
    assert re.match("-----BEGIN (RSA|EC) PRIVATE KEY-----", pem)
    assert read_signing_key(pem, algorithm=algorithm).verifying == pair_for(algorithm).public_key()


def test_the_parameters_that_openssl_writes_before_a_key_are_ignored() -> None:
    pem = PARAMETERS + private_pem(pair_for("ES256"), PrivateFormat.TraditionalOpenSSL)
    assert read_signing_key(pem, algorithm="ES256").verifying == pair_for("ES256").public_key()


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\\n", "\\r\\n", "\\\\n", " ", "\n    ", "\n\n"], ids=repr)
def test_a_pem_key_may_be_written_in_one_line_or_with_any_line_breaks(line_break: str) -> None:
    pem = line_break.join(key_text("RS256").splitlines())
    for text in (pem, pem + line_break, f"\n {pem} \n"):
        assert read_signing_key(text, algorithm="RS256").verifying == pair_for("RS256").public_key()


def test_a_pem_key_without_any_line_breaks_is_read() -> None:
    pem = "".join(key_text("ES256").splitlines())
    assert read_signing_key(pem, algorithm="ES256").verifying == pair_for("ES256").public_key()


def test_a_secret_is_every_byte_of_its_text() -> None:
    secret = f' "{SECRET}\\n '
    assert read_signing_key(secret, algorithm="HS256").signing == secret.encode()


# Refused keys


@pytest.mark.parametrize("algorithm", PAIR_ALGORITHMS)
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("RSA 2048", "an RSA key"),
        ("P-256", "an EC key on the curve P-256"),
        ("P-384", "an EC key on the curve P-384"),
        ("P-521", "an EC key on the curve secp521r1"),
        ("secp256k1", "an EC key on the curve secp256k1"),
        ("Ed25519", "an Ed25519 key"),
        ("Ed448", "an Ed448 key"),
    ],
)
def test_a_key_of_another_kind_or_curve_is_refused(algorithm: str, kind: str, name: str) -> None:
    needed = {"ES256": "P-256", "ES384": "P-384", "EdDSA": "Ed25519"}.get(algorithm, "RSA 2048")
    if kind == needed:
        assert read_signing_key(private_pem(pair(kind)), algorithm=algorithm).signing
    else:
        assert_faulty(
            private_pem(pair(kind)), algorithm, f"^is {name}, but {algorithm} needs an? .*{needed.split()[0]}"
        )


@pytest.mark.parametrize(
    "key", [x25519.X25519PrivateKey.generate(), dsa.generate_private_key(2048)], ids=["X25519", "DSA"]
)
def test_a_key_that_signs_no_tokens_is_refused(key: x25519.X25519PrivateKey | dsa.DSAPrivateKey) -> None:
    assert_faulty(private_pem(key), "EdDSA", "^is a key of another kind, but EdDSA needs an Ed25519 key")


@pytest.mark.parametrize("bits", [1024, 2040])
@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256"])
def test_an_rsa_key_of_less_than_2048_bits_is_refused(algorithm: str, bits: int) -> None:
    assert_faulty(
        private_pem(pair(f"RSA {bits}")), algorithm, f"^has {bits} bits, but an RSA key needs 2048 bits or more"
    )


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL], ids=["PKCS#8", "OpenSSL"])
def test_an_encrypted_key_is_refused(form: PrivateFormat) -> None:
    assert_faulty(encrypted_pem(form), "RS256", "^is encrypted: remove its password, for example with `openssl pkey ")


@pytest.mark.parametrize("algorithm", PAIR_ALGORITHMS)
def test_a_public_key_does_not_sign(algorithm: str) -> None:
    assert_faulty(public_pem(pair_for(algorithm)), algorithm, "^is a public key: tokens are signed with a private key")


@pytest.mark.parametrize("algorithm", SECRET_ALGORITHMS)
@pytest.mark.parametrize(
    "text",
    [
        private_pem(pair("P-256")),
        public_pem(pair("P-256")),
        public_pem(pair("RSA 2048")),
        "\\n".join(public_pem(pair("RSA 2048")).splitlines()),
        CERTIFICATE,
        "-----BEGIN ENCRYPTED PRIVATE KEY-----" * 2,
    ],
    ids=["private", "public", "public, RSA", "escaped", "certificate", "cut"],
)
def test_a_pem_key_is_no_secret(algorithm: str, text: str) -> None:
    assert_faulty(text, algorithm, f"^is in PEM, but the algorithm {algorithm} needs a secret text")


@pytest.mark.parametrize(
    "text",
    [
        pair("RSA 2048").public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
        json.dumps({"kty": "oct", "k": "a" * 86}),
    ],
    ids=["OpenSSH", "JSON Web Key"],
)
def test_a_key_in_another_form_is_no_secret(text: str) -> None:
    assert_faulty(text, "HS256", "^is a public key, a certificate or a JSON Web Key, but HS256 needs a secret text")


@pytest.mark.parametrize("text", ["", SECRET, "k" * 64, json.dumps({"kty": "EC"})])
def test_a_secret_is_no_private_key(text: str) -> None:
    assert_faulty(text, "ES256", "^should be in PEM for ES256, such as `tradingagents secret --algorithm ES256` prints")


def test_a_key_of_which_only_the_first_line_arrived_is_refused() -> None:
    assert_faulty("-----BEGIN PRIVATE KEY-----", "ES256", r"cut at its first line break.* with \\n in place of each")
    assert_faulty(key_text("ES256").partition("-----END")[0], "ES256", "^has no line -----END")


@pytest.mark.parametrize("quote", ['"', "'"])
def test_quotes_around_a_pem_key_are_refused(quote: str) -> None:
    assert_faulty(quote + key_text("ES256") + quote, "ES256", "^has text before or after its PEM block, such as quotes")


def test_several_pem_blocks_are_refused() -> None:
    assert_faulty(key_text("ES256") + CERTIFICATE, "ES256", "^has 2 PEM blocks: keep the block of one key")


def test_a_pem_block_that_is_no_key_is_refused() -> None:
    assert_faulty(CERTIFICATE, "ES256", "^is a PEM block of another kind, CERTIFICATE: use a key such as")


@pytest.mark.parametrize("form", [PrivateFormat.OpenSSH])
def test_a_key_of_openssh_is_refused(form: PrivateFormat) -> None:
    assert_faulty(
        private_pem(pair("Ed25519"), form), "EdDSA", "of another kind, OPENSSH PRIVATE KEY: use a key such as"
    )


@pytest.mark.parametrize(
    "damaged",
    [
        key_text("ES256").replace("M", "N", 1),
        key_text("ES256").replace("\n", "\n!", 1),
        "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----",
        "\n".join(line for number, line in enumerate(key_text("RS256").splitlines()) if number != 3),
    ],
    ids=["another letter", "another alphabet", "nothing", "a line is missing"],
)
def test_a_damaged_key_is_refused(damaged: str) -> None:
    assert_faulty(damaged, "ES256", "^is damaged, or of an unsupported kind")


@given(st.text(max_size=200), st.sampled_from(ALGORITHMS))
def test_any_text_is_a_key_or_refused(text: str, algorithm: str) -> None:
    for each in (text, f"-----BEGIN PRIVATE KEY-----{text}-----END PRIVATE KEY-----"):
        with suppress(InvalidKey):
            read_signing_key(each, algorithm=algorithm)


# Ids


def test_the_id_of_an_rsa_key_is_the_thumbprint_of_rfc_7638() -> None:
    # RFC 7638, 3.1
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
        "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ"
        "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK"
        "nqDKgw"
    )
    number = int.from_bytes(urlsafe_b64decode(modulus + "=="), "big")
    key = rsa.RSAPublicNumbers(65537, number).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    (read,) = previous(f"RS256\n{pem}")
    assert read.key_id == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert read.public == {
        "kty": "RSA",
        "n": modulus,
        "e": "AQAB",
        "use": "sig",
        "alg": "RS256",
        "kid": read.key_id,
    }


def test_the_id_of_an_ed25519_key_is_the_thumbprint_of_rfc_8037() -> None:
    # RFC 8037, A.1 and A.3
    secret = urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = ed25519.Ed25519PrivateKey.from_private_bytes(secret)
    read = read_signing_key(private_pem(key), algorithm="EdDSA")
    assert read.key_id == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert read.public == {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "use": "sig",
        "alg": "EdDSA",
        "kid": read.key_id,
    }


def test_the_coordinates_of_a_curve_keep_their_zeros() -> None:
    # A private key with a coordinate that begins with a zero byte.
    key = next(
        key
        for number in range(1, 10_000)
        if (key := ec.derive_private_key(number, ec.SECP256R1())).public_key().public_numbers().x >> 248 == 0
    )
    public = read_signing_key(private_pem(key), algorithm="ES256").public
    assert public is not None
    assert {len(public["x"]), len(public["y"])} == {43}
    assert public["x"].startswith("A")


@given(st.text(min_size=64, max_size=100), st.sampled_from(SECRET_ALGORITHMS))
def test_the_id_of_a_secret_is_always_the_same_and_tells_nothing(secret: str, algorithm: str) -> None:
    try:
        key, again = (read_signing_key(secret, algorithm=algorithm) for _ in range(2))
    except InvalidKey:
        return
    assert key.key_id == again.key_id
    assert re.fullmatch(r"[\w-]{16}", key.key_id, re.ASCII)
    assert key.public is None


def test_two_secrets_have_two_ids() -> None:
    assert current().key_id != read_signing_key(f"{SECRET}.", algorithm="HS256").key_id


def test_a_key_is_not_shown() -> None:
    assert SECRET not in repr(current())


# New keys


@pytest.mark.parametrize("algorithm", SUPPORTED)
def test_a_new_key_can_be_used_and_is_another_each_time(algorithm: str) -> None:
    first, second = new_key(algorithm), new_key(algorithm)
    ids = {read_signing_key(text, algorithm=algorithm).key_id for text in (first, second)}
    assert len(ids) == 2


# Previous keys


def test_previous_keys_are_written_one_after_another_each_after_its_algorithm() -> None:
    text = (
        "# until the first of May\n"
        f"HS256 {key_text('HS256', 2)}\n"
        "\n"
        f"ES256\n{key_text('ES256')}"
        f"RS256\r\n{public_pem(pair_for('RS256'))}\r\n"
        f"  HS512\t{key_text('HS512')}  \n"
        f"EdDSA {' '.join(key_text('EdDSA').splitlines())}\n"
    )
    keys = previous(text)
    assert [key.algorithm for key in keys] == ["HS256", "ES256", "RS256", "HS512", "EdDSA"]
    assert [keys[0].verifying, keys[3].verifying] == [key_text("HS256", 2).encode(), key_text("HS512").encode()]
    for key in (keys[1], keys[2], keys[4]):
        assert key.verifying == pair_for(key.algorithm).public_key()


@pytest.mark.parametrize("algorithm", ["RS256", "PS384", "ES256", "ES384", "EdDSA"])
def test_a_previous_key_may_be_private_or_public(algorithm: str) -> None:
    (private,), (public,) = (
        previous(f"{algorithm}\n{pem}") for pem in (key_text(algorithm), public_pem(pair_for(algorithm)))
    )
    assert (private.key_id, private.public) == (public.key_id, public.public)
    assert public.signing is None


def test_a_public_rsa_key_is_read_from_pkcs1() -> None:
    (key,) = previous(f"RS256\n{public_pem(pair_for('RS256'), PublicFormat.PKCS1)}")
    assert key.verifying == pair_for("RS256").public_key()


@pytest.mark.parametrize("text", ["", "\n", " \r\n\t", "# nothing\n"])
def test_there_may_be_no_previous_keys(text: str) -> None:
    assert previous(text) == []


def test_the_current_key_may_be_among_the_previous_keys_and_a_key_may_be_there_twice() -> None:
    text = f"HS256 {SECRET}\nHS256 {key_text('HS256', 2)}\nHS256 {key_text('HS256', 2)}\n"
    assert [key.verifying for key in previous(text)] == [key_text("HS256", 2).encode()]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"HS512 {SECRET}", 1),
        (f"\nRS256\n{key_text('RS256')}PS256\n{key_text('RS256')}", 31),
        (f"HS256 {key_text('HS256', 2)}\nHS384 {key_text('HS256', 2)}", 2),
    ],
    ids=["the current key", "RSA", "a secret"],
)
def test_a_key_has_one_algorithm(text: str, line: int) -> None:
    with pytest.raises(InvalidKey, match=f"^the key of line {line} is also the key of .*: a key has one algorithm"):
        previous(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (key_text("ES256"), "^line 1 should begin with the name of an algorithm"),
        (key_text("HS256"), "^line 1 should begin with the name of an algorithm"),
        (f"# a comment\n\nhs256 {SECRET}", "^line 3 should begin with the name of an algorithm"),
        (f"HS256:{SECRET}", "^line 1 should begin with the name of an algorithm"),
        (f"HS256 {key_text('HS256', 2)}\n{SECRET}", "^line 2 should begin with the name of an algorithm"),
        ("HS256", "^the key of line 1 is too short for HS256"),
        (f"HS256\n{SECRET}", "^line 2 should begin with the name of an algorithm"),
        ("\nHS256 short", "^the key of line 2 is too short for HS256: use 32 bytes or more"),
        (f"HS512 {'k' * 63}", "^the key of line 1 is too short for HS512: use 64 bytes or more"),
        ("HS256 change-me-change-me-change-me-change-me", "^the key of line 1 is an example that everybody knows"),
        (f"HS256 {' '.join(key_text('ES256').splitlines())}", "^the key of line 1 is in PEM"),
        ("RS256\n", "^the key of line 1 should be in PEM for RS256"),
        (f"RS256\n{private_pem(pair('RSA 1024'))}", "^the key of line 1 has 1024 bits"),
        (
            f"RS256\n{key_text('ES256')}",
            "^the key of line 1 is an EC key on the curve P-256, but RS256 needs an RSA key",
        ),
        (f"RS256\n{encrypted_pem(PrivateFormat.PKCS8)}", "^the key of line 1 is encrypted"),
        (f"ES256\n{key_text('ES256')}hs256 {SECRET}", "^the key of line 1 has text before or after its PEM block"),
        (f"ES256\n{key_text('ES256')}{key_text('ES256', 2)}", "^the key of line 1 has 2 PEM blocks"),
    ],
    ids=[str(number) for number in range(17)],
)
def test_a_previous_key_that_cannot_be_used_is_refused_by_its_line(text: str, fault: str) -> None:
    with pytest.raises(InvalidKey, match=fault) as refused:
        previous(text)
    assert not any(word in str(refused.value) for word in text.split() if len(word) > 20)
