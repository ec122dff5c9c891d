"""What goes back: domain objects as the JSON that `schemas` documents, written once and not validated again."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import orjson
from starlette.responses import Response

from tradingagents_core.domain.page import Page
from tradingagents_core.domain.parameters import Parameters
from tradingagents_core.domain.strategies import Strategy
from tradingagents_http.schemas import Answer
from tradingagents_http.schemas import strategies as schemas

Fields: TypeAlias = dict[str, Any]


class Json(Response):
    """A value as JSON, written by `json_bytes`."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """The bytes of the body."""
        return json_bytes(content)


def json_bytes(content: object) -> bytes:
    """A value as JSON: times in UTC, in whole seconds with `Z`, and `orjson.Fragment` as it stands."""
    return orjson.dumps(content, option=orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS)


def reader_of(schema: type[Answer]) -> Callable[[Any], Fields]:
    """A function that reads the fields of a schema from a domain object, for `json_bytes` to write.

    It is compiled from the schema, as `collections.namedtuple` compiles its classes: writing a page of a hundred
    strategies takes 150 µs with names in the code, and 250 µs with names in variables.
    """
    read = {
        name: f"Fragment(value.{name}.json)" if field.annotation is Parameters else f"value.{name}"
        for name, field in schema.model_fields.items()
    }
    code = ", ".join(f"{name!r}: {expression}" for name, expression in read.items())
    reader: Callable[[Any], Fields] = eval(f"lambda value: {{{code}}}", {"Fragment": orjson.Fragment})  # noqa: S307
    return reader


strategy_fields: Final = reader_of(schemas.Strategy)
_page_fields: Final = reader_of(schemas.StrategyPage)


def strategy_answer(strategy: Strategy) -> Json:
    """One strategy, as `Strategy` describes it."""
    return Json(strategy_fields(strategy))


def created_answer(strategy: Strategy, location: str) -> Json:
    """A new strategy, and where it is."""
    return Json(strategy_fields(strategy), 201, {"Location": location})


def page_answer(page: Page[Strategy]) -> Json:
    """A page of strategies, as `StrategyPage` describes it."""
    return Json(_page_fields(page) | {"items": [strategy_fields(strategy) for strategy in page.items]})


def page_without_items(page: Page[Strategy]) -> tuple[bytes, bytes]:
    """What comes before and after the items of a page, where they are written piece by piece."""
    before, after = json_bytes(_page_fields(page) | {"items": []}).split(b"[]")
    return before + b"[", b"]" + after
