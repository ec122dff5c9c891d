"""The routes of the API, one module a subject. Each module makes a router over a given core.

FastAPI dependencies provide only the input of a request. Objects that requests share are passed to the function that
makes the router: each dependency that FastAPI resolves costs up to a tenth of the time of a request.
"""

from typing import Any, Final

from fastapi import APIRouter
from fastapi.routing import APIRoute

from tradingagents_http.paths import prefix_of
from tradingagents_http.requests.credentials import name_of
from tradingagents_http.route import StrictRoute

OPEN_TO_ALL: Final[dict[str, Any]] = {"security": []}
"""Marks an operation in the OpenAPI document as open to callers without a token."""


def new_router(*, tag: str, route_class: type[StrictRoute], prefix: str = "") -> APIRouter:
    """A router for routes of one subject.

    Operation ids are the names of functions. The ids of routes that an application includes at a prefix contain the
    prefix.
    """
    return APIRouter(prefix=prefix, tags=[tag], route_class=route_class, generate_unique_id_function=_operation_id)


def _operation_id(route: APIRoute) -> str:
    return route.name + name_of(prefix_of(route.path_format))
