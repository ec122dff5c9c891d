"""The health check."""

from fastapi import APIRouter, Request, Response

from tradingagents_core import __version__
from tradingagents_http.answers import Json
from tradingagents_http.errors import ErrorAnswers, LastingErrors
from tradingagents_http.requests.bodies import JSON_MAX_BYTES
from tradingagents_http.requests.query import NOT_PERMITTED, refuse_query
from tradingagents_http.responses import errors, problem
from tradingagents_http.route import strict_route
from tradingagents_http.routes import OPEN_TO_ALL, new_router
from tradingagents_http.schemas.health import Health


def routes() -> APIRouter:
    """The route of the health check. It does not use the core."""
    route_class = strict_route(ErrorAnswers(LastingErrors()), body_max_bytes=JSON_MAX_BYTES)
    router = new_router(tag="Health", route_class=route_class)

    @router.get(
        "/health",
        summary="Health Check",
        response_model=Health,
        openapi_extra=OPEN_TO_ALL,
        responses=errors(422, details={422: problem("query", "verbose", msg=NOT_PERMITTED, type="extra_forbidden")}),
    )
    async def health(request: Request) -> Response:
        """Tell that the service runs, and in which version. Asks nothing of the database."""
        refuse_query(request)
        return Json(Health(version=__version__).model_dump())

    return router
