import copy
import math
from collections import OrderedDict
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tradingagents_core.domain.parameters import (
    PARAMETERS_MAX_BYTES,
    PARAMETERS_MAX_DEPTH,
    Parameters,
)
from tradingagents_core.errors import InvalidInput


class Colour(StrEnum):
    RED = "red"


class Size(IntEnum):
    SMALL = 1


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
integers = st.integers(-(2**63), 2**63 - 1)
numbers = integers | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda items: st.lists(items, max_size=4) | st.dictionaries(texts, items, max_size=4),
    max_leaves=12,
)
json_objects = st.dictionaries(texts, values, max_size=5)
lone_surrogates = st.characters(categories=["Cs"])
nestings = st.lists(st.sampled_from("[{"), max_size=PARAMETERS_MAX_DEPTH + 8)


def exactly(value: Any) -> Any:
    """A form in which values are equal only if types, signs of zero and key order are, too."""
    match value:
        case dict():
            return (dict, [(key, exactly(item)) for key, item in value.items()])
        case list():
            return (list, [exactly(item) for item in value])
        case _:
            return (type(value), repr(value))


def nested(kinds: list[str]) -> dict[str, Any]:
    """An object with further arrays and objects inside, one in the other."""
    value: Any = {"leaf": 1}
    for kind in kinds:
        value = [value] if kind == "[" else {"inner": value}
    return {"outer": value}


def rule_broken_by(value: object) -> str:
    with pytest.raises(InvalidInput) as refusal:
        Parameters(value)
    assert refusal.value.field == "parameters"
    return refusal.value.rule


@given(json_objects)
@example({"z": 0, "a": [1, 1.0, True, None, 0.0, -0.0, 1e22, 5e-324, -(2**63), 2**63 - 1, "", "\x00\u2028🙂"]})
@example({"": {}, "[]": [], "10": 1, "9": 2})
def test_what_goes_in_comes_out_with_the_same_types_and_key_order(value):
    assert exactly(Parameters(value).to_dict()) == exactly(value)


@given(json_objects)
def test_the_text_that_a_store_keeps_makes_equal_parameters_again(value):
    parameters = Parameters(value)
    assert Parameters.from_store(parameters.json) == parameters


@given(json_objects)
def test_equal_parameters_have_equal_hashes(value):
    assert len({Parameters(value), Parameters(copy.deepcopy(value))}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": 1.0}),
        ({"a": 1}, {"a": True}),
        ({"a": 1.0}, {"a": True}),
        ({"a": 0}, {"a": False}),
        ({"a": None}, {}),
        ({"a": []}, {"a": {}}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ],
)
def test_parameters_differ_when_a_type_or_the_key_order_does(one, other):
    assert Parameters(one) != Parameters(other)


def test_parameters_equal_no_plain_dictionary():
    assert Parameters({}) != {}


def test_changing_what_was_read_changes_nothing_that_is_kept():
    parameters = Parameters({"inner": {"list": [1]}})
    read: Any = parameters.to_dict()
    read["inner"]["list"].append(2)
    assert parameters.to_dict() == {"inner": {"list": [1]}}


def test_changing_what_went_in_changes_nothing_that_is_kept():
    given_value = {"inner": {"list": [1]}}
    parameters = Parameters(given_value)
    given_value["inner"]["list"].append(2)
    assert parameters.to_dict() == {"inner": {"list": [1]}}


@pytest.mark.parametrize("value", [None, True, 1, "{}", [], [("a", 1)], (), OrderedDict(), Parameters({})])
def test_only_an_object_is_taken(value):
    assert rule_broken_by(value) == "dict_type"


@pytest.mark.parametrize(
    "value",
    [
        (1,),
        {1},
        b"text",
        Decimal(1),
        1j,
        datetime(2026, 1, 1, tzinfo=UTC),
        object(),
        OrderedDict(),
        Colour.RED,
        Size.SMALL,
        Parameters({}),
    ],
)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value], lambda value: {"inner": value}])
def test_values_that_are_not_exactly_of_a_json_type_are_refused_wherever_they_are(value, wrap):
    assert rule_broken_by({"a": wrap(value)}) == "json_type"


@pytest.mark.parametrize("key", [1, 1.0, True, None, b"a", ("a",), Colour.RED])
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: {"list": [value]}])
def test_keys_are_text(key, wrap):
    assert rule_broken_by(wrap({key: 1})) == "key_type"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_are_finite(number):
    assert rule_broken_by({"a": [number]}) == "finite_number"


@given(st.integers(max_value=-(2**63) - 1) | st.integers(min_value=2**63))
@example(-(2**63) - 1)
@example(2**63)
@example(10**5000)
def test_integers_beyond_64_bits_are_refused(number):
    assert rule_broken_by({"a": number}) == "integer_range"


@given(texts, lone_surrogates, texts)
@example("", "\ud800", "")
@example("", "\udfff", "")
def test_lone_surrogates_are_refused_in_values(before, surrogate, after):
    assert rule_broken_by({"a": [before + surrogate + after]}) == "string_unicode"


@given(texts, lone_surrogates, texts)
@example("", "\ud800", "")
@example("", "\udfff", "")
def test_lone_surrogates_are_refused_in_keys(before, surrogate, after):
    assert rule_broken_by({"a": {before + surrogate + after: 1}}) == "string_unicode"


@given(nestings)
@example(["{"] * (PARAMETERS_MAX_DEPTH - 2))
@example(["["] * (PARAMETERS_MAX_DEPTH - 2))
@example(["{"] * (PARAMETERS_MAX_DEPTH - 1))
@example(["["] * (PARAMETERS_MAX_DEPTH - 1))
def test_the_32nd_level_is_the_deepest_and_the_parameters_are_the_first(kinds):
    value = nested(kinds)
    if 2 + len(kinds) <= 32:
        assert Parameters(value).to_dict() == value
    else:
        assert rule_broken_by(value) == "too_deep"


@pytest.mark.parametrize("kind", ["[", "{"])
def test_nesting_without_end_is_refused_like_any_that_is_too_deep(kind):
    assert rule_broken_by(nested([kind] * 100_000)) == "too_deep"


@pytest.mark.parametrize(("character", "size"), [("x", 1), ("é", 2), ("€", 3), ("🙂", 4), ('"', 2), ("\x00", 6)])
def test_the_limit_counts_bytes_of_compact_json_in_utf_8(character, size):
    room = 64 * 1024 - len('{"a":"","b":0}')
    fits = character * (room // size) + "x" * (room % size)
    assert len(Parameters({"a": fits, "b": 0}).json.encode()) == PARAMETERS_MAX_BYTES
    assert rule_broken_by({"a": fits + "x", "b": 0}) == "too_large"


def test_the_limit_counts_keys_and_numbers_too():
    assert rule_broken_by({str(number): number for number in range(10_000)}) == "too_large"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([], ()),
        ({1: "a"}, ()),
        ({"\ud800": 1}, ()),
        ({"a": "x" * PARAMETERS_MAX_BYTES}, ()),
        ({"a": math.nan}, ("a",)),
        ({"": {"b/~": [1, [2, "\ud800"]]}}, ("", "b/~", 1, 1)),
        ({"a": [0, {1: "a"}]}, ("a", 1)),
        ({"a": [0, {"b": (1,)}]}, ("a", 1, "b")),
        ({"a": {"good": 1, "first": 2**63, "second": 2**63}}, ("a", "first")),
        (nested(["["] * PARAMETERS_MAX_DEPTH), ("outer", *[0] * (PARAMETERS_MAX_DEPTH - 1))),
        (nested(["{"] * PARAMETERS_MAX_DEPTH), ("outer", *["inner"] * (PARAMETERS_MAX_DEPTH - 1))),
    ],
)
def test_the_path_leads_to_the_first_value_that_is_refused(value, path):
    with pytest.raises(InvalidInput) as refusal:
        Parameters(value)
    assert refusal.value.path == path


@given(json_objects, st.lists(texts | st.just(0), max_size=8))
def test_the_path_leads_through_objects_and_arrays_alike(around, path):
    value: Any = math.inf
    for part in reversed(path):
        value = [value] if part == 0 else {**around, part: value}
    with pytest.raises(InvalidInput) as refusal:
        Parameters({**around, "start": value})
    assert refusal.value.path == ("start", *path)
