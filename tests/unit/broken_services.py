"""Token services and password hashers with one fault each. A test of the kit has to find each fault.

pytest collects this file only on request: see `test_conformance_kit.py`.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from faults import Fault

from tradingagents_conformance import OpenTokenService, PasswordHasherContract, TokenServiceContract
from tradingagents_core.domain.authentication import TokenClaims
from tradingagents_core.errors import InvalidToken
from tradingagents_core.ports import Clock, PasswordHasher, TokenService

LIFETIME = timedelta(minutes=30)
KEY = b"k" * 32
PUBLIC_KEY = {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "use": "sig", "alg": "EdDSA", "kid": "1"}

FAULTS: dict[str, Fault] = {}
"""Every broken service, by the name of its fault."""


class PlainTokenService(TokenService):
    """A token service without faults: signs a user, a session, two times and an id."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    @property
    def lifetime(self) -> timedelta:
        return LIFETIME

    def issue(self, *, user_id: int, session_id: int) -> str:
        issued_at = self.clock()
        times = f"{self.text(issued_at)}.{self.text(issued_at + LIFETIME)}"
        return self.signed(f"{user_id}.{session_id}.{times}.{self.new_id()}")

    def verify(self, token: str) -> TokenClaims:
        content, _, signature = token.rpartition(".")
        if not token.isascii() or not hmac.compare_digest(signature, self.signature(content)):
            raise InvalidToken
        user_id, session_id, issued_at, expires_at, token_id = content.split(".")
        if self.is_over(self.time(expires_at)):
            raise InvalidToken
        return TokenClaims(
            token_id=token_id,
            user_id=int(user_id),
            session_id=int(session_id),
            issued_at=self.time(issued_at),
            expires_at=self.time(expires_at),
        )

    def is_over(self, expires_at: datetime) -> bool:
        return self.clock() >= expires_at

    def signed(self, content: str) -> str:
        return f"{content}.{self.signature(content)}"

    def signature(self, content: str) -> str:
        return hmac.digest(KEY, content.encode(errors="surrogatepass"), "sha256").hex()

    def text(self, moment: datetime) -> str:
        return str((moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))

    def time(self, text: str) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(text))

    def new_id(self) -> str:
        return secrets.token_hex(8)


class PlainPasswordHasher(PasswordHasher):
    """A password hasher without faults: scrypt in a thread."""

    def __init__(self, cost: int = 4) -> None:
        self.cost = cost

    async def hash(self, password: str) -> str:
        return await self.in_a_thread(self.made, password, self.new_salt(), self.cost)

    async def verify(self, *, password: str, password_hash: str | None) -> bool:
        _, cost, salt, _key = self.parts(password_hash or f"scrypt${self.cost}${'0' * 32}$")
        if not cost:
            return False
        made = await self.in_a_thread(self.made, password, salt, int(cost))
        return made == password_hash

    def needs_rehash(self, password_hash: str) -> bool:
        return int(self.parts(password_hash)[1]) < self.cost

    async def in_a_thread(self, work: Callable[..., str], *arguments: Any) -> str:
        return await asyncio.to_thread(work, *arguments)

    def made(self, password: str, salt: str, cost: int) -> str:
        key = hashlib.scrypt(self.encoded(password), salt=salt.encode(), n=cost, r=1, p=1).hex()
        return f"scrypt${cost}${salt}${key}"

    def encoded(self, password: str) -> bytes:
        # Without the digest, scrypt pads short keys with NUL, and does not tell them from keys that end with NUL.
        return hashlib.sha256(password.encode(errors="surrogatepass")).digest()

    def parts(self, password_hash: str) -> list[str]:
        parts = password_hash.split("$")
        return parts if len(parts) == 4 and parts[0] == "scrypt" and parts[1].isdecimal() else ["", "", "", ""]

    def new_salt(self) -> str:
        return secrets.token_hex(16)


def named_by(test: str) -> Callable[[type[Any]], type[Any]]:
    def note(broken: type[Any]) -> type[Any]:
        FAULTS[broken.__name__] = Fault(broken, test)
        globals()[f"Test{broken.__name__}"] = contract_of(broken)
        return broken

    return note


def contract_of(broken: type[Any]) -> type[Any]:
    class OfTokens(TokenServiceContract):
        examples = 25

        @pytest.fixture
        def open_token_service(self) -> OpenTokenService:
            return broken

    class OfPasswords(PasswordHasherContract):
        examples = 10

        @pytest.fixture
        def password_hasher(self) -> PasswordHasher:
            return broken()

        @pytest.fixture
        def weaker_password_hasher(self) -> PasswordHasher:
            return broken(cost=2)

    return OfTokens if issubclass(broken, TokenService) else OfPasswords


TestPlainTokenService = contract_of(PlainTokenService)
TestPlainPasswordHasher = contract_of(PlainPasswordHasher)


# Tokens


@named_by("test_an_expired_token_is_refused")
class TokensNeverExpire(PlainTokenService):
    def is_over(self, expires_at):
        return False


@named_by("test_an_expired_token_is_refused")
class TokensAreGoodInTheMomentTheyExpire(PlainTokenService):
    def is_over(self, expires_at):
        return self.clock() > expires_at


@named_by("test_a_token_says_the_same_until_just_before_it_expires")
class TokensExpireASecondEarly(PlainTokenService):
    def is_over(self, expires_at):
        return self.clock() + timedelta(seconds=1) >= expires_at


@named_by("test_two_tokens_expire_each_in_its_own_time")
class AllTokensExpireTogether(PlainTokenService):
    def __init__(self, clock):
        super().__init__(clock)
        self.opened_at = clock()

    def is_over(self, expires_at):
        return self.clock() >= self.opened_at + LIFETIME


@named_by("test_a_token_is_valid_from_now_on")
class TheClockIsNotAsked(PlainTokenService):
    def issue(self, *, user_id):
        issued_at = self.clock() - timedelta(minutes=1)
        return self.signed(f"{user_id}.{self.text(issued_at)}.{self.text(issued_at + LIFETIME)}.{self.new_id()}")


@named_by("test_the_lifetime_of_tokens_is_told_in_whole_seconds")
class TokensExpireEarlierThanIsTold(PlainTokenService):
    @property
    def lifetime(self):
        return LIFETIME + timedelta(seconds=1)


@named_by("test_the_times_of_a_token_are_aware_and_in_utc")
class TimesOfTokensLoseTheirZone(PlainTokenService):
    def verify(self, token):
        claims = super().verify(token)
        return TokenClaims(
            token_id=claims.token_id,
            user_id=claims.user_id,
            issued_at=claims.issued_at.replace(tzinfo=None),
            expires_at=claims.expires_at,
        )


@named_by("test_tokens_of_one_session_and_one_moment_differ")
class ATokenIsIssuedTwice(PlainTokenService):
    def new_id(self):
        return "0"


@named_by("test_each_token_has_an_id_of_its_own")
class TokensOfOneUserShareAnId(PlainTokenService):
    def verify(self, token):
        claims = super().verify(token)
        return TokenClaims(
            token_id=str(claims.user_id),
            user_id=claims.user_id,
            session_id=claims.session_id,
            issued_at=claims.issued_at,
            expires_at=claims.expires_at,
        )


@named_by("test_a_token_says_for_which_user_and_session_it_was_issued")
class IdsAreKeptAsFloats(PlainTokenService):
    def issue(self, *, user_id, session_id):
        return super().issue(user_id=int(float(user_id)), session_id=session_id)


@named_by("test_a_token_says_for_which_user_and_session_it_was_issued")
class SessionsAreKeptIn32Bits(PlainTokenService):
    def issue(self, *, user_id, session_id):
        return super().issue(user_id=user_id, session_id=session_id % 2**32 or 1)


@named_by("test_tokens_of_two_sessions_of_one_user_say_each_its_own_session")
class AllTokensOfAUserAreOfOneSession(PlainTokenService):
    def __init__(self, clock):
        super().__init__(clock)
        self.sessions = {}

    def issue(self, *, user_id, session_id):
        return super().issue(user_id=user_id, session_id=self.sessions.setdefault(user_id, session_id))


@named_by("test_a_token_is_ascii")
class TokensAreNotAscii(PlainTokenService):
    def issue(self, *, user_id, session_id):
        return "é" + super().issue(user_id=user_id, session_id=session_id)

    def verify(self, token):
        if not token.startswith("é"):
            raise InvalidToken
        return super().verify(token[1:])


@named_by("test_a_token_can_be_sent_as_a_bearer_token")
class TokensHoldSpaces(PlainTokenService):
    def new_id(self):
        return f" {super().new_id()}"


@named_by("test_a_token_with_one_other_character_is_refused")
class SignaturesAreNotChecked(PlainTokenService):
    def verify(self, token):
        content = token.rpartition(".")[0]
        try:
            return super().verify(self.signed(content))
        except (ValueError, OverflowError):
            raise InvalidToken from None


@named_by("test_parts_of_two_tokens_do_not_make_a_token")
class TheUserIsNotSigned(PlainTokenService):
    def signature(self, content):
        return super().signature(content.partition(".")[2])


@named_by("test_white_space_around_a_token_is_refused")
class WhiteSpaceAroundATokenIsIgnored(PlainTokenService):
    def verify(self, token):
        return super().verify(token.strip())


@named_by("test_a_token_with_a_character_more_or_less_is_refused")
class PaddingIsIgnored(PlainTokenService):
    def verify(self, token):
        return super().verify(token.rstrip("="))


@named_by("test_any_other_text_is_refused")
class OddTextsAreAnotherError(PlainTokenService):
    def verify(self, token):
        token.encode("ascii")
        return super().verify(token)


@named_by("test_a_public_key_has_the_members_of_its_kind_and_no_others")
class PrivateMembersArePublished(PlainTokenService):
    def public_keys(self):
        return [PUBLIC_KEY | {"d": "A" * 43}]


@named_by("test_a_public_key_has_the_members_of_its_kind_and_no_others")
class SecretsArePublished(PlainTokenService):
    def public_keys(self):
        return [{"kty": "oct", "k": KEY.decode(), "use": "sig", "alg": "HS256", "kid": "1"}]


@named_by("test_a_public_key_is_for_signatures")
class PublicKeysEncrypt(PlainTokenService):
    def public_keys(self):
        return [PUBLIC_KEY | {"use": "enc"}]


@named_by("test_each_public_key_has_an_id_of_its_own")
class PublicKeysShareAnId(PlainTokenService):
    def public_keys(self):
        return [PUBLIC_KEY, PUBLIC_KEY | {"x": "B" * 43}]


# Passwords


@named_by("test_the_event_loop_runs_while_a_password_is_hashed")
class TheEventLoopIsHeldUp(PlainPasswordHasher):
    async def in_a_thread(self, work, *arguments):
        return work(*arguments)


@named_by("test_verifying_for_an_unknown_user_takes_work")
class NobodyIsAnsweredAtOnce(PlainPasswordHasher):
    async def verify(self, *, password, password_hash):
        return password_hash is not None and await super().verify(password=password, password_hash=password_hash)


@named_by("test_an_unknown_user_has_no_password")
class NobodyHasEveryPassword(PlainPasswordHasher):
    async def verify(self, *, password, password_hash):
        return await super().verify(password=password, password_hash=password_hash or await self.hash(password))


@named_by("test_two_hashes_of_one_password_differ")
class HashesAreNotSalted(PlainPasswordHasher):
    def new_salt(self):
        return "0" * 32


@named_by("test_a_hash_does_not_hold_its_password")
class HashesHoldThePassword(PlainPasswordHasher):
    def made(self, password, salt, cost):
        return super().made(password, salt, cost) + base64.b64encode(self.readable(password)).decode()

    def readable(self, password):
        return password.encode(errors="surrogatepass")


@named_by("test_a_hash_does_not_tell_how_long_its_password_is")
class HashesTellTheLength(PlainPasswordHasher):
    def made(self, password, salt, cost):
        return super().made(password, salt, cost) + "=" * len(password)


@named_by("test_the_last_character_counts_however_long_a_password_is")
class SeventyTwoBytesCount(PlainPasswordHasher):
    def encoded(self, password):
        return super().encoded(password[:72])


@named_by("test_characters_after_a_nul_count")
class ANulEndsAPassword(PlainPasswordHasher):
    def encoded(self, password):
        return super().encoded(password.partition("\x00")[0])


@named_by("test_case_white_space_and_nul_count")
class CaseDoesNotCount(PlainPasswordHasher):
    def encoded(self, password):
        return super().encoded(password.lower())


@named_by("test_case_white_space_and_nul_count")
class WhiteSpaceIsStripped(PlainPasswordHasher):
    def encoded(self, password):
        return super().encoded(password.strip())


@named_by("test_a_hash_was_made_from_its_own_password_only")
class EveryPasswordIsRight(PlainPasswordHasher):
    async def verify(self, *, password, password_hash):
        return password_hash is not None and bool(self.parts(password_hash)[0])


@named_by("test_a_text_that_nobody_could_have_set_is_the_wrong_password")
class OddPasswordsAreAnError(PlainPasswordHasher):
    def encoded(self, password):
        return hashlib.sha256(password.encode()).digest()


@named_by("test_a_hash_that_cannot_be_read_was_made_from_no_password")
class UnreadableHashesAreAnError(PlainPasswordHasher):
    def parts(self, password_hash):
        scheme, cost, salt, key = password_hash.split("$")
        return [scheme, cost, salt, key]


@named_by("test_a_hash_made_now_needs_no_other")
class EveryHashNeedsAnother(PlainPasswordHasher):
    def needs_rehash(self, password_hash):
        return True


@named_by("test_a_weaker_hash_needs_another")
class NoHashNeedsAnother(PlainPasswordHasher):
    def needs_rehash(self, password_hash):
        return False


@named_by("test_a_stronger_hash_needs_no_other")
class StrongerHashesNeedAnother(PlainPasswordHasher):
    def needs_rehash(self, password_hash):
        return int(self.parts(password_hash)[1]) != self.cost


@named_by("test_a_weaker_hash_is_verified_all_the_same")
class WeakerHashesAreNotVerified(PlainPasswordHasher):
    async def verify(self, *, password, password_hash):
        if password_hash is not None and self.parts(password_hash)[1] != str(self.cost):
            return False
        return await super().verify(password=password, password_hash=password_hash)
