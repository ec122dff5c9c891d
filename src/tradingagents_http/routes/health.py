"""Whether the service runs."""

from fastapi import APIRouter

from tradingagents_core import __version__
from tradingagents_http.responses import errors
from tradingagents_http.schemas import Health

router = APIRouter(tags=["Health"])


@router.get("/health", summary="Health Check", responses=errors())
async def health() -> Health:
    """Tell that the service runs, and in which version. Asks nothing of the database."""
    return Health(version=__version__)
