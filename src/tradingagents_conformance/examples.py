"""Examples that the tests of the kit store, and shortcuts to store them through the ports."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from hypothesis import HealthCheck, settings

from tradingagents_core.domain.accounts import EMAIL_MAX_LENGTH, User
from tradingagents_core.domain.api_keys import API_KEY_NAME_MAX_LENGTH, SHOWN_LENGTH, ApiKey, ApiKeyContent
from tradingagents_core.domain.parameters import (
    INTEGER_MAX,
    INTEGER_MIN,
    PARAMETERS_MAX_BYTES,
    PARAMETERS_MAX_DEPTH,
    JsonValue,
    Parameters,
)
from tradingagents_core.domain.scopes import ALL_SCOPES, STRATEGIES_READ, STRATEGIES_WRITE
from tradingagents_core.domain.secrets import hash_of
from tradingagents_core.domain.sessions import RefreshToken, Session
from tradingagents_core.domain.strategies import DESCRIPTION_MAX_LENGTH, NAME_MAX_LENGTH, Strategy, StrategyContent
from tradingagents_core.errors import TradingAgentsError
from tradingagents_core.ports import AccountStore, StrategyStore

CREATED: Final = datetime(2024, 1, 15, 10, 30, 0, 123456, UTC)
CHANGED: Final = datetime(2024, 2, 29, 23, 59, 59, 999999, UTC)

MOMENT: Final = timedelta(microseconds=1)
"""The smallest difference of two times."""

FOREIGN_IDS: Final = (0, -1, 10**6, INTEGER_MAX, INTEGER_MAX + 1, INTEGER_MIN - 1, 10**30)
"""Integers that are no id in a small store. Some of them fit into no database column."""

UNUSED_IDS: Final = tuple(number for number in FOREIGN_IDS if 1 <= number <= INTEGER_MAX)
"""Those of the `FOREIGN_IDS` that a stored object could have."""


def _nested(depth: int) -> dict[str, JsonValue]:
    value: dict[str, JsonValue] = {}
    for _ in range(depth - 1):
        value = {"deeper": value}
    return value


CONTENTS: Final = {
    "plain": StrategyContent(name="Moving Average Crossover", parameters=Parameters({"fast": 10, "slow": 20})),
    "described and inactive": StrategyContent(name="x", description="Buy oversold,\nsell\toverbought", is_active=False),
    "longest texts": StrategyContent(name="n" * NAME_MAX_LENGTH, description="d" * DESCRIPTION_MAX_LENGTH),
    "empty description": StrategyContent(name="y", description=""),
    "texts of all scripts": StrategyContent(
        name="Ünïcode 策略 🚀 e\u0301", description="\u2028 \U0010ffff \x01 'quoted' \"%s\" :name ? $1 {}"
    ),
    "white space kept": StrategyContent(name=" name ", description=" \r\n "),
    "key order": StrategyContent(
        name="k", parameters=Parameters({"z": 1, "a": {"y": 1, "b": 2}, "m": [{"q": 0, "c": 1}]})
    ),
    "numbers": StrategyContent(
        name="numbers",
        parameters=Parameters(
            {"int": [INTEGER_MIN, INTEGER_MAX, 0], "float": [1.0, -0.0, 1e22, 5e-324, 0.1, 1.7976931348623157e308]}
        ),
    ),
    "kinds of values": StrategyContent(
        name="kinds", parameters=Parameters({"": None, "t": True, "one": 1, "text": "1", "list": [], "object": {}})
    ),
    "characters": StrategyContent(
        name="c", parameters=Parameters({"\x00": "\x00", "\x1f'\"\\": "🚀\u2028", "%s": ":p"})
    ),
    "deepest": StrategyContent(name="deep", parameters=Parameters(_nested(PARAMETERS_MAX_DEPTH))),
    "longest": StrategyContent(
        name="long", parameters=Parameters({"t": "x" * (PARAMETERS_MAX_BYTES - len('{"t":""}'))})
    ),
}
"""Contents that a careless store changes or refuses."""


EMAILS: Final = {
    "longest": "l" * (EMAIL_MAX_LENGTH - len("@example.com")) + "@example.com",
    "longest in bytes": "\U00010428" * (EMAIL_MAX_LENGTH - len("@\U0001f680")) + "@\U0001f680",
    "other scripts": "用户.мария@例え.إختبار",
    "accents": "jürgen.ñandú@bücher.example",
    "combining characters": "ju\u0308rgen.i\u0307@e\u0301xample.com",
    "dotless i": "\N{LATIN SMALL LETTER DOTLESS I}l@k.example",
    "sharp s and final sigma": "strauß.\N{GREEK SMALL LETTER FINAL SIGMA}@straße.example",
    "characters of queries": 'o\'brien+"a"\\b%s_:c?$1{}--@example.com',
}
"""E-mails that a careless store changes, cuts or refuses. All of them are in the form of `normalize_email`."""

EMAILS_THAT_DIFFER: Final = {
    "dotless i": ("i@example.com", "\N{LATIN SMALL LETTER DOTLESS I}@example.com"),
    "accent": ("a@example.com", "á@example.com"),
    "combining character": ("á@example.com", "a\u0301@example.com"),
    "sharp s": ("strasse@example.com", "straße@example.com"),
    "final sigma": ("\N{GREEK SMALL LETTER SIGMA}@example.com", "\N{GREEK SMALL LETTER FINAL SIGMA}@example.com"),
    "width": ("a@example.com", "\uff41@example.com"),
    "last character": tuple("l" * (EMAIL_MAX_LENGTH - 1 - len("@example.com")) + f"{end}@example.com" for end in "ab"),
}
"""Pairs of e-mails that are equal in the eyes of some databases. They are not equal."""

HASHES: Final = {
    "plain": "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g",
    # The characters vary, because a hash of equal characters looks the same in places where a part is missing.
    "long": "$" + "".join(chr(ord("0") + number % 73) for number in range(8000)),
    "not in ASCII": "$pässwört$策略🚀e\u0301",
    "long and not in ASCII": "$" + "".join(chr(0x4E00 + number) for number in range(4000)),
    "white space and case": " $AbC\t\r\n ",
}
"""Hashes of passwords that a careless store changes, cuts or refuses."""


API_KEYS: Final = {
    "plain": ApiKeyContent(name="bot", scopes=ALL_SCOPES),
    "one scope that expires": ApiKeyContent(name="bot", scopes=(STRATEGIES_READ,), expires_at=CHANGED),
    "the other scope": ApiKeyContent(name="bot", scopes=(STRATEGIES_WRITE,), expires_at=CHANGED + MOMENT),
    "longest name": ApiKeyContent(name="n" * (API_KEY_NAME_MAX_LENGTH - 1) + "\U0001f916", scopes=ALL_SCOPES),
    "name of all scripts": ApiKeyContent(name=" Bötchen 策略 e\u0301 'x' \"%s\" :a ? $1 {} ", scopes=ALL_SCOPES),
}
"""Contents of API keys that a careless store changes or refuses."""


@contextmanager
def refused(reason: TradingAgentsError) -> Iterator[None]:
    """A block that has to raise this error."""
    try:
        yield
    except TradingAgentsError as refusal:
        if not says(refusal, reason):
            message = f"refused with {refusal!r} {vars(refusal)}, expected {reason!r} {vars(reason)}"
            raise AssertionError(message) from refusal
    else:
        raise AssertionError(f"not refused, expected {reason!r} {vars(reason)}")


def says(refusal: TradingAgentsError, reason: TradingAgentsError) -> bool:
    """Whether a refusal is the expected error with the expected attributes."""
    return isinstance(refusal, type(reason)) and vars(reason).items() <= vars(refusal).items()


def repeatable(examples: int) -> settings:
    """Settings of Hypothesis: this many examples, the same in every run, without a deadline for slow adapters."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


Row: TypeAlias = dict[str, Any]
"""The fields of a stored object, with parameters as plain values."""

Stored: TypeAlias = User | Session | RefreshToken | ApiKey | Strategy | Row
"""A stored object, or its fields."""


def exact(stored: Stored) -> dict[str, str]:
    """The fields as texts. Different values have different texts.

    `True`, `1` and `1.0` differ, and so do `0.0` and `-0.0`, two orders of keys, and two time zones.
    """
    return {
        name: value.isoformat() if isinstance(value, datetime) else repr(value)
        for name, value in _plain(stored).items()
    }


def is_nearly(stored: Stored, other: Stored) -> bool:
    """Whether the fields are equal but not exactly equal, such as `1` and `1.0`."""
    return _plain(stored) == _plain(other) and exact(stored) != exact(other)


def _plain(stored: Stored) -> Row:
    row = stored if isinstance(stored, dict) else {field.name: getattr(stored, field.name) for field in fields(stored)}
    return {name: value.to_dict() if isinstance(value, Parameters) else value for name, value in row.items()}


async def add_user(store: AccountStore, email: str, *, password_hash: str = "hash") -> User:
    """Store a new user."""
    return await store.add_user(email=email, password_hash=password_hash, at=CREATED)


async def add_session(
    store: AccountStore, user: User, *, expires_at: datetime = CHANGED, token: str | None = None
) -> Session:
    """Store a new session of this user in a separate block, with a refresh token that has this text."""
    async with store.write(user.id) as work:
        session = await work.sessions.add(at=CREATED, expires_at=expires_at)
        if token is not None:
            await work.refresh_tokens.put(refresh_token(session, token))
    return session


def refresh_token(session: Session, text: str) -> RefreshToken:
    """A refresh token of this session that has not been used."""
    return RefreshToken(token_hash=hash_of(text), session_id=session.id, expires_at=session.expires_at)


async def add_api_key(
    store: AccountStore, user: User, text: str, *, content: ApiKeyContent = API_KEYS["plain"]
) -> ApiKey:
    """Store a new key of this user with this text in a separate block."""
    async with store.write(user.id) as work:
        return await work.api_keys.add(content, prefix=text[:SHOWN_LENGTH], key_hash=hash_of(text), at=CREATED)


async def add_strategy(store: StrategyStore, owner_id: int, content: StrategyContent | str) -> Strategy:
    """Store a new strategy of this owner in a separate block. A text stands for a content with this name."""
    if isinstance(content, str):
        content = StrategyContent(name=content)
    async with store.write(owner_id) as work:
        return await work.strategies.add(content, at=CREATED)


async def names(
    store: StrategyStore, owner_id: int, *, skip: int = 0, limit: int = 1000, active_only: bool = False
) -> list[str]:
    """The names on a page of this owner's strategies."""
    async with store.read() as view:
        page = await view.strategies.list(owner_id=owner_id, skip=skip, limit=limit, active_only=active_only)
    return [strategy.name for strategy in page.items]


async def settle(turns: int = 40) -> None:
    """Let all tasks run for some turns of the event loop."""
    for _ in range(turns):
        await asyncio.sleep(0)
