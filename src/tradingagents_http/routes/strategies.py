"""The strategies of the caller."""

from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Request, Response

from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.scopes import STRATEGIES_READ, STRATEGIES_WRITE
from tradingagents_core.use_cases import UseCases
from tradingagents_http.answers import created_answer, strategy_answer
from tradingagents_http.errors import ErrorAnswers, LastingErrors
from tradingagents_http.pages import PageAnswer, PageRoom
from tradingagents_http.paths import STRATEGIES, path_for_clients
from tradingagents_http.requests.bodies import JSON_MAX_BYTES
from tradingagents_http.requests.credentials import Credentials
from tradingagents_http.responses import (
    LIMIT_TOO_SMALL,
    NO_INTEGER,
    NO_NAME,
    created,
    other_caller_errors,
    problem,
    token_caller_errors,
)
from tradingagents_http.route import strict_route
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

_NAME_TOO_SHORT: Final = problem("body", "name", msg="string should have at least 1 character", type="string_too_short")


def routes(core: UseCases, credentials: Credentials, lasting: LastingErrors) -> APIRouter:
    """The routes for the strategies of the caller."""
    route_class = strict_route(ErrorAnswers(lasting, has_tokens=credentials.are_tokens), body_max_bytes=JSON_MAX_BYTES)
    router = new_router(tag="Strategies", prefix=STRATEGIES, route_class=route_class)
    errors = token_caller_errors if credentials.are_tokens else other_caller_errors
    room = PageRoom()

    @router.get(
        "",
        summary="List Strategies",
        response_model=StrategyPage,
        responses=errors(403, 422, 503, scope=STRATEGIES_READ, details={422: LIMIT_TOO_SMALL}),
    )
    async def list_strategies(caller: Annotated[Caller, credentials.dependency], page: Pagination) -> Response:
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
        responses=errors(403, 409, 415, 422, 503, scope=STRATEGIES_WRITE, details={422: NO_NAME})
        | created("Where the strategy is."),
    )
    async def create_strategy(
        request: Request, caller: Annotated[Caller, credentials.dependency], body: StrategyCreateBody
    ) -> Response:
        """Store a new strategy."""
        strategy = await core.strategies.create(caller=caller, content=body.content())
        return created_answer(strategy, location=f"{path_for_clients(request.scope)}/{strategy.id}")

    @router.get(
        "/{id}",
        summary="Get Strategy",
        response_model=Strategy,
        responses=errors(403, 404, 422, 503, scope=STRATEGIES_READ, details={422: NO_INTEGER}),
    )
    async def get_strategy(caller: Annotated[Caller, credentials.dependency], strategy_id: StrategyId) -> Response:
        """Read one of your strategies."""
        return strategy_answer(await core.strategies.get(caller=caller, strategy_id=strategy_id))

    @router.put(
        "/{id}",
        summary="Update Strategy",
        response_model=Strategy,
        responses=errors(403, 404, 409, 415, 422, 503, scope=STRATEGIES_WRITE, details={422: _NAME_TOO_SHORT}),
    )
    async def update_strategy(
        caller: Annotated[Caller, credentials.dependency], strategy_id: StrategyId, body: StrategyUpdateBody
    ) -> Response:
        """Change the fields that are sent and keep the rest."""
        return strategy_answer(
            await core.strategies.update(caller=caller, strategy_id=strategy_id, changes=changes(body))
        )

    @router.delete(
        "/{id}",
        summary="Delete Strategy",
        status_code=204,
        responses=errors(403, 404, 422, 503, scope=STRATEGIES_WRITE, details={422: NO_INTEGER}),
    )
    async def delete_strategy(caller: Annotated[Caller, credentials.dependency], strategy_id: StrategyId) -> Response:
        """Remove a strategy for good."""
        await core.strategies.delete(caller=caller, strategy_id=strategy_id)
        return Response(status_code=204)

    return router
