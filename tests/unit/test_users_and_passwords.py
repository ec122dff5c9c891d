import unicodedata
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tradingagents_core.domain.accounts import (
    EMAIL_MAX_LENGTH,
    PASSWORD_MAX_BYTES,
    PASSWORD_MIN_LENGTH,
    User,
    is_email,
    normalize_email,
    normalize_new_password,
    normalize_password,
)
from tradingagents_core.errors import InvalidInput

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STORED = User(
    id=3,
    email="ann@example.com",
    password_hash="first hash",
    is_active=True,
    created_at=NOON - timedelta(days=1),
    updated_at=NOON,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
email_parts = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="@"), min_size=1, max_size=40
)
emails = st.builds("{}@{}".format, email_parts, email_parts)
forbidden_in_emails = st.characters(categories=["Cs", "Cc", "Z"])
passwords = st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=60).filter(
    lambda text: len(unicodedata.normalize("NFC", text)) >= 8
)
times = st.datetimes(timezones=st.just(UTC))


def rule_broken_by_password(text: str) -> str:
    with pytest.raises(InvalidInput) as refusal:
        normalize_new_password(text)
    assert refusal.value.field == "password"
    return refusal.value.rule


@given(emails)
@example("User@EXAMPLE.com")
@example("İ@ΑΣ.example")
def test_an_email_is_kept_in_lower_case(email):
    assert normalize_email(email) == email.lower()


@given(emails)
@example("İ@ΑΣ.example")
def test_the_normal_form_of_an_email_is_its_own_normal_form(email):
    assert normalize_email(normalize_email(email)) == normalize_email(email)


@given(email_parts, forbidden_in_emails, email_parts)
@example("a", "\n", "b")
@example("a", "\x00", "b")
@example("a", "\u2028", "b")
def test_an_email_holds_no_white_space_control_characters_or_lone_surrogates(before, character, after):
    assert not is_email(f"{before}{character}{after}@example.com")
    assert not is_email(f"user@{before}{character}{after}")


@pytest.mark.parametrize("text", ["", "@", "user", "user@", "@example.com", "a@b@c", "user@example.com\n"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(InvalidInput) as refusal:
        normalize_email(text)
    assert (refusal.value.field, refusal.value.rule) == ("email", "email")


def test_an_email_has_at_most_254_characters():
    assert EMAIL_MAX_LENGTH == 254
    assert is_email("@" + "x" * 252 + "y") is False
    assert is_email("u@" + "x" * 252) is True
    assert is_email("u@" + "x" * 253) is False


def test_an_email_that_outgrows_the_limit_in_lower_case_is_refused():
    text = "İ@" + "x" * 252
    assert len(text) == 254 < len(text.lower())
    with pytest.raises(InvalidInput):
        normalize_email(text)


@pytest.mark.parametrize("email", ["Ann@example.com", "ann", ""])
def test_a_user_with_an_email_in_another_form_cannot_exist(email):
    with pytest.raises(InvalidInput) as refusal:
        User(id=1, email=email, password_hash="hash", created_at=NOON, updated_at=NOON)
    assert refusal.value.field == "email"


def test_showing_a_user_does_not_show_the_password_hash():
    assert "first hash" not in repr(STORED)


@pytest.mark.parametrize("attribute", ["email", "password_hash", "is_active", "updated_at"])
def test_a_user_cannot_be_changed_in_place(attribute):
    with pytest.raises(FrozenInstanceError):
        setattr(STORED, attribute, getattr(STORED, attribute))


def test_another_password_changes_the_hash_and_nothing_else():
    changed = STORED.with_password_hash("second hash", at=NOON)
    assert changed.password_hash == "second hash"
    assert changed.with_password_hash("first hash", at=NOON) == STORED


def test_deactivating_and_activating_change_that_and_nothing_else():
    inactive = STORED.deactivated(at=NOON)
    assert inactive.is_active is False
    assert inactive.activated(at=NOON) == STORED


@pytest.mark.parametrize(
    "change",
    [
        lambda at: STORED.with_password_hash("h", at=at),
        lambda at: STORED.activated(at=at),
        lambda at: STORED.deactivated(at=at),
    ],
)
@given(at=times)
@example(at=NOON - timedelta(hours=1))
@example(at=NOON + timedelta(hours=1))
def test_times_of_a_user_never_move_back_whatever_the_clock_says(change, at):
    changed = change(at)
    assert (changed.created_at, changed.updated_at) == (STORED.created_at, max(NOON, at))


@given(passwords)
@example(" leading and trailing ")
@example("line\nbreaks\x00too")
def test_a_password_is_changed_in_nothing_but_its_normal_form(text):
    assert normalize_new_password(text) == unicodedata.normalize("NFC", text)


@given(passwords)
def test_every_keyboard_types_the_same_password(text):
    composed, decomposed = unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)
    assert normalize_password(composed) == normalize_password(decomposed)


@pytest.mark.parametrize(("one", "other"), [("\ufb01", "fi"), ("\u2460", "1"), ("\uff21", "A"), ("a", "A")])
def test_passwords_that_merely_look_alike_stay_different(one, other):
    assert normalize_password(one) != normalize_password(other)


@given(passwords, passwords)
def test_the_last_character_of_a_password_counts(text, other):
    assume(normalize_password(text)[-1] != normalize_password(other)[-1])
    assert normalize_new_password(text)[-1] != normalize_new_password(other)[-1]


@pytest.mark.parametrize("text", ["", "x" * 7, "🙂" * 7])
def test_a_password_has_at_least_8_characters(text):
    assert PASSWORD_MIN_LENGTH == 8
    assert rule_broken_by_password(text) == "string_too_short"
    assert normalize_new_password(text + "x" * (8 - len(text))) == text + "x" * (8 - len(text))


def test_the_characters_of_a_password_are_counted_in_its_normal_form():
    assert rule_broken_by_password("e\u0301" * 7) == "string_too_short"
    assert normalize_new_password("e\u0301" * 8) == "é" * 8


@pytest.mark.parametrize(("character", "size"), [("x", 1), ("é", 2), ("€", 3), ("🙂", 4)])
def test_a_password_has_at_most_1024_bytes(character, size):
    assert PASSWORD_MAX_BYTES == 1024
    longest = character * (1024 // size) + "x" * (1024 % size)
    assert normalize_new_password(longest) == longest
    assert rule_broken_by_password(longest + "x") in ("string_too_long", "too_large")


def test_the_bytes_of_a_password_are_counted_in_its_normal_form():
    shrinks, grows = "e\u0301", "\u0958"
    assert len((shrinks * 512).encode()) > 1024
    assert normalize_new_password(shrinks * 512) == "é" * 512
    assert len((grows * 341).encode()) <= 1024
    assert rule_broken_by_password(grows * 341) == "too_large"


@given(texts, st.characters(categories=["Cs"]), texts)
def test_a_password_holds_no_lone_surrogates(before, surrogate, after):
    assert rule_broken_by_password(before + surrogate + after) == "string_unicode"


def test_a_password_may_be_typed_in_any_form_however_much_longer_that_is() -> None:
    longest = "각" * (PASSWORD_MAX_BYTES // 3)
    typed = unicodedata.normalize("NFD", longest)
    assert len(typed.encode()) > 2.9 * PASSWORD_MAX_BYTES
    assert normalize_password(typed) == normalize_new_password(typed) == longest


def test_a_text_too_long_for_any_password_is_not_normalized() -> None:
    text = "e\u0301" * (2 * PASSWORD_MAX_BYTES)
    assert normalize_password(text) == text
    with pytest.raises(InvalidInput):
        normalize_new_password(text)


def test_a_password_that_shrinks_most_may_be_typed_in_its_longest_form() -> None:
    typed = "\u1fbe\u0308\u0301" * (PASSWORD_MAX_BYTES // 2)
    assert len(typed.encode()) == 3.5 * PASSWORD_MAX_BYTES
    assert len(normalize_password(typed).encode()) == PASSWORD_MAX_BYTES
    assert normalize_new_password(typed) == normalize_password(typed)
