"""The contract of `TokenService`, as tests."""

import re
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tradingagents_conformance.examples import repeatable
from tradingagents_conformance.opening import OpenTokenService
from tradingagents_core.domain.parameters import INTEGER_MAX
from tradingagents_core.errors import InvalidToken
from tradingagents_core.ports import TokenService

SECOND: Final = timedelta(seconds=1)

EVERY_KEY: Final = {"kty", "use", "alg", "kid"}
PUBLIC_MEMBERS: Final = {"RSA": {"n", "e"}, "EC": {"crv", "x", "y"}, "OKP": {"crv", "x"}}
"""The members of public keys beside those of every key, by `kty` (RFC 7518, 6.2 and 6.3; RFC 8037, 2)."""

_IDS: Final = st.integers(1, INTEGER_MAX) | st.sampled_from((1, INTEGER_MAX))


class SteeredClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, 0, 0, 123_456, UTC)

    def __call__(self) -> datetime:
        return self.now


class TokenServiceContract:
    """Every sentence of `TokenService`.

    A subclass defines the fixture `open_token_service`, and may set the attribute below.
    """

    examples: ClassVar[int] = 100
    """How many examples each property is tried with. They are the same in every run."""

    @pytest.fixture
    def open_token_service(self) -> OpenTokenService:
        """Defined by the author of the service."""
        raise NotImplementedError("a subclass of TokenServiceContract has to define the fixture open_token_service")

    @pytest.fixture
    def clock(self) -> SteeredClock:
        return SteeredClock()

    @pytest.fixture
    def tokens(self, open_token_service: OpenTokenService, clock: SteeredClock) -> TokenService:
        return open_token_service(clock)

    # Issuing

    def test_a_token_says_for_which_user_and_session_it_was_issued(self, tokens: TokenService) -> None:
        @repeatable(self.examples)
        @given(_IDS, _IDS)
        def says_for_whom(user_id: int, session_id: int) -> None:
            claims = tokens.verify(tokens.issue(user_id=user_id, session_id=session_id))
            assert (claims.user_id, claims.session_id) == (user_id, session_id)

        says_for_whom()

    def test_tokens_of_two_sessions_of_one_user_say_each_its_own_session(self, tokens: TokenService) -> None:
        one, other = [tokens.issue(user_id=7, session_id=session_id) for session_id in (21, 22)]

        assert [tokens.verify(token).session_id for token in (one, other, one)] == [21, 22, 21]

    def test_a_token_is_ascii(self, tokens: TokenService) -> None:
        assert tokens.issue(user_id=7, session_id=21).isascii()

    def test_a_token_can_be_sent_as_a_bearer_token(self, tokens: TokenService) -> None:
        # RFC 6750, 2.1: b64token.
        assert re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", tokens.issue(user_id=7, session_id=21))

    def test_tokens_of_one_session_and_one_moment_differ(self, tokens: TokenService) -> None:
        assert len({tokens.issue(user_id=7, session_id=21) for _ in range(100)}) == 100

    def test_each_token_has_an_id_of_its_own(self, tokens: TokenService) -> None:
        issued = [tokens.issue(user_id=user_id, session_id=user_id + 1) for user_id in (7, 8) for _ in range(50)]

        assert len({tokens.verify(token).token_id for token in issued}) == 100

    def test_a_token_is_valid_from_now_on(self, tokens: TokenService, clock: SteeredClock) -> None:
        claims = tokens.verify(tokens.issue(user_id=7, session_id=21))

        # A token may contain whole seconds only.
        assert clock.now - SECOND < claims.issued_at <= clock.now

    def test_a_token_is_valid_for_a_limited_time(self, tokens: TokenService, clock: SteeredClock) -> None:
        claims = tokens.verify(tokens.issue(user_id=7, session_id=21))

        assert claims.expires_at > clock.now - SECOND
        assert claims.expires_at > claims.issued_at

    def test_the_lifetime_of_tokens_is_told_in_whole_seconds(self, tokens: TokenService) -> None:
        claims = tokens.verify(tokens.issue(user_id=7, session_id=21))

        assert claims.expires_at - claims.issued_at == tokens.lifetime
        assert tokens.lifetime % SECOND == timedelta(0)

    # Verifying

    def test_the_times_of_a_token_are_aware_and_in_utc(self, tokens: TokenService) -> None:
        claims = tokens.verify(tokens.issue(user_id=7, session_id=21))

        assert (claims.issued_at.utcoffset(), claims.expires_at.utcoffset()) == (timedelta(0), timedelta(0))

    def test_a_token_says_the_same_until_just_before_it_expires(
        self, tokens: TokenService, clock: SteeredClock
    ) -> None:
        token = tokens.issue(user_id=7, session_id=21)
        claims = tokens.verify(token)
        clock.now = claims.expires_at - timedelta(microseconds=1)

        assert tokens.verify(token) == claims

    @pytest.mark.parametrize(
        "later", [timedelta(0), timedelta(microseconds=1), timedelta(days=1), timedelta(days=9999)]
    )
    def test_an_expired_token_is_refused(self, tokens: TokenService, clock: SteeredClock, later: timedelta) -> None:
        token = tokens.issue(user_id=7, session_id=21)
        clock.now = tokens.verify(token).expires_at + later

        with pytest.raises(InvalidToken):
            tokens.verify(token)

    def test_two_tokens_expire_each_in_its_own_time(self, tokens: TokenService, clock: SteeredClock) -> None:
        older = tokens.issue(user_id=7, session_id=21)
        clock.now += SECOND * 2
        newer = tokens.issue(user_id=7, session_id=21)
        clock.now = tokens.verify(older).expires_at

        assert tokens.verify(newer).session_id == 21
        with pytest.raises(InvalidToken):
            tokens.verify(older)

    def test_any_other_text_is_refused(self, tokens: TokenService) -> None:
        odd = st.sampled_from(("", " ", ".", "..", "a.b.c", "Bearer", "null", "\x00", "\ud800", "é" * 9, "x" * 100_000))

        @repeatable(self.examples)
        @given(odd | st.text() | st.from_regex(r"[\w-]+\.[\w-]+\.[\w-]+", fullmatch=True))
        def is_refused(text: str) -> None:
            with pytest.raises(InvalidToken):
                tokens.verify(text)

        is_refused()

    @pytest.mark.parametrize("white_space", [" ", "\n", "\r\n", "\t", "\u2028"])
    def test_white_space_around_a_token_is_refused(self, tokens: TokenService, white_space: str) -> None:
        token = tokens.issue(user_id=7, session_id=21)

        for text in (token + white_space, white_space + token):
            with pytest.raises(InvalidToken):
                tokens.verify(text)

    def test_a_token_with_one_other_character_is_refused(self, tokens: TokenService) -> None:
        token = tokens.issue(user_id=7, session_id=21)

        @repeatable(self.examples)
        @given(st.integers(0, len(token) - 1), st.sampled_from("ABCDwxyz0189-_.=+/ \n\x00é") | st.characters())
        def is_refused(at: int, other: str) -> None:
            assume(other != token[at])
            with pytest.raises(InvalidToken):
                tokens.verify(token[:at] + other + token[at + 1 :])

        is_refused()

    def test_a_token_with_a_character_more_or_less_is_refused(self, tokens: TokenService) -> None:
        token = tokens.issue(user_id=7, session_id=21)

        @repeatable(self.examples)
        @given(
            st.sampled_from((0, len(token))) | st.integers(0, len(token)),
            st.sampled_from(("", "A", "=", ".", "\x00")) | st.characters(),
        )
        def is_refused(at: int, more: str) -> None:
            assume(more or at < len(token))
            with pytest.raises(InvalidToken):
                tokens.verify(token[:at] + (more + token[at:] if more else token[at + 1 :]))

        is_refused()

    def test_parts_of_two_tokens_do_not_make_a_token(self, tokens: TokenService) -> None:
        one, other = tokens.issue(user_id=7, session_id=21), tokens.issue(user_id=8, session_id=22)

        @repeatable(self.examples)
        @given(st.integers(0, 3) | st.integers(0, max(len(one), len(other))))
        def is_refused(at: int) -> None:
            spliced = one[:at] + other[at:]
            assume(spliced not in {one, other})
            with pytest.raises(InvalidToken):
                tokens.verify(spliced)

        is_refused()

    # Public keys

    def test_a_public_key_has_the_members_of_its_kind_and_no_others(self, tokens: TokenService) -> None:
        for key in tokens.public_keys():
            assert key["kty"] in PUBLIC_MEMBERS
            assert key.keys() == EVERY_KEY | PUBLIC_MEMBERS[key["kty"]]
            assert all(isinstance(value, str) and value for value in key.values())

    def test_a_public_key_is_for_signatures(self, tokens: TokenService) -> None:
        assert {key["use"] for key in tokens.public_keys()} <= {"sig"}

    def test_each_public_key_has_an_id_of_its_own(self, tokens: TokenService) -> None:
        ids = [key["kid"] for key in tokens.public_keys()]

        assert len(set(ids)) == len(ids)
