from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from enum import IntEnum, StrEnum
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradingagents_core.domain.accounts import User, normalize_email, normalize_new_password, normalize_password
from tradingagents_core.domain.api_keys import ApiKey
from tradingagents_core.domain.authentication import Caller, IssuedToken, TokenClaims
from tradingagents_core.domain.login_throttle import FailureCount, LoginAttempt
from tradingagents_core.domain.parameters import INTEGER_MAX, Parameters
from tradingagents_core.domain.secrets import hash_of
from tradingagents_core.domain.sessions import RefreshToken, Session
from tradingagents_core.domain.strategies import Strategy, StrategyContent
from tradingagents_core.errors import InvalidInput

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STRATEGY = Strategy(id=7, owner_id=3, name="Crossover", created_at=NOON, updated_at=NOON)
USER = User(id=3, email="ann@example.com", password_hash="hash", created_at=NOON, updated_at=NOON)
CALLER = Caller(user_id=3, expires_at=NOON)
TOKEN = IssuedToken(access_token="token", lifetime=timedelta(minutes=1))
CLAIMS = TokenClaims(token_id="id", user_id=3, session_id=5, issued_at=NOON, expires_at=NOON)
SESSION = Session(id=5, user_id=3, created_at=NOON, last_used_at=NOON, expires_at=NOON)
REFRESH_TOKEN = RefreshToken(token_hash=hash_of("tr_"), session_id=5, expires_at=NOON, used_at=NOON)
API_KEY = ApiKey(
    id=9,
    user_id=3,
    name="bot",
    scopes=("strategies:read",),
    expires_at=NOON,
    prefix="ta_12345678",
    key_hash=hash_of("ta_"),
    created_at=NOON,
    last_used_at=NOON,
)
COUNT = FailureCount(1, NOON)


class Word(StrEnum):
    RED = "red"


class Number(IntEnum):
    SEVEN = 7


class Text(str):
    """A text that says something else about itself."""

    def __str__(self) -> str:
        return "something else"


class Moment(datetime):
    """A `datetime` of another library, such as `pandas.Timestamp`."""


class NoOffset(tzinfo):
    def utcoffset(self, _: datetime | None) -> None:
        return None


TEXTS = [
    (StrategyContent(name="a"), "name"),
    (StrategyContent(name="a"), "description"),
    (USER, "password_hash"),
    (TOKEN, "access_token"),
    (CLAIMS, "token_id"),
    (API_KEY, "name"),
    (API_KEY, "prefix"),
]
IDS = [
    (STRATEGY, "id"),
    (STRATEGY, "owner_id"),
    (USER, "id"),
    (CALLER, "user_id"),
    (CLAIMS, "user_id"),
    (CLAIMS, "session_id"),
    (SESSION, "id"),
    (SESSION, "user_id"),
    (REFRESH_TOKEN, "session_id"),
    (API_KEY, "id"),
    (API_KEY, "user_id"),
]
INTEGERS = [*IDS, (COUNT, "count")]
BOOLEANS = [(StrategyContent(name="a"), "is_active"), (STRATEGY, "is_active"), (USER, "is_active")]
TIMES = [
    (STRATEGY, "created_at"),
    (STRATEGY, "updated_at"),
    (USER, "created_at"),
    (USER, "updated_at"),
    (CALLER, "expires_at"),
    (CLAIMS, "issued_at"),
    (CLAIMS, "expires_at"),
    (SESSION, "created_at"),
    (SESSION, "last_used_at"),
    (SESSION, "expires_at"),
    (REFRESH_TOKEN, "expires_at"),
    (REFRESH_TOKEN, "used_at"),
    (API_KEY, "created_at"),
    (API_KEY, "expires_at"),
    (API_KEY, "last_used_at"),
    (COUNT, "last_at"),
]


def fault(call: Callable[..., object], *args: Any, **kwargs: Any) -> tuple[str, str]:
    with pytest.raises(InvalidInput) as refusal:
        call(*args, **kwargs)
    return refusal.value.field, refusal.value.rule


def combined(fields: list[tuple[Any, str]], values: list[Any]) -> Any:
    return pytest.mark.parametrize(
        ("made", "field", "value"),
        [pytest.param(made, field, value) for made, field in fields for value in values],
        ids=lambda value: value if isinstance(value, str) and value.isidentifier() else type(value).__name__,
    )


@combined(TEXTS, [5, 1.5, True, b"text", ["a"], object()])
def test_a_value_that_is_not_text_is_refused(made, field, value):
    assert fault(replace, made, **{field: value}) == (field, "string_type")


@combined(TEXTS[:1] + TEXTS[2:], [None])
def test_a_text_that_is_required_cannot_be_none(made, field, value):
    assert fault(replace, made, **{field: value}) == (field, "string_type")


@combined(TEXTS, [Word.RED, Text("red")])
def test_a_text_of_a_subclass_becomes_a_plain_text_of_the_same_characters(made, field, value):
    kept = getattr(replace(made, **{field: value}), field)
    assert (type(kept), kept) == (str, "red")


@combined(INTEGERS, ["1", 1.0, True, None, b"1"])
def test_a_value_that_is_not_an_integer_is_refused(made, field, value):
    assert fault(replace, made, **{field: value}) == (field, "int_type")


@combined(INTEGERS, [Number.SEVEN])
def test_an_integer_of_a_subclass_becomes_a_plain_integer(made, field, value):
    kept = getattr(replace(made, **{field: value}), field)
    assert (type(kept), kept) == (int, 7)


@combined(IDS, [0, -1, INTEGER_MAX + 1, 10**30])
def test_an_integer_that_no_id_can_be_is_refused(made, field, value):
    assert fault(replace, made, **{field: value}) == (field, "range")


@combined(IDS, [1, INTEGER_MAX])
def test_the_smallest_and_greatest_id_are_taken(made, field, value):
    assert getattr(replace(made, **{field: value}), field) == value


@combined(BOOLEANS, ["no", "true", 0, 1, 1.0, None])
def test_a_value_that_is_not_a_boolean_is_refused(made, field, value):
    assert fault(replace, made, **{field: value}) == (field, "bool_type")


@combined(TIMES, ["2026-03-01T12:00:00Z", 0, date(2026, 3, 1)])
def test_a_value_that_is_not_a_time_is_refused(made, field, value):
    assert fault(replace, made, **{field: value}) == (field, "datetime_type")


@combined(TIMES, [NOON.replace(tzinfo=None), NOON.replace(tzinfo=NoOffset())])
def test_a_time_without_a_time_zone_is_refused(made, field, value):
    assert fault(replace, made, **{field: value}) == (field, "timezone_aware")


@combined(
    TIMES,
    [
        datetime(1, 1, 1, tzinfo=timezone(timedelta(minutes=1))),
        datetime(9999, 12, 31, 23, 59, tzinfo=timezone(-timedelta(minutes=1))),
    ],
)
def test_a_time_that_utc_does_not_have_is_refused(made, field, value):
    assert fault(replace, made, **{field: value}) == (field, "time_range")


@given(st.datetimes(timezones=st.timezones()).filter(lambda time: 1 < time.year < 9999))
def test_a_time_of_another_zone_is_kept_in_utc(value):
    kept = replace(STRATEGY, created_at=value).created_at
    assert (kept.tzinfo, kept) == (UTC, value.astimezone(UTC))


@combined(
    TIMES, [Moment(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC), Moment(2026, 3, 1, 13, 0, 0, 1, ZoneInfo("Europe/Rome"))]
)
def test_a_time_of_a_subclass_becomes_a_plain_time(made, field, value):
    kept = getattr(replace(made, **{field: value}), field)
    assert (type(kept), kept.tzinfo, kept) == (datetime, UTC, NOON + timedelta(microseconds=1))


@pytest.mark.parametrize("lifetime", [60, "60", None])
def test_the_lifetime_of_a_token_is_a_timedelta(lifetime):
    assert fault(IssuedToken, access_token="token", lifetime=lifetime) == ("lifetime", "instance_type")


@pytest.mark.parametrize("email", [5, None, b"ann@example.com"])
def test_an_email_that_is_not_text_is_refused(email):
    assert fault(normalize_email, email) == ("email", "string_type")
    assert fault(replace, USER, email=email) == ("email", "string_type")
    assert fault(LoginAttempt.of, email=email, source="203.0.113.7") == ("email", "string_type")


@pytest.mark.parametrize("source", [5, None, b"203.0.113.7"])
def test_a_source_that_is_not_text_is_refused(source):
    assert fault(LoginAttempt.of, email="ann@example.com", source=source) == ("source", "string_type")


@pytest.mark.parametrize("password", [5, None, b"SecurePassword123"])
def test_a_password_that_is_not_text_is_refused(password):
    assert fault(normalize_new_password, password) == ("password", "string_type")
    assert fault(normalize_password, password) == ("password", "string_type")


@pytest.mark.parametrize(("character", "rule"), [("\x00", "nul_character"), ("\ud800", "string_unicode")])
def test_a_hash_holds_only_characters_that_every_store_keeps(character, rule):
    assert fault(replace, USER, password_hash=f"a{character}") == ("password_hash", rule)


@pytest.mark.parametrize("change", [USER.activated, USER.deactivated, STRATEGY.changed])
def test_a_change_without_a_time_zone_is_refused(change):
    assert fault(change, at=NOON.replace(tzinfo=None)) == ("at", "timezone_aware")


def test_a_new_hash_without_a_time_zone_is_refused():
    assert fault(USER.with_password_hash, "new", at=NOON.replace(tzinfo=None)) == ("at", "timezone_aware")


def test_a_new_strategy_without_a_time_zone_is_refused():
    content = StrategyContent(name="a")
    naive = NOON.replace(tzinfo=None)
    assert fault(Strategy.created, content, id=1, owner_id=1, at=naive) == ("at", "timezone_aware")


def test_an_object_from_a_store_equals_the_object_that_was_stored():
    strategy = replace(STRATEGY, description="Two averages", parameters=Parameters({"fast": 10}), is_active=False)
    for stored in (strategy, replace(USER, is_active=False)):
        kept = {field: getattr(stored, field) for field in type(stored).__dataclass_fields__}
        assert type(stored).from_store(**kept) == stored
