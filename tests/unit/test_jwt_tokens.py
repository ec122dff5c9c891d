import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tradingagents_adapters.jwt_keys import KEY_MIN_BYTES, JwtKey
from tradingagents_adapters.jwt_tokens import LIFETIME_MAX, JwtTokenService
from tradingagents_core.domain.parameters import INTEGER_MAX
from tradingagents_core.errors import InvalidToken

KEY = "k" * 64
NOW = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)
ISSUED = int(NOW.timestamp())
HEADER = {"alg": "HS256", "typ": "JWT"}
"""The header of earlier versions, which every secret key still verifies."""
CLAIMS = {
    "iss": "tradingagents",
    "aud": "tradingagents-api",
    "sub": "7",
    "sid": "3",
    "iat": ISSUED,
    "exp": ISSUED + 1800,
    "jti": "a-token",
}
DIGESTS = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}

algorithms = st.sampled_from(sorted(KEY_MIN_BYTES))
json_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
json_values = json_scalars | st.lists(json_scalars, max_size=2) | st.dictionaries(st.text(), json_scalars, max_size=2)


# What strangers could send is tried more often than the rest.
thousands_of_examples = settings(max_examples=1000)


def service(
    *,
    key: str = KEY,
    algorithm: str = "HS256",
    lifetime: timedelta = timedelta(minutes=30),
    clock: Callable[[], datetime] = lambda: NOW,
) -> JwtTokenService:
    return JwtTokenService(secret_key=key, algorithm=algorithm, lifetime=lifetime, clock=clock)


def segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def compact(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def signed(payload: bytes, *, header: bytes = compact(HEADER), key: str = KEY, algorithm: str = "HS256") -> str:
    """A token signed as RFC 7515 has it, by hand: what a library would refuse to write can be written, too."""
    signing_input = f"{segment(header)}.{segment(payload)}"
    return f"{signing_input}.{segment(hmac.digest(key.encode(), signing_input.encode(), DIGESTS[algorithm]))}"


def assert_refused(token: str, tokens: JwtTokenService | None = None) -> None:
    with pytest.raises(InvalidToken):
        (tokens or service()).verify(token)


@given(
    st.integers(1, INTEGER_MAX),
    st.integers(1, INTEGER_MAX),
    algorithms,
    st.integers(1, int(LIFETIME_MAX.total_seconds())),
    st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_a_token_says_for_whom_it_was_issued_and_when_and_until_when(user_id, session_id, algorithm, seconds, now):
    lifetime = timedelta(seconds=seconds)
    tokens = service(algorithm=algorithm, lifetime=lifetime, clock=lambda: now)
    claims = tokens.verify(tokens.issue(user_id=user_id, session_id=session_id))
    second = now.replace(microsecond=0)
    assert (claims.user_id, claims.session_id) == (user_id, session_id)
    assert (claims.issued_at, claims.expires_at) == (second, second + lifetime)


def test_two_tokens_of_one_user_in_one_moment_differ():
    tokens = service()
    one, other = tokens.issue(user_id=7, session_id=1), tokens.issue(user_id=7, session_id=1)
    assert one != other
    assert tokens.verify(one).token_id != tokens.verify(other).token_id


def test_a_token_has_three_segments_of_ascii():
    token = service().issue(user_id=7, session_id=1)
    assert token.isascii()
    assert token.count(".") == 2


def test_a_token_is_valid_until_the_second_in_which_it_expires(clock):
    tokens = service(clock=clock, lifetime=timedelta(minutes=30))
    token = tokens.issue(user_id=7, session_id=1)
    clock.now = NOW.replace(microsecond=0) + timedelta(minutes=30, microseconds=-1)
    assert tokens.verify(token).user_id == 7
    clock.now = NOW.replace(microsecond=0) + timedelta(minutes=30)
    assert_refused(token, tokens)


def test_a_restarted_service_with_the_same_key_takes_its_tokens_back():
    assert service().verify(service().issue(user_id=7, session_id=1)).user_id == 7


def test_a_token_of_another_key_is_refused():
    assert_refused(service(key="x" * 64).issue(user_id=7, session_id=1))


@given(algorithms, algorithms)
def test_a_token_of_another_algorithm_is_refused_though_the_key_is_the_same(issued_with, verified_with):
    assume(issued_with != verified_with)
    assert_refused(service(algorithm=issued_with).issue(user_id=7, session_id=1), service(algorithm=verified_with))


# If this failed, the refusals below would prove nothing.
def test_a_token_that_is_signed_by_hand_is_taken():
    claims = service().verify(signed(compact(CLAIMS)))
    assert (claims.user_id, claims.session_id, claims.token_id) == (7, 3, "a-token")


@thousands_of_examples
@given(st.text() | st.from_regex(r"[\w-]+\.[\w-]+\.[\w-]+", fullmatch=True))
@example("")
@example("..")
@example("\x00.\x00.\x00")
@example("\ud800.\ud800.\ud800")
@example("x" * 1_000_000)
def test_any_other_text_is_refused(text):
    assert_refused(text)


@thousands_of_examples
@given(st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,50}", fullmatch=True))
def test_any_other_text_behind_the_right_header_is_refused(rest):
    assert_refused(f"{segment(compact(HEADER))}.{rest}")


@thousands_of_examples
@given(st.binary(max_size=60))
@example(b"")
@example(b"[]")
@example(b"null")
@example(b"{}")
@example(b"[" * 2500)
@example(b'{"sub":' + b"9" * 2500 + b"}")
def test_any_other_content_is_refused_even_when_it_is_signed(payload):
    assert_refused(signed(payload))


@thousands_of_examples
@given(st.data())
def test_a_token_with_one_other_character_is_refused(data):
    token = signed(compact(CLAIMS))
    at = data.draw(st.integers(0, len(token) - 1), label="at")
    other = data.draw(st.sampled_from("ABCDwxyz0189-_.=+/ \n\x00é") | st.characters(), label="character")
    assume(other != token[at])
    assert_refused(token[:at] + other + token[at + 1 :])


@pytest.mark.parametrize("algorithm", sorted(KEY_MIN_BYTES))
@pytest.mark.parametrize("at", [-1, -2])
def test_no_other_spelling_of_the_same_signature_is_taken(algorithm, at):
    # The last character of a segment carries bits that belong to no byte; a lenient reader ignores them.
    tokens = service(algorithm=algorithm)
    token = tokens.issue(user_id=7, session_id=1)
    spellings = {
        token[:at] + other + token[at:][1:]
        for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    }
    for spelling in spellings - {token}:
        assert_refused(spelling, tokens)


@thousands_of_examples
@given(st.data())
def test_a_token_with_a_character_more_or_less_is_refused(data):
    token = signed(compact(CLAIMS))
    at = data.draw(st.integers(0, len(token)), label="at")
    more = data.draw(st.characters(), label="more")
    assert_refused(token[:at] + more + token[at:])
    assume(at < len(token))
    assert_refused(token[:at] + token[at + 1 :])


@given(st.lists(st.sampled_from([0, 1, 2]), max_size=5))
def test_segments_in_another_order_or_number_are_refused(order):
    assume(order != [0, 1, 2])
    segments = signed(compact(CLAIMS)).split(".")
    assert_refused(".".join(segments[number] for number in order))


def test_the_signature_of_another_token_is_refused():
    one, other = service().issue(user_id=7, session_id=1), service().issue(user_id=8, session_id=1)
    assert_refused(one.rpartition(".")[0] + "." + other.rpartition(".")[2])


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("padding", ["=", "==", "===="])
def test_padding_is_refused(number, padding):
    segments = signed(compact(CLAIMS)).split(".")
    segments[number] += padding
    assert_refused(".".join(segments))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE"])
def test_an_unsigned_token_is_refused(alg):
    header, payload = segment(compact({"alg": alg, "typ": "JWT"})), segment(compact(CLAIMS))
    assert_refused(f"{header}.{payload}.")
    assert_refused(f"{header}.{payload}")
    assert_refused(signed(compact(CLAIMS), header=compact({"alg": alg, "typ": "JWT"})))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{}",
        b"[]",
        compact({"typ": "JWT"}),
        compact({"alg": "HS256"}),
        compact({"alg": "hs256", "typ": "JWT"}),
        compact({"alg": "RS256", "typ": "JWT"}),
        compact({"alg": "HS256", "typ": "at+jwt"}),
        compact({"alg": "HS256", "typ": "jwt"}),
        compact({"alg": "HS256", "typ": None}),
        compact({"alg": "HS256", "typ": "JWT", "kid": "../../dev/null"}),
        compact({"alg": "HS256", "typ": "JWT", "crit": ["exp"]}),
        compact({"alg": "HS256", "typ": "JWT", "jku": "https://example.com/keys"}),
        compact({"alg": "HS256", "typ": "JWT", "b64": False}),
        b'{"alg":"none","alg":"HS256","typ":"JWT"}',
        json.dumps(HEADER).encode("utf-16"),
    ],
)
def test_another_header_is_refused_though_the_signature_is_right(header):
    assert_refused(signed(compact(CLAIMS), header=header))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_a_header_with_another_algorithm_is_refused_though_its_signature_is_right(algorithm):
    header = compact({"alg": algorithm, "typ": "JWT"})
    assert_refused(signed(compact(CLAIMS), header=header, algorithm=algorithm))


@pytest.mark.parametrize("claim", sorted(CLAIMS))
def test_a_token_without_one_of_its_claims_is_refused(claim):
    assert_refused(signed(compact({name: value for name, value in CLAIMS.items() if name != claim})))


@thousands_of_examples
@given(st.sampled_from(sorted(CLAIMS)), json_values)
def test_a_claim_of_another_type_is_refused(claim, value):
    assume(type(value) is not type(CLAIMS[claim]))
    assert_refused(signed(compact(CLAIMS | {claim: value})))


@given(st.sampled_from(["iss", "aud"]), st.text(max_size=30))
@example("iss", "")
@example("iss", "tradingagents ")
@example("iss", "https://example.com")
@example("aud", "tradingagents")
@example("aud", "another-api")
def test_a_foreign_issuer_or_audience_is_refused(claim, value):
    assume(value != CLAIMS[claim])
    assert_refused(signed(compact(CLAIMS | {claim: value})))


def test_an_audience_among_others_is_refused():
    assert_refused(signed(compact(CLAIMS | {"aud": ["tradingagents-api", "another-api"]})))
    assert_refused(signed(compact(CLAIMS | {"aud": ["tradingagents-api"]})))


@pytest.mark.parametrize("claim", ["sub", "sid"])
@given(text=st.text(max_size=12) | st.from_regex(r"\s*[+-]?[\d_]{1,22}\s*", fullmatch=True))
@example(text="")
@example(text="abc")
@example(text=" 1 ")
@example(text="1\n")
@example(text="+1")
@example(text="-1")
@example(text="0")
@example(text="01")
@example(text="0_1")
@example(text="1_0")
@example(text="1.0")
@example(text="1e3")
@example(text="\uff11\uff12")
@example(text="\u0661")
@example(text="1\uff12")
@example(text="1\u0661")
@example(text="1\x00")
@example(text="\ud800")
@example(text=str(2**63))
@example(text="9" * 19)
@example(text="9" * 2500)
def test_a_user_or_session_that_is_not_the_plain_number_of_an_id_is_refused(claim, text):
    plain = text.isascii() and text.isdigit() and str(int(text)) == text and 1 <= int(text) < 2**63
    assume(not plain)
    assert_refused(signed(compact(CLAIMS | {claim: text})))


def test_the_greatest_id_is_taken():
    claims = service().verify(signed(compact(CLAIMS | {"sub": str(2**63 - 1), "sid": str(2**63 - 2)})))
    assert (claims.user_id, claims.session_id) == (2**63 - 1, 2**63 - 2)


@pytest.mark.parametrize(
    "expires",
    [
        str(ISSUED + 60),
        float(ISSUED + 60),
        True,
        float("inf"),
        float("nan"),
        10**30,
        10**1000,
        2**63,
        0,
        -1,
        -(10**30),
        ISSUED,
        ISSUED + int(LIFETIME_MAX.total_seconds()) + 1,
    ],
)
def test_an_expiry_that_this_service_would_not_write_is_refused(expires):
    assert_refused(signed(compact(CLAIMS | {"exp": expires})))


@pytest.mark.parametrize("written", [b"1e400", b"1E9", b"1.8e9", b"0x7f", b"01", b"NaN", b"Infinity"])
@pytest.mark.parametrize("claim", ["iat", "exp"])
def test_a_time_that_is_not_written_as_an_integer_is_refused(claim, written):
    payload = compact(CLAIMS).replace(
        b'"%s":%d' % (claim.encode(), CLAIMS[claim]), b'"%s":%s' % (claim.encode(), written)
    )
    assert written in payload
    assert_refused(signed(payload))


@pytest.mark.parametrize("jti", ["", "a token", "\ud800", "x" * 65])
def test_an_id_that_this_service_would_not_give_is_refused(jti):
    assert_refused(signed(compact(CLAIMS | {"jti": jti})))


def test_a_claim_that_this_service_does_not_make_is_refused():
    assert_refused(signed(compact(CLAIMS | {"admin": True})))


def test_a_claim_that_is_there_twice_is_refused():
    assert_refused(signed(compact(CLAIMS).replace(b'"sub":"7"', b'"sub":"7","sub":"8"')))


def test_a_token_that_lasts_no_time_is_refused_also_before_that_time():
    assert_refused(signed(compact(CLAIMS | {"iat": ISSUED + 30, "exp": ISSUED + 30})))


def test_the_longest_lifetime_is_taken():
    tokens = service(lifetime=LIFETIME_MAX)
    claims = tokens.verify(tokens.issue(user_id=7, session_id=1))
    assert claims.expires_at - claims.issued_at == LIFETIME_MAX


def test_an_expired_token_is_refused():
    assert_refused(signed(compact(CLAIMS | {"iat": ISSUED - 3600, "exp": ISSUED - 1})))
    assert_refused(signed(compact(CLAIMS | {"iat": ISSUED - 3600, "exp": ISSUED})))


def test_a_token_from_the_future_is_refused():
    assert_refused(signed(compact(CLAIMS | {"iat": ISSUED + 61})))
    assert_refused(signed(compact(CLAIMS | {"iat": 10**30, "exp": 10**30 + 60})))


def test_clocks_of_two_servers_may_differ_by_a_minute():
    assert service().verify(signed(compact(CLAIMS | {"iat": ISSUED + 60}))).user_id == 7


@pytest.mark.parametrize("issued", [-1, True, False, 0.0])
def test_times_count_whole_seconds_since_1970(issued):
    tokens = service(clock=lambda: datetime(1970, 1, 1, tzinfo=UTC))
    assert tokens.verify(signed(compact(CLAIMS | {"iat": 0, "exp": 60}))).user_id == 7
    assert_refused(signed(compact(CLAIMS | {"iat": issued, "exp": 60})), tokens)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_claims_in_another_encoding_than_utf_8_are_refused(encoding):
    assert_refused(signed(json.dumps(CLAIMS).encode(encoding)))


def test_a_token_of_more_than_4096_characters_is_refused_though_its_signature_is_right():
    assert_refused(signed(compact(CLAIMS | {"jti": "x" * 4096})))


@pytest.mark.parametrize(("algorithm", "minimum"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_key_shorter_than_the_digest_of_the_algorithm_is_refused(algorithm, minimum):
    with pytest.raises(ValueError, match=f"too short for {algorithm}: use {minimum} bytes or more"):
        service(key="k" * (minimum - 1), algorithm=algorithm)
    tokens = service(key="k" * minimum, algorithm=algorithm)
    assert tokens.verify(tokens.issue(user_id=7, session_id=1)).user_id == 7


def test_the_bytes_of_a_key_are_counted_not_its_characters():
    tokens = service(key="é" * 16)
    assert tokens.verify(tokens.issue(user_id=7, session_id=1)).user_id == 7
    with pytest.raises(ValueError, match="32 bytes or more"):
        service(key="é" * 15 + "k")


@pytest.mark.parametrize("key", ["", "hunter2", "k" * 31])
def test_a_key_that_is_refused_is_not_repeated(key):
    with pytest.raises(ValueError, match="the key is too short") as refusal:
        service(key=key)
    assert not key or key not in str(refusal.value)


@pytest.mark.parametrize("algorithm", ["", "none", "hs256", "ES512", "ES256K", "Ed25519"])
def test_other_algorithms_are_refused(algorithm):
    with pytest.raises(ValueError, match="HS256, HS384, HS512"):
        service(algorithm=algorithm)


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(seconds=-1), LIFETIME_MAX + timedelta(microseconds=1)])
def test_a_lifetime_of_nothing_or_of_more_than_a_leap_year_is_refused(lifetime):
    with pytest.raises(ValueError, match="the lifetime should be"):
        service(lifetime=lifetime)


# Tokens that were verified before


def test_a_token_says_the_same_every_time():
    tokens = service()
    token = tokens.issue(user_id=7, session_id=1)
    assert tokens.verify(token) == tokens.verify(token)


def test_a_token_that_was_verified_before_is_refused_once_it_has_expired(clock):
    tokens = service(clock=clock, lifetime=timedelta(minutes=30))
    token = tokens.issue(user_id=7, session_id=1)
    tokens.verify(token)
    clock.move(timedelta(minutes=30))
    assert_refused(token, tokens)


def test_a_token_that_was_refused_is_refused_again():
    tokens = service()
    for _ in range(2):
        assert_refused(service(key="x" * 64).issue(user_id=7, session_id=1), tokens)


def test_a_token_that_came_too_early_is_taken_when_its_time_has_come(clock):
    tokens = service(clock=clock)
    token = signed(compact(CLAIMS | {"iat": ISSUED + 120, "exp": ISSUED + 1800}))
    assert_refused(token, tokens)
    clock.move(timedelta(seconds=120))
    assert tokens.verify(token).user_id == 7


def test_a_token_that_differs_from_a_verified_one_in_any_place_is_refused():
    tokens = service()
    token = tokens.issue(user_id=7, session_id=1)
    tokens.verify(token)
    for place, character in enumerate(token):
        assert_refused(token[:place] + ("A" if character != "A" else "_") + token[place + 1 :], tokens)


def test_what_one_service_has_verified_another_key_does_not_take():
    token = service().issue(user_id=7, session_id=1)
    tokens, others = service(), service(key="x" * 64)
    tokens.verify(token)
    assert_refused(token, others)


@pytest.mark.parametrize("claims", [{"iat": 0, "exp": True}, {"iat": True, "exp": 60}, {"iat": False, "exp": 60}])
def test_a_truth_is_no_time_even_where_it_would_be_a_valid_one(claims):
    tokens = service(clock=lambda: datetime(1970, 1, 1, tzinfo=UTC))
    assert_refused(signed(compact(CLAIMS | claims)), tokens)


def test_a_token_that_is_too_long_costs_no_signature(monkeypatch):
    def verifies(*_: object) -> bool:
        raise AssertionError("the signature was looked at")

    tokens = service()
    monkeypatch.setattr(JwtKey, "verifies", verifies)
    with pytest.raises(InvalidToken) as refused:
        tokens.verify(signed(compact(CLAIMS | {"jti": "x" * 4096})))
    assert refused.value.__cause__ is None


def test_a_token_from_the_future_is_one_line_in_the_log_each_minute(clock, caplog):
    ahead = service(clock=lambda: clock() + timedelta(minutes=5))
    tokens = service(clock=clock)
    early = [ahead.issue(user_id=7, session_id=1) for _ in range(3)]
    for token in early:
        assert_refused(token, tokens)
    assert len(caplog.records) == 1
    assert "issued 300 seconds in the future" in caplog.text or "issued 299 seconds in the future" in caplog.text
    clock.move(timedelta(seconds=61))
    assert_refused(early[0], tokens)
    assert len(caplog.records) == 2


def test_tokens_that_are_wrong_in_other_ways_are_not_in_the_log(clock, caplog):
    tokens = service(clock=clock)
    assert_refused(
        service(key="x" * 64, clock=lambda: clock() + timedelta(minutes=5)).issue(user_id=7, session_id=1), tokens
    )
    expired = tokens.issue(user_id=7, session_id=1)
    clock.move(timedelta(days=1))
    assert_refused(expired, tokens)
    assert not caplog.records
