"""Examples that the tests of the kit store, and shortcuts to store them through the ports."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from hypothesis import HealthCheck, settings

from tradingagents_core.domain.accounts import User
from tradingagents_core.domain.parameters import (
    INTEGER_MAX,
    INTEGER_MIN,
    PARAMETERS_MAX_BYTES,
    PARAMETERS_MAX_DEPTH,
    JsonValue,
    Parameters,
)
from tradingagents_core.domain.strategies import DESCRIPTION_MAX_LENGTH, NAME_MAX_LENGTH, Strategy, StrategyContent
from tradingagents_core.errors import TradingAgentsError
from tradingagents_core.ports import AccountStore, StrategyStore

CREATED: Final = datetime(2024, 1, 15, 10, 30, 0, 123456, UTC)
CHANGED: Final = datetime(2024, 2, 29, 23, 59, 59, 999999, UTC)

FOREIGN_IDS: Final = (0, -1, 10**6, INTEGER_MAX, INTEGER_MAX + 1, INTEGER_MIN - 1, 10**30)
"""Integers that are no id in a small store. Some of them fit into no database column."""

UNUSED_IDS: Final = tuple(number for number in FOREIGN_IDS if 1 <= number <= INTEGER_MAX)
"""Those of the `FOREIGN_IDS` that a strategy or user could have."""


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
"""The fields of a user or a strategy, with parameters as plain values."""


def exact(stored: User | Strategy | Row) -> dict[str, str]:
    """The fields as texts. Different values have different texts.

    `True`, `1` and `1.0` differ, and so do `0.0` and `-0.0`, two orders of keys, and two time zones.
    """
    row = stored if isinstance(stored, dict) else {field.name: getattr(stored, field.name) for field in fields(stored)}
    return {name: _text(value) for name, value in row.items()}


def _text(value: object) -> str:
    match value:
        case Parameters():
            return repr(value.to_dict())
        case datetime():
            return value.isoformat()
        case _:
            return repr(value)


async def add_user(store: AccountStore, email: str, *, password_hash: str = "hash") -> User:
    """Store a new user."""
    return await store.add_user(email=email, password_hash=password_hash, at=CREATED)


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
