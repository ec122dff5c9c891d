"""The contract of `PasswordHasher`, as tests.

The tests do not measure the time of a hash: on a busy machine, this time says nothing.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradingagents_conformance.examples import repeatable
from tradingagents_core.domain.accounts import PASSWORD_MAX_BYTES, normalize_password
from tradingagents_core.ports import PasswordHasher

PASSWORD: Final = "correct horse battery staple"  # noqa: S105

_passwords: Final = st.sampled_from(
    ("", "\x00", PASSWORD, PASSWORD.title(), PASSWORD + " ", PASSWORD + "\x00", PASSWORD[:-1])
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(normalize_password)


class PasswordHasherContract:
    """Every sentence of `PasswordHasher`.

    A subclass defines the fixtures `password_hasher` and `weaker_password_hasher`, and may set the attribute below.
    Cheap parameters keep the tests short.
    """

    examples: ClassVar[int] = 60
    """How many examples each property is tried with. They are the same in every run."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def password_hasher(self) -> PasswordHasher:
        """Defined by the author of the hasher."""
        raise NotImplementedError("a subclass of PasswordHasherContract has to define the fixture password_hasher")

    @pytest.fixture
    def weaker_password_hasher(self) -> PasswordHasher:
        """Defined by the author of the hasher: one of the same kind with weaker parameters."""
        raise NotImplementedError(
            "a subclass of PasswordHasherContract has to define the fixture weaker_password_hasher"
        )

    @pytest.fixture
    async def password_hash(self, password_hasher: PasswordHasher) -> str:
        return await password_hasher.hash(PASSWORD)

    # Hashing

    async def test_a_hash_does_not_hold_its_password(self, password_hash: str) -> None:
        raw = PASSWORD.encode()

        spellings = (PASSWORD, PASSWORD[::-1], raw.hex(), base64.b64encode(raw).decode().rstrip("="))
        assert not [spelling for spelling in spellings if spelling.lower() in password_hash.lower()]

    async def test_a_hash_does_not_tell_how_long_its_password_is(self, password_hasher: PasswordHasher) -> None:
        lengths = {len(await password_hasher.hash("x" * length)) for length in (0, 8, 100, PASSWORD_MAX_BYTES)}

        assert len(lengths) == 1

    async def test_two_hashes_of_one_password_differ(self, password_hasher: PasswordHasher, password_hash: str) -> None:
        assert await password_hasher.hash(PASSWORD) != password_hash

    async def test_the_event_loop_runs_while_a_password_is_hashed(self, password_hasher: PasswordHasher) -> None:
        assert await _lets_others_run(lambda: password_hasher.hash(PASSWORD))

    # Verifying

    def test_a_hash_was_made_from_its_own_password_only(self, password_hasher: PasswordHasher) -> None:
        @repeatable(self.examples)
        @given(_passwords, _passwords)
        def tells_apart(one: str, other: str) -> None:
            async def verify_both() -> tuple[bool, bool]:
                password_hash = await password_hasher.hash(one)
                return (
                    await password_hasher.verify(password=one, password_hash=password_hash),
                    await password_hasher.verify(password=other, password_hash=password_hash),
                )

            assert asyncio.run(verify_both()) == (True, one == other)

        tells_apart()

    @pytest.mark.parametrize("length", [1, 8, 55, 56, 72, 73, 128, 256, PASSWORD_MAX_BYTES])
    async def test_the_last_character_counts_however_long_a_password_is(
        self, password_hasher: PasswordHasher, length: int
    ) -> None:
        password_hash = await password_hasher.hash("x" * length)

        assert await password_hasher.verify(password="x" * length, password_hash=password_hash) is True
        assert await password_hasher.verify(password="x" * (length - 1) + "y", password_hash=password_hash) is False

    @pytest.mark.parametrize(
        "other",
        [PASSWORD.upper(), f" {PASSWORD}", f"{PASSWORD} ", f"{PASSWORD}\n", f"{PASSWORD}\x00", f"{PASSWORD}\x00more"],
    )
    async def test_case_white_space_and_nul_count(
        self, password_hasher: PasswordHasher, password_hash: str, other: str
    ) -> None:
        assert await password_hasher.verify(password=other, password_hash=password_hash) is False

    async def test_characters_after_a_nul_count(self, password_hasher: PasswordHasher) -> None:
        password_hash = await password_hasher.hash("horse\x00battery")

        assert await password_hasher.verify(password="horse\x00battery", password_hash=password_hash) is True
        assert await password_hasher.verify(password="horse\x00staple", password_hash=password_hash) is False

    async def test_a_text_that_nobody_could_have_set_is_the_wrong_password(
        self, password_hasher: PasswordHasher, password_hash: str
    ) -> None:
        assert await password_hasher.verify(password="\ud800" * 8, password_hash=password_hash) is False

    async def test_a_hash_that_cannot_be_read_was_made_from_no_password(
        self, password_hasher: PasswordHasher, password_hash: str
    ) -> None:
        cut, foreign = password_hash[: len(password_hash) // 2], "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIU"

        for unreadable in ("", "\x00", "é", "\ud800", PASSWORD, cut, foreign, "$" * 5, f"{{}}{password_hash}"):
            assert await password_hasher.verify(password=PASSWORD, password_hash=unreadable) is False

    async def test_an_unknown_user_has_no_password(self, password_hasher: PasswordHasher) -> None:
        for password in (PASSWORD, "", "None"):
            assert await password_hasher.verify(password=password, password_hash=None) is False

    async def test_the_event_loop_runs_while_a_password_is_verified(
        self, password_hasher: PasswordHasher, password_hash: str
    ) -> None:
        assert await _lets_others_run(lambda: password_hasher.verify(password=PASSWORD, password_hash=password_hash))

    async def test_verifying_for_an_unknown_user_takes_work(self, password_hasher: PasswordHasher) -> None:
        assert await _lets_others_run(lambda: password_hasher.verify(password=PASSWORD, password_hash=None))

    # Growing stronger

    async def test_a_hash_made_now_needs_no_other(self, password_hasher: PasswordHasher, password_hash: str) -> None:
        assert password_hasher.needs_rehash(password_hash) is False

    async def test_a_weaker_hash_needs_another(
        self, password_hasher: PasswordHasher, weaker_password_hasher: PasswordHasher
    ) -> None:
        assert password_hasher.needs_rehash(await weaker_password_hasher.hash(PASSWORD)) is True

    async def test_a_stronger_hash_needs_no_other(
        self, weaker_password_hasher: PasswordHasher, password_hash: str
    ) -> None:
        assert weaker_password_hasher.needs_rehash(password_hash) is False

    async def test_a_weaker_hash_is_verified_all_the_same(
        self, password_hasher: PasswordHasher, weaker_password_hasher: PasswordHasher
    ) -> None:
        weaker = await weaker_password_hasher.hash(PASSWORD)

        assert await password_hasher.verify(password=PASSWORD, password_hash=weaker) is True
        assert await password_hasher.verify(password=PASSWORD[1:], password_hash=weaker) is False


async def _lets_others_run(start: Callable[[], Awaitable[Any]]) -> bool:
    """Whether other tasks have run before the work was done.

    Work that ends in the first step of its task was done on the event loop, or not at all.
    """
    job = asyncio.ensure_future(start())
    await asyncio.sleep(0)
    turned = not job.done()
    await job
    return turned
