"""The OpenAPI document without a running service."""

from typing import Any

from tradingagents_http import create_app
from tradingagents_service.container import Container
from tradingagents_service.options import CoreOptions


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document. It needs no settings and no database."""
    container = Container(options=CoreOptions(database=None))
    return create_app(container.use_cases()).openapi()
