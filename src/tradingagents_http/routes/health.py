"""The health check."""

from fastapi import APIRouter

from tradingagents_core import __version__
from tradingagents_http.requests.query import NO_QUERY, NOT_PERMITTED
from tradingagents_http.responses import errors, problem
from tradingagents_http.routes import OPEN_TO_ALL, new_router
from tradingagents_http.schemas.health import Health


def routes() -> APIRouter:
    """The route of the health check. It does not use the core."""
    router = new_router(tag="Health")

    @router.get(
        "/health",
        summary="Health Check",
        openapi_extra=OPEN_TO_ALL,
        dependencies=[NO_QUERY],
        responses=errors(422, details={422: problem("query", "verbose", msg=NOT_PERMITTED, type="extra_forbidden")}),
    )
    async def health() -> Health:
        """Tell that the service runs, and in which version. Asks nothing of the database."""
        return Health(version=__version__)

    return router
