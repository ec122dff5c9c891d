"""What goes back: domain objects as the JSON that `schemas.py` documents, written once and not validated again."""

from typing import Any

import orjson
from starlette.responses import Response

from tradingagents_core.domain.page import Page
from tradingagents_core.domain.strategy import Strategy


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
    items = [strategy_json(strategy) for strategy in page.items]
    return Json({"items": items, "total": page.total, "skip": page.skip, "limit": page.limit})


def strategy_json(strategy: Strategy) -> dict[str, Any]:
    """A strategy as `Json` writes it."""
    return {
        "id": strategy.id,
        "name": strategy.name,
        "description": strategy.description,
        "parameters": orjson.Fragment(strategy.parameters.json),
        "is_active": strategy.is_active,
        "created_at": strategy.created_at,
        "updated_at": strategy.updated_at,
    }
