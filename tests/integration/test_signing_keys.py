"""Keys of tokens in real processes: files with keys, new keys in the place of old ones, and the published keys."""

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from processes import CHECKOUT, KEY, SERVE, Machine, Server

from tradingagents_adapters.jwt_keys import new_key

EMAIL: Final = "user@example.com"
PASSWORD: Final = "SecurePassword123"
STRATEGIES: Final = "/api/v1/strategies"
JWKS: Final = "/.well-known/jwks.json"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine with an account and a key of each kind."""
    machine = Machine(tmp_path_factory.mktemp("keys"), {"IDENTITY_CACHE_SECONDS": "0"})
    created = machine.run("tradingagents", "users", "create", EMAIL, "--password-stdin", typed=f"{PASSWORD}\n")
    assert created.returncode == 0, created.stderr
    for algorithm in ("HS256", "HS512", "RS256", "PS512", "ES256", "ES384", "EdDSA"):
        (machine.folder / f"{algorithm}.key").write_text(f"{new_key(algorithm)}\n")
    return machine


def key_of(machine: Machine, algorithm: str) -> str:
    return (machine.folder / f"{algorithm}.key").read_text().rstrip("\n")


def public_key_of(machine: Machine, algorithm: str) -> str:
    private = load_pem_private_key(key_of(machine, algorithm).encode(), password=None)
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def signing_with(machine: Machine, algorithm: str, previous: str = "") -> Machine:
    """The machine with the variables of a server that signs with this key."""
    variables = {"JWT_ALGORITHM": algorithm, "JWT_SECRET_KEY_FILE": f"{algorithm}.key"}
    if previous:
        number = len(list(machine.folder.glob("previous-*")))
        file = machine.folder / f"previous-{number}"
        file.write_text(previous)
        variables["JWT_PREVIOUS_KEYS_FILE"] = str(file)
    return machine.given(**variables)


def header_of(token: str) -> Mapping[str, Any]:
    return jwt.get_unverified_header(token)


def status_with(server: Server, token: str) -> int:
    return server.client.get(STRATEGIES, headers={"Authorization": f"Bearer {token}"}).status_code


def verified_elsewhere(server: Server, token: str) -> Mapping[str, Any]:
    """The claims of a token, as another program verifies them with nothing but the address of the server."""
    key = jwt.PyJWKClient(str(server.client.base_url.join(JWKS))).get_signing_key_from_jwt(token)
    return jwt.decode(token, key, algorithms=[key.algorithm_name], audience="tradingagents-api", issuer="tradingagents")


@pytest.mark.parametrize("algorithm", ["HS512", "RS256", "PS512", "ES384", "EdDSA"])
def test_the_documented_login_works_with_each_kind_of_key_in_a_file(machine: Machine, algorithm: str) -> None:
    with signing_with(machine, algorithm).serving(*SERVE) as server:
        token = server.token(EMAIL, PASSWORD)
        assert header_of(token)["alg"] == algorithm
        assert status_with(server, token) == 200
        if algorithm == "HS512":
            assert server.client.get(JWKS).json() == {"keys": []}
            jwt.decode(token, key_of(machine, algorithm), algorithms=[algorithm], audience="tradingagents-api")
        else:
            assert verified_elsewhere(server, token)["sub"] == "1"


def test_a_token_is_taken_by_every_worker(machine: Machine) -> None:
    with signing_with(machine, "HS512").serving(*SERVE, "--workers", "2") as server:
        server.wait_for_output("Application startup complete.", times=2)
        tokens = [server.token(EMAIL, PASSWORD) for _ in range(4)]
        assert len({header_of(token)["kid"] for token in tokens}) == 1
        for token in tokens:
            # A connection stays with one worker.
            headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
            answers = [server.client.get(STRATEGIES, headers=headers) for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200] * 4


def test_nobody_is_logged_out_by_new_keys_and_everybody_by_a_key_that_is_removed(machine: Machine) -> None:
    secret = f"HS256 {key_of(machine, 'HS256')}\n"
    second = f"ES256\n{public_key_of(machine, 'ES256')}"
    with signing_with(machine, "HS256").serving(*SERVE) as server:
        first_token = server.token(EMAIL, PASSWORD)
    with signing_with(machine, "ES256", secret).serving(*SERVE) as server:
        second_token = server.token(EMAIL, PASSWORD)
        assert [status_with(server, token) for token in (first_token, second_token)] == [200, 200]
    with signing_with(machine, "EdDSA", f"# until May\n{secret}\n{second}").serving(*SERVE) as server:
        third_token = server.token(EMAIL, PASSWORD)
        tokens = (first_token, second_token, third_token)
        assert [status_with(server, token) for token in tokens] == [200, 200, 200]
        published = server.client.get(JWKS).json()["keys"]
        assert [verified_elsewhere(server, token)["sub"] for token in (second_token, third_token)] == ["1", "1"]
    with signing_with(machine, "EdDSA").serving(*SERVE) as server:
        assert [status_with(server, token) for token in tokens] == [401, 401, 200]
    assert [header_of(token)["alg"] for token in tokens] == ["HS256", "ES256", "EdDSA"]
    assert [key["kid"] for key in published] == [header_of(third_token)["kid"], header_of(second_token)["kid"]]


def test_servers_with_the_old_and_the_new_key_take_each_others_tokens(machine: Machine) -> None:
    old, new = f"ES256\n{key_of(machine, 'ES256')}\n", f"RS256\n{key_of(machine, 'RS256')}\n"
    with ExitStack() as stack:
        servers = [
            stack.enter_context(signing_with(machine, algorithm, old + new).serving(*SERVE))
            for algorithm in ("ES256", "RS256")
        ]
        tokens = [server.token(EMAIL, PASSWORD) for server in servers]
        assert [status_with(server, token) for server in servers for token in tokens] == [200] * 4
        published = [{key["kid"] for key in server.client.get(JWKS).json()["keys"]} for server in servers]
    assert published[0] == published[1] == {header_of(token)["kid"] for token in tokens}


def test_a_token_of_an_earlier_version_which_names_no_key_stays_valid(machine: Machine) -> None:
    given = machine.given(JWT_SECRET_KEY=KEY)
    with given.serving(*SERVE) as server:
        token = server.token(EMAIL, PASSWORD)
        claims = jwt.decode(token, KEY, algorithms=["HS256"], audience="tradingagents-api")
        earlier = jwt.encode(claims, KEY, algorithm="HS256")
        assert header_of(earlier) == {"alg": "HS256", "typ": "JWT"}
        assert status_with(server, earlier) == 200
    with signing_with(machine, "ES256", f"HS256 {KEY}\n").serving(*SERVE) as server:
        assert [status_with(server, each) for each in (token, earlier)] == [200, 200]


def test_a_token_that_is_signed_with_the_published_key_as_a_secret_is_refused(machine: Machine) -> None:
    with signing_with(machine, "RS256").serving(*SERVE) as server:
        token = server.token(EMAIL, PASSWORD)
        claims = jwt.decode(token, options={"verify_signature": False})
        (published,) = server.client.get(JWKS).json()["keys"]
        for text in (json.dumps(published), published["n"]):
            for headers in ({"kid": published["kid"]}, {}):
                forged = jwt.encode(
                    {**claims, "x": text}, text.encode()[:400].replace(b"kty", b"xxx"), "HS256", headers
                )
                assert status_with(server, forged) == 401
        assert status_with(server, token) == 200


def test_another_program_verifies_tokens_as_the_readme_says(machine: Machine) -> None:
    section = (CHECKOUT / "README.md").read_text().partition("\n## Keys of tokens\n")[2]
    [program] = re.findall(r"```python\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    with signing_with(machine, "ES256").serving(*SERVE) as server:
        program = program.replace("http://127.0.0.1:8000", str(server.client.base_url).rstrip("/"))
        token = server.token(EMAIL, PASSWORD)
        ran = machine.run("python", "-c", f"{program}\nprint(user_id({token!r}))")
    assert (ran.stdout, ran.stderr) == ("1\n", "")


# The published keys


@pytest.fixture(scope="module")
def server(machine: Machine) -> Iterator[Server]:
    previous = (
        f"HS256 {key_of(machine, 'HS256')}\nEdDSA\n{public_key_of(machine, 'EdDSA')}RS256\n{key_of(machine, 'RS256')}"
    )
    with signing_with(machine, "ES384", previous).serving(*SERVE) as server:
        yield server


def test_keys_are_published_for_everybody_and_may_be_cached(server: Server) -> None:
    answer = server.client.get(JWKS)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers.get_list("Cache-Control") == ["public, max-age=300"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert server.client.head(JWKS).headers["Content-Length"] == answer.headers["Content-Length"]


def test_published_keys_have_their_public_members_and_no_others(server: Server) -> None:
    keys = server.client.get(JWKS).json()["keys"]
    assert [(key["alg"], key["use"], key.keys() - {"alg", "use", "kid"}) for key in keys] == [
        ("ES384", "sig", {"kty", "crv", "x", "y"}),
        ("EdDSA", "sig", {"kty", "crv", "x"}),
        ("RS256", "sig", {"kty", "n", "e"}),
    ]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", f"{JWKS}?kid=1", 422), ("POST", JWKS, 405)])
def test_refusals_of_the_published_keys_may_not_be_cached(server: Server, method: str, path: str, status: int) -> None:
    answer = server.client.request(method, path)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (status, "no-store")


def test_no_key_is_in_the_log_or_in_the_database(machine: Machine, server: Server) -> None:
    server.token(EMAIL, PASSWORD)
    with closing(sqlite3.connect(machine.folder / "tradingagents.db")) as connection:
        stored = "\n".join(connection.iterdump())
    secrets = [
        line for file in machine.folder.glob("*.key") for line in file.read_text().splitlines() if len(line) > 40
    ]
    shown = stored + server.output()
    assert len(secrets) > 20
    assert [secret for secret in secrets if secret in shown and "BEGIN" not in secret] == []
