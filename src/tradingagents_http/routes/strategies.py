"""Your strategies."""

from fastapi import APIRouter, Request, Response

from tradingagents_core.domain.page import Page
from tradingagents_core.domain.strategy import Strategy
from tradingagents_http.dependencies import Core, CurrentUser
from tradingagents_http.media_types import StrictRoute
from tradingagents_http.paths import STRATEGIES
from tradingagents_http.responses import created, errors
from tradingagents_http.schemas import (
    Pagination,
    StrategyCreateBody,
    StrategyId,
    StrategyOut,
    StrategyPage,
    StrategyUpdateBody,
    changes,
)

router = APIRouter(prefix=STRATEGIES, tags=["Strategies"], route_class=StrictRoute)


@router.get("", summary="List Strategies", response_model=StrategyPage, responses=errors(400, 401, 422, 503))
async def list_strategies(core: Core, user: CurrentUser, page: Pagination) -> Page[Strategy]:
    """List your strategies, oldest first."""
    return await core.list_strategies(owner_id=user.id, skip=page.skip, limit=page.limit, active_only=page.active_only)


@router.post(
    "",
    summary="Create Strategy",
    status_code=201,
    response_model=StrategyOut,
    response_description="Created",
    responses=errors(400, 401, 409, 413, 415, 422, 503) | created("Where the strategy is."),
)
async def create_strategy(
    request: Request, core: Core, user: CurrentUser, body: StrategyCreateBody, response: Response
) -> Strategy:
    """Store a new strategy."""
    strategy = await core.create_strategy(owner_id=user.id, content=body.content())
    response.headers["Location"] = request.url_for("get_strategy", id=strategy.id).path
    return strategy


@router.get("/{id}", summary="Get Strategy", response_model=StrategyOut, responses=errors(400, 401, 404, 422, 503))
async def get_strategy(core: Core, user: CurrentUser, strategy_id: StrategyId) -> Strategy:
    """Read one of your strategies."""
    return await core.get_strategy(owner_id=user.id, strategy_id=strategy_id)


@router.put(
    "/{id}",
    summary="Update Strategy",
    response_model=StrategyOut,
    responses=errors(400, 401, 404, 409, 413, 415, 422, 503),
)
async def update_strategy(core: Core, user: CurrentUser, strategy_id: StrategyId, body: StrategyUpdateBody) -> Strategy:
    """Change the fields that are sent and keep the rest."""
    return await core.update_strategy(owner_id=user.id, strategy_id=strategy_id, changes=changes(body))


@router.delete("/{id}", summary="Delete Strategy", status_code=204, responses=errors(400, 401, 404, 422, 503))
async def delete_strategy(core: Core, user: CurrentUser, strategy_id: StrategyId) -> None:
    """Remove a strategy for good."""
    await core.delete_strategy(owner_id=user.id, strategy_id=strategy_id)
