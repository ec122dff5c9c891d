"""The strategies of the caller."""

from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Request, Response, Security

from tradingagents_core.domain.authentication import Caller
from tradingagents_core.use_cases import UseCases
from tradingagents_http.answers import created_answer, strategy_answer
from tradingagents_http.pages import PageAnswer, PageRoom
from tradingagents_http.paths import STRATEGIES
from tradingagents_http.requests.credentials import BearerToken
from tradingagents_http.responses import NO_INTEGER, created, errors, problem
from tradingagents_http.routes import new_router
from tradingagents_http.schemas.strategies import (
    Pagination,
    Strategy,
    StrategyCreateBody,
    StrategyId,
    StrategyPage,
    StrategyUpdateBody,
    changes,
)

_LIMIT_TOO_SMALL: Final = problem(
    "query", "limit", msg="input should be greater than or equal to 1", type="greater_than_equal"
)
_NO_NAME: Final = problem("body", "name", msg="field required", type="missing")
_NAME_TOO_SHORT: Final = problem("body", "name", msg="string should have at least 1 character", type="string_too_short")


def routes(core: UseCases) -> APIRouter:
    """The routes for the strategies of the caller."""
    router = new_router(tag="Strategies", prefix=STRATEGIES)
    credentials = Security(BearerToken(core.authentication.authenticate))
    room = PageRoom()

    @router.get(
        "",
        summary="List Strategies",
        response_model=StrategyPage,
        responses=errors(400, 401, 422, 503, details={422: _LIMIT_TOO_SMALL}),
    )
    async def list_strategies(caller: Annotated[Caller, credentials], page: Pagination) -> Response:
        """List your strategies, oldest first."""
        read = partial(
            core.strategies.list, caller=caller, skip=page.skip, limit=page.limit, active_only=page.active_only
        )
        return PageAnswer(read, limit=page.limit, room=room)

    @router.post(
        "",
        summary="Create Strategy",
        status_code=201,
        response_model=Strategy,
        response_description="Created",
        responses=errors(400, 401, 409, 415, 422, 503, details={422: _NO_NAME}) | created("Where the strategy is."),
    )
    async def create_strategy(
        request: Request, caller: Annotated[Caller, credentials], body: StrategyCreateBody
    ) -> Response:
        """Store a new strategy."""
        strategy = await core.strategies.create(caller=caller, content=body.content())
        return created_answer(strategy, location=f"{request.scope['path']}/{strategy.id}")

    @router.get(
        "/{id}",
        summary="Get Strategy",
        response_model=Strategy,
        responses=errors(400, 401, 404, 422, 503, details={422: NO_INTEGER}),
    )
    async def get_strategy(caller: Annotated[Caller, credentials], strategy_id: StrategyId) -> Response:
        """Read one of your strategies."""
        return strategy_answer(await core.strategies.get(caller=caller, strategy_id=strategy_id))

    @router.put(
        "/{id}",
        summary="Update Strategy",
        response_model=Strategy,
        responses=errors(400, 401, 404, 409, 415, 422, 503, details={422: _NAME_TOO_SHORT}),
    )
    async def update_strategy(
        caller: Annotated[Caller, credentials], strategy_id: StrategyId, body: StrategyUpdateBody
    ) -> Response:
        """Change the fields that are sent and keep the rest."""
        return strategy_answer(
            await core.strategies.update(caller=caller, strategy_id=strategy_id, changes=changes(body))
        )

    @router.delete(
        "/{id}",
        summary="Delete Strategy",
        status_code=204,
        responses=errors(400, 401, 404, 422, 503, details={422: NO_INTEGER}),
    )
    async def delete_strategy(caller: Annotated[Caller, credentials], strategy_id: StrategyId) -> Response:
        """Remove a strategy for good."""
        await core.strategies.delete(caller=caller, strategy_id=strategy_id)
        return Response(status_code=204)

    return router
