from collections import OrderedDict
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tradingagents_core.domain.parameters import Parameters
from tradingagents_core.domain.strategies import (
    DESCRIPTION_MAX_LENGTH,
    NAME_MAX_LENGTH,
    Strategy,
    StrategyChanges,
    StrategyContent,
)
from tradingagents_core.errors import InvalidInput

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=255).filter(
    lambda text: not text.isspace()
)
descriptions = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=300)
lone_surrogates = st.characters(categories=["Cs"])
control_characters = st.characters(categories=["Cc"])
short_texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=10)
blanks = [" ", "   ", "\u00a0", "\u2003\u3000", "\u2028"]
times = st.datetimes(timezones=st.just(UTC))
changes = st.fixed_dictionaries(
    {},
    optional={
        "name": names,
        "description": st.none() | descriptions,
        "parameters": st.builds(Parameters, st.dictionaries(short_texts, st.integers(0, 9), max_size=3)),
        "is_active": st.booleans(),
    },
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STORED = Strategy(
    id=7,
    owner_id=3,
    name="Crossover",
    description="Two averages",
    parameters=Parameters({"fast": 10}),
    is_active=False,
    created_at=NOON - timedelta(days=1),
    updated_at=NOON,
)


def fault_of(**content: Any) -> tuple[str, str]:
    with pytest.raises(InvalidInput) as refusal:
        StrategyContent(**content)
    return refusal.value.field, refusal.value.rule


@given(names, st.none() | descriptions)
@example("x", "")
@example("x" * 255, "x" * 10_000)
@example("🙂" * 255, "🙂" * 10_000)
@example(" x ", "several\nlines\tand\x1bmore")
@example("e\u0301", "e\u0301")
def test_a_valid_text_is_kept_character_for_character(name, description):
    content = StrategyContent(name=name, description=description)
    assert (content.name, content.description) == (name, description)


def test_a_name_alone_makes_an_active_strategy_without_description_and_parameters():
    content = StrategyContent(name="x")
    assert (content.description, content.parameters, content.is_active) == (None, Parameters({}), True)


def test_a_name_has_at_least_one_character():
    assert fault_of(name="") == ("name", "string_too_short")
    with pytest.raises(InvalidInput, match=r"^name should have at least 1 character$"):
        StrategyContent(name="")


@pytest.mark.parametrize("character", ["x", "🙂"])
def test_a_name_has_at_most_255_characters(character):
    assert NAME_MAX_LENGTH == 255
    assert fault_of(name=character * 256) == ("name", "string_too_long")


@pytest.mark.parametrize("name", blanks)
def test_a_name_is_not_blank(name):
    assert fault_of(name=name) == ("name", "blank")


@given(short_texts, control_characters, short_texts)
@example("a", "\n", "")
@example("", "\x7f", "a")
@example("a", "\x85", "a")
def test_a_name_holds_no_control_characters(before, character, after):
    assert fault_of(name=before + character + after) == ("name", "control_character")


@given(short_texts, lone_surrogates, short_texts)
@example("", "\ud800", "")
@example("", "\udfff", "")
def test_a_name_holds_no_lone_surrogates(before, surrogate, after):
    assert fault_of(name=before + surrogate + after) == ("name", "string_unicode")


@pytest.mark.parametrize("character", ["x", "🙂"])
def test_a_description_has_at_most_10000_characters(character):
    assert DESCRIPTION_MAX_LENGTH == 10_000
    assert fault_of(name="x", description=character * 10_001) == ("description", "string_too_long")


@given(short_texts, short_texts)
def test_a_description_holds_no_nul(before, after):
    assert fault_of(name="x", description=before + "\x00" + after) == ("description", "nul_character")


@given(short_texts, lone_surrogates, short_texts)
@example("", "\ud800", "")
@example("", "\udfff", "")
def test_a_description_holds_no_lone_surrogates(before, surrogate, after):
    assert fault_of(name="x", description=before + surrogate + after) == ("description", "string_unicode")


@pytest.mark.parametrize("attribute", ["name", "description", "parameters", "is_active", "updated_at"])
def test_a_strategy_cannot_be_changed_in_place(attribute):
    with pytest.raises(FrozenInstanceError):
        setattr(STORED, attribute, getattr(STORED, attribute))


@given(changes)
@example({})
@example({"description": None})
@example({"is_active": True})
def test_a_change_sets_the_fields_that_are_sent_and_keeps_the_rest(sent):
    changed = STORED.changed(at=NOON, **sent)
    fields = {field: getattr(STORED, field) for field in Strategy.__dataclass_fields__}
    assert {field: getattr(changed, field) for field in fields} == fields | sent


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"owner_id": STORED.owner_id + 1}, id="another owner"),
        pytest.param({"id": STORED.id + 1}, id="another id"),
        pytest.param({"created_at": NOON + timedelta(hours=1)}, id="another time of creation"),
        pytest.param({"name": "Other", "owner_id": STORED.owner_id + 1}, id="another name and owner"),
    ],
)
def test_nothing_but_the_content_of_a_strategy_can_be_changed(change):
    with pytest.raises(TypeError, match="only name, description, parameters, is_active"):
        STORED.changed(at=NOON, **change)


@given(st.lists(times, min_size=1, max_size=8))
def test_times_never_move_back_whatever_the_clock_says(clock):
    seen = [STORED]
    for at in clock:
        seen.append(seen[-1].changed(at=at, is_active=not seen[-1].is_active))
    assert [strategy.updated_at for strategy in seen] == [max([NOON, *clock[:n]]) for n in range(len(seen))]


@given(times)
def test_a_change_that_changes_nothing_leaves_a_strategy_as_it_was(at):
    same = {name: getattr(STORED, name) for name in StrategyChanges.__annotations__}
    assert STORED.changed(at=at, **same) is STORED
    assert STORED.changed(at=at) is STORED


def test_another_order_of_keys_and_another_kind_of_number_are_changes():
    first = STORED.changed(at=NOON, parameters=Parameters({"a": 1, "b": 2}))
    for other in ({"b": 2, "a": 1}, {"a": 1.0, "b": 2}, {"a": True, "b": 2}):
        later = NOON + timedelta(days=1)
        assert first.changed(at=later, parameters=Parameters(other)).updated_at == later


@given(times)
def test_the_time_of_creation_stays(at):
    assert STORED.changed(at=at, name="Other").created_at == STORED.created_at


@given(changes)
def test_a_change_leaves_the_old_state_as_it_was(sent):
    assume(sent)
    before = (STORED.name, STORED.description, STORED.parameters, STORED.is_active, STORED.updated_at)
    STORED.changed(at=NOON + timedelta(hours=1), **sent)
    assert before == (STORED.name, STORED.description, STORED.parameters, STORED.is_active, STORED.updated_at)


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": " "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"description": "x" * 10_001}, "description"),
        ({"description": "\x00"}, "description"),
        ({"description": "\ud800"}, "description"),
    ],
)
def test_a_change_obeys_the_rules_of_new_content(sent, field):
    with pytest.raises(InvalidInput) as refusal:
        STORED.changed(at=NOON, **sent)
    assert refusal.value.field == field


@pytest.mark.parametrize("value", [{}, {"fast": 10, "slow": [30, {"z": None}]}])
def test_a_dict_becomes_parameters(value):
    assert StrategyContent(name="x", parameters=value).parameters == Parameters(value)
    assert STORED.changed(at=NOON, parameters=value).parameters == Parameters(value)
    assert replace(STORED, parameters=value).parameters == Parameters(value)


def test_a_dict_of_the_present_parameters_changes_nothing():
    assert STORED.changed(at=NOON + timedelta(days=1), parameters={"fast": 10}) is STORED


@pytest.mark.parametrize("value", [None, [], "{}", 1, OrderedDict(), {"a": object()}])
def test_parameters_that_are_no_json_object_are_refused(value):
    for content in (partial(StrategyContent, name="x"), partial(STORED.changed, at=NOON)):
        with pytest.raises(InvalidInput) as refusal:
            content(parameters=value)
        assert refusal.value.field == "parameters"


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        ({"name": 5}, ("name", "string_type")),
        ({"name": None}, ("name", "string_type")),
        ({"description": 5}, ("description", "string_type")),
        ({"is_active": 0}, ("is_active", "bool_type")),
        ({"is_active": "no"}, ("is_active", "bool_type")),
        ({"parameters": None}, ("parameters", "dict_type")),
    ],
)
def test_a_change_to_a_value_of_another_type_is_refused(sent, fault):
    with pytest.raises(InvalidInput) as refusal:
        STORED.changed(at=NOON, **sent)
    assert (refusal.value.field, refusal.value.rule) == fault
