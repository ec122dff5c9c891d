"""A value of any type either comes back equal from every store, or is refused by the domain before it is stored."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from types import NoneType
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from in_process import OpenStores, Stores

from tradingagents_core.domain.accounts import User
from tradingagents_core.domain.parameters import Parameters
from tradingagents_core.domain.strategies import Strategy, StrategyContent
from tradingagents_core.errors import InvalidInput


class Word(StrEnum):
    RED = "red"
    EMAIL = "red@example.com"


class Number(IntEnum):
    ONE = 1


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAIVE = NOON.replace(tzinfo=None)

keys = st.text(max_size=5) | st.integers() | st.sampled_from(Word)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.text(st.characters(exclude_categories=())),
    st.binary(),
    st.emails(),
    st.datetimes(),
    st.datetimes(timezones=st.timezones()),
    st.dates(),
    st.timedeltas(),
    st.sampled_from(Word),
    st.sampled_from(Number),
    st.builds(object),
)
anything = st.recursive(
    leaves,
    lambda items: st.lists(items, max_size=3) | st.tuples(items) | st.dictionaries(keys, items, max_size=3),
    max_leaves=5,
)
CONTENT = [field.name for field in dataclasses.fields(StrategyContent)]
TIMES = ["created_at", "updated_at"]

Trial = Callable[[Stores], Awaitable[Any]]

# Each example opens stores of its own.
many_stores = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def plain(value: Any) -> Any:
    """A value in the form in which stores keep it."""
    match value:
        case datetime():
            assert value.utcoffset() is not None, "a time without a time zone was stored"
            return value.astimezone(UTC)
        case dict():
            return Parameters(value)
        case _:
            return value


def outcome_on_all(openings: list[OpenStores], trial: Trial) -> list[Any]:
    """What a trial comes to on each store: a value that was read, or the facts of a refusal."""

    async def outcome(open_stores: OpenStores) -> Any:
        async with open_stores() as stores:
            try:
                return await trial(stores)
            except InvalidInput as refusal:
                return type(refusal), str(refusal), vars(refusal)

    return [asyncio.run(outcome(each)) for each in openings]


def check(openings: list[OpenStores], trial: Trial, field: str, value: Any) -> None:
    outcomes = outcome_on_all(openings, trial)
    assert outcomes[0] == outcomes[1]
    match outcomes[0]:
        case (refused, _, facts) if refused is InvalidInput:
            assert facts["field"] == field
        case read:
            assert read == plain(value)
            assert type(read) in {str, bool, datetime, Parameters, NoneType}


@many_stores
@given(field=st.sampled_from(CONTENT), value=anything)
@example("parameters", {"a": [1, 1.0, True, None]})
@example("name", Word.RED)
@example("description", Word.RED)
@example("is_active", Number.ONE)
def test_a_new_strategy_comes_back_as_it_was_given_or_is_refused(open_memory_stores, open_sqlite_stores, field, value):
    async def created(stores: Stores) -> Any:
        content = StrategyContent(**{"name": "a"} | {field: value})
        async with stores.strategies.write(1) as work:
            added = await work.strategies.add(content, at=NOON)
        async with stores.strategies.read() as view:
            read = await view.strategies.get(owner_id=1, strategy_id=added.id)
        assert read == added
        return getattr(read, field)

    check([open_memory_stores, open_sqlite_stores], created, field, value)


@many_stores
@given(at=anything)
@example(NAIVE)
def test_a_new_strategy_and_a_new_user_have_the_time_that_was_given_or_are_refused(
    open_memory_stores, open_sqlite_stores, at
):
    async def added(stores: Stores) -> Any:
        async with stores.strategies.write(1) as work:
            return (await work.strategies.add(StrategyContent(name="a"), at=at)).created_at

    async def registered(stores: Stores) -> Any:
        return (await stores.accounts.add_user(email="ann@example.com", password_hash="hash", at=at)).created_at

    check([open_memory_stores, open_sqlite_stores], added, "at", at)
    check([open_memory_stores, open_sqlite_stores], registered, "at", at)


@many_stores
@given(field=st.sampled_from([*CONTENT, *TIMES]), value=anything)
@example("updated_at", NAIVE)
@example("created_at", datetime.min.replace(tzinfo=UTC))
@example("created_at", datetime.max.replace(tzinfo=UTC))
def test_a_changed_strategy_comes_back_as_it_was_given_or_is_refused(
    open_memory_stores, open_sqlite_stores, field, value
):
    async def changed(stores: Stores) -> Any:
        async with stores.strategies.write(1) as work:
            added = await work.strategies.add(StrategyContent(name="a"), at=NOON)
            changed: Strategy = dataclasses.replace(added, **{field: value})
            await work.strategies.replace(changed)
        async with stores.strategies.read() as view:
            read = await view.strategies.get(owner_id=1, strategy_id=added.id)
        assert read == changed
        return getattr(read, field)

    check([open_memory_stores, open_sqlite_stores], changed, field, value)


@many_stores
@given(field=st.sampled_from(["email", "password_hash", "is_active", *TIMES]), value=anything)
@example("email", Word.EMAIL)
@example("password_hash", Word.RED)
@example("updated_at", NAIVE)
def test_a_changed_user_comes_back_as_it_was_given_or_is_refused(open_memory_stores, open_sqlite_stores, field, value):
    async def changed(stores: Stores) -> Any:
        added = await stores.accounts.add_user(email="ann@example.com", password_hash="hash", at=NOON)
        changed: User = dataclasses.replace(added, **{field: value})
        async with stores.accounts.write(added.id) as work:
            await work.users.replace(changed)
        async with stores.accounts.read() as view:
            read = await view.users.find(added.id)
        assert read == changed
        return getattr(read, field)

    check([open_memory_stores, open_sqlite_stores], changed, field, value)
