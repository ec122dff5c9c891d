"""The routes of the API, one module a subject. Each module makes a router over a given core.

FastAPI dependencies provide only the input of a request. Objects that requests share are passed to the function that
makes the router: each dependency that FastAPI resolves costs up to a tenth of the time of a request.
"""

from typing import Any, Final

from fastapi import APIRouter

from tradingagents_http.requests.bodies import StrictRoute

OPEN_TO_ALL: Final[dict[str, Any]] = {"security": []}
"""Marks an operation in the OpenAPI document as open to callers without a token."""


def new_router(*, tag: str, prefix: str = "", route_class: type[StrictRoute] = StrictRoute) -> APIRouter:
    """A router with operation ids from function names, and with strictly read requests (`StrictRequest`)."""
    return APIRouter(
        prefix=prefix, tags=[tag], route_class=route_class, generate_unique_id_function=lambda route: route.name
    )
