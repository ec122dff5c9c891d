"""What goes back: domain objects as the JSON that `schemas` documents, written once and not validated again."""

from collections.abc import Callable
from typing import Any, Final

import orjson
from starlette.responses import Response

from tradingagents_core.domain.page import Page
from tradingagents_core.domain.strategy import Strategy
from tradingagents_http.schemas import Answer
from tradingagents_http.schemas.strategies import StrategyPage, strategy_json


class Json(Response):
    """A value as JSON, written by `json_bytes`."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """The bytes of the body."""
        return json_bytes(content)


def json_bytes(content: object) -> bytes:
    """A value as JSON: times in UTC, in whole seconds with `Z`, and `orjson.Fragment` as it stands."""
    return orjson.dumps(content, option=orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS)


def strategy_answer(strategy: Strategy) -> Json:
    """One strategy, as `Strategy` describes it."""
    return Json(strategy_json(strategy))


def created_answer(strategy: Strategy, location: str) -> Json:
    """A new strategy, and where it is."""
    return Json(strategy_json(strategy), 201, {"Location": location})


def page_answer(page: Page[Strategy]) -> Json:
    """A page of strategies, as `StrategyPage` describes it."""
    return Json({**_page_fields(page), "items": [strategy_json(strategy) for strategy in page.items]})


def page_without_items(page: Page[Strategy]) -> tuple[bytes, bytes]:
    """What comes before and after the items of a page, for whoever writes them one by one."""
    before, after = json_bytes({**_page_fields(page), "items": []}).split(b"[]")
    return before + b"[", b"]" + after


def _fields(schema: type[Answer]) -> Callable[[object], dict[str, Any]]:
    """Make the function that reads from an object the fields that a schema names."""
    names = tuple(schema.model_fields)
    return lambda source: {name: getattr(source, name) for name in names}


_page_fields: Final = _fields(StrategyPage)
