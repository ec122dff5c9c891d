"""What goes back: domain objects as the JSON that `schemas` documents, written once and not validated again."""

from typing import Any, Final

import orjson
from starlette.responses import Response

from tradingagents_core.domain.page import Page
from tradingagents_core.domain.strategy import Strategy
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
    return Json(_page_json(page, [strategy_json(strategy) for strategy in page.items]))


def page_without_items(page: Page[Strategy]) -> tuple[bytes, bytes]:
    """What comes before and after the items of a page, for whoever writes them one by one."""
    before, after = json_bytes(_page_json(page, [])).split(b"[]")
    return before + b"[", b"]" + after


_PAGE_FIELDS: Final = dict.fromkeys(StrategyPage.model_fields)


def _page_json(page: Page[Strategy], items: list[dict[str, Any]]) -> dict[str, Any]:
    """The fields of `StrategyPage`, for `json_bytes` to write."""
    fields: dict[str, Any] = _PAGE_FIELDS.copy()
    for name in fields:
        fields[name] = getattr(page, name)
    fields["items"] = items
    return fields
