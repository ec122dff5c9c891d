"""The routes of the API, one module a subject: each makes a router in front of a given core.

A route asks the framework for its input alone. What every route of an application shares comes from its router's maker,
since each thing that the framework has to find for a request costs as much as a tenth of the request.
"""

from typing import Any, Final

from fastapi import APIRouter

from tradingagents_http.requests.bodies import StrictRoute

OPEN_TO_ALL: Final[dict[str, Any]] = {"security": []}
"""What the document says of an operation that needs no token."""


def new_router(*, tag: str, prefix: str = "", route_class: type[StrictRoute] = StrictRoute) -> APIRouter:
    """A router whose operations are named after their functions, and whose requests are taken at their word."""
    return APIRouter(
        prefix=prefix, tags=[tag], route_class=route_class, generate_unique_id_function=lambda route: route.name
    )
