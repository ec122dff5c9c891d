"""The sessions of the caller."""

from typing import Annotated

from fastapi import APIRouter, Response

from tradingagents_core.domain.authentication import Caller
from tradingagents_core.errors import SessionNotFound
from tradingagents_core.use_cases import UseCases
from tradingagents_http.answers import Json
from tradingagents_http.errors import ErrorAnswers, LastingErrors
from tradingagents_http.paths import LOGOUT, SESSIONS
from tradingagents_http.requests.bodies import ACCOUNT_BODY_MAX_BYTES
from tradingagents_http.requests.credentials import Credentials
from tradingagents_http.responses import (
    LIMIT_TOO_SMALL,
    NO_INTEGER,
    problem,
    token_caller_errors,
    too_large_detail,
)
from tradingagents_http.route import strict_route
from tradingagents_http.routes import new_router
from tradingagents_http.schemas.sessions import LogoutScope, SessionId, SessionPage, SessionPagination

_TOO_LARGE = too_large_detail(ACCOUNT_BODY_MAX_BYTES)
_OTHER_SCOPE = problem("query", "scope", msg="input should be 'global'", type="literal_error")


def routes(core: UseCases, credentials: Credentials, lasting: LastingErrors) -> APIRouter:
    """The routes for the sessions of the caller."""
    route_class = strict_route(ErrorAnswers(lasting), body_max_bytes=ACCOUNT_BODY_MAX_BYTES)
    router = new_router(tag="Sessions", route_class=route_class)

    @router.post(
        LOGOUT,
        summary="Logout",
        status_code=204,
        responses=token_caller_errors(403, 422, 503, details=_TOO_LARGE | {422: _OTHER_SCOPE}),
    )
    async def logout(caller: Annotated[Caller, credentials.dependency], query: LogoutScope) -> Response:
        """End your session: its tokens are refused from now on."""
        await core.authentication.log_out(caller=caller, everywhere=query.is_global)
        return Response(status_code=204)

    @router.get(
        SESSIONS,
        summary="List Sessions",
        response_model=SessionPage,
        responses=token_caller_errors(403, 422, 503, details=_TOO_LARGE | {422: LIMIT_TOO_SMALL}),
    )
    async def list_sessions(caller: Annotated[Caller, credentials.dependency], page: SessionPagination) -> Response:
        """List your sessions, oldest first."""
        sessions = await core.sessions.list(caller=caller, skip=page.skip, limit=page.limit)
        return Json(SessionPage.of(sessions, caller=caller).model_dump())

    @router.delete(
        f"{SESSIONS}/{{id}}",
        summary="End Session",
        status_code=204,
        responses=token_caller_errors(
            403, 404, 422, 503, details=_TOO_LARGE | {404: str(SessionNotFound(999)), 422: NO_INTEGER}
        ),
    )
    async def end_session(caller: Annotated[Caller, credentials.dependency], session_id: SessionId) -> Response:
        """End one of your sessions: its tokens are refused from now on."""
        await core.sessions.end(caller=caller, session_id=session_id)
        return Response(status_code=204)

    return router
