import json
import re
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response

from tradingagents_conformance.examples import CHANGED, CONTENTS, CREATED
from tradingagents_core.domain.page import Page
from tradingagents_core.domain.parameters import INTEGER_MAX, INTEGER_MIN, Parameters
from tradingagents_core.domain.strategies import Strategy
from tradingagents_http.answers import created_answer, page_answer, strategy_answer
from tradingagents_http.schemas import strategies as schemas

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(INTEGER_MIN, INTEGER_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    scalars, lambda items: st.lists(items, max_size=3) | st.dictionaries(texts, items, max_size=3), max_leaves=8
)
ids = st.integers(1, INTEGER_MAX)
times = st.datetimes(timezones=st.just(UTC))
strategies = st.builds(
    Strategy,
    id=ids,
    owner_id=ids,
    name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=255).filter(
        lambda name: not name.isspace()
    ),
    description=st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=99),
    parameters=st.builds(Parameters, st.dictionaries(texts, values, max_size=4)),
    is_active=st.booleans(),
    created_at=times,
    updated_at=times,
)
pages = st.builds(
    Page,
    items=st.lists(strategies, max_size=4),
    total=st.integers(0, INTEGER_MAX),
    skip=st.integers(0, INTEGER_MAX),
    limit=st.integers(1, 1000),
)


def example(name: str) -> Strategy:
    content = CONTENTS[name]
    return Strategy(
        id=INTEGER_MAX,
        owner_id=1,
        name=content.name,
        description=content.description,
        parameters=content.parameters,
        is_active=content.is_active,
        created_at=CREATED,
        updated_at=CHANGED,
    )


def shown(strategy: Strategy) -> dict[str, Any]:
    """What the documentation says of a strategy, field for field."""
    return {
        "id": strategy.id,
        "name": strategy.name,
        "description": strategy.description,
        "parameters": strategy.parameters.to_dict(),
        "is_active": strategy.is_active,
        "created_at": strategy.created_at.replace(tzinfo=None, microsecond=0).isoformat() + "Z",
        "updated_at": strategy.updated_at.replace(tzinfo=None, microsecond=0).isoformat() + "Z",
    }


def in_whole_seconds(strategy: Strategy) -> Strategy:
    return replace(
        strategy,
        created_at=strategy.created_at.replace(microsecond=0),
        updated_at=strategy.updated_at.replace(microsecond=0),
    )


def exact(value: Any) -> str:
    """A text that differs wherever types, signs of zero or the order of keys do."""
    return repr(value)


def body(answer: Response) -> Any:
    return json.loads(bytes(answer.body))


@given(strategies)
def test_a_strategy_is_written_value_for_value_and_key_for_key(strategy: Strategy) -> None:
    assert exact(body(strategy_answer(strategy))) == exact(shown(strategy))


@given(strategies)
def test_a_strategy_is_written_with_the_fields_of_its_schema_in_their_order(strategy: Strategy) -> None:
    assert list(body(strategy_answer(strategy))) == list(schemas.Strategy.model_fields)


@given(pages)
def test_a_page_is_written_with_the_fields_of_its_schema_in_their_order(page: Page[Strategy]) -> None:
    assert list(body(page_answer(page))) == list(schemas.StrategyPage.model_fields)


@given(pages)
def test_a_page_is_written_value_for_value_and_key_for_key(page: Page[Strategy]) -> None:
    items = [shown(strategy) for strategy in page.items]
    written = {"items": items, "total": page.total, "skip": page.skip, "limit": page.limit}
    assert exact(body(page_answer(page))) == exact(written)


@pytest.mark.parametrize("name", CONTENTS)
def test_a_strategy_that_a_careless_writer_changes_is_written_as_it_is(name: str) -> None:
    assert exact(body(strategy_answer(example(name)))) == exact(shown(example(name)))


@given(strategies)
def test_a_strategy_is_what_the_documentation_says(strategy: Strategy) -> None:
    out = schemas.Strategy.model_validate_json(bytes(strategy_answer(strategy).body), extra="forbid")
    assert out == schemas.Strategy.model_validate(in_whole_seconds(strategy))


@given(pages)
def test_a_page_is_what_the_documentation_says(page: Page[Strategy]) -> None:
    out = schemas.StrategyPage.model_validate_json(bytes(page_answer(page).body), extra="forbid")
    items = [in_whole_seconds(strategy) for strategy in page.items]
    assert out == schemas.StrategyPage.model_validate(replace(page, items=items))


@given(strategies)
def test_times_are_in_utc_and_in_whole_seconds(strategy: Strategy) -> None:
    written = body(strategy_answer(strategy))
    assert TIME.fullmatch(written["created_at"])
    assert TIME.fullmatch(written["updated_at"])


@given(strategies)
def test_a_strategys_owner_is_not_told(strategy: Strategy) -> None:
    assert "owner_id" not in body(strategy_answer(strategy))


@given(strategies)
def test_a_new_strategy_is_answered_like_one_that_was_there_with_its_place(strategy: Strategy) -> None:
    created = created_answer(strategy, f"/api/v1/strategies/{strategy.id}")
    assert created.body == strategy_answer(strategy).body
    assert (created.status_code, created.headers["location"]) == (201, f"/api/v1/strategies/{strategy.id}")


@given(strategies)
def test_an_answer_is_json_in_utf_8_of_the_length_that_it_says(strategy: Strategy) -> None:
    answer = strategy_answer(strategy)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.body))
    bytes(answer.body).decode()
