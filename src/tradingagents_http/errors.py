"""Error responses: JSON with `detail`. One table maps core errors to statuses."""

import logging
import re
import time
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Match, Mount

from tradingagents_core.errors import (
    AuthenticationFailed,
    Conflict,
    InvalidInput,
    InvalidToken,
    NotFound,
    TooManyAttempts,
    TradingAgentsError,
    Unavailable,
)
from tradingagents_http.oauth import refusal

STATUSES: Final[Mapping[type[TradingAgentsError], int]] = {
    InvalidInput: 422,
    AuthenticationFailed: 401,
    NotFound: 404,
    Conflict: 409,
    TooManyAttempts: 429,
    Unavailable: 503,
}
"""The status of each family of core errors."""

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")

INVALID_TOKEN: Final = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
NO_TOKEN: Final = {"WWW-Authenticate": "Bearer"}
"""The challenge for a request without a token: it has no error code (RFC 6750, 3.1)."""

NOTE_SECONDS: Final = 60
"""The time after which the log repeats an error that an operator has to fix."""

_ERRORS_MAX: Final = 10
_FIELD_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

_log: Final = logging.getLogger(__name__)


def error_response(status: int, detail: object, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error as the API documents it."""
    return JSONResponse({"detail": detail}, status, headers)


def handle_errors(app: FastAPI) -> None:
    """Answer every exception of a route or of the framework in the documented form."""
    lasting = _ThrottledErrors()

    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, TradingAgentsError)
        return _refused(request, error, lasting)

    app.add_exception_handler(TradingAgentsError, refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _framework_refused)


class _ThrottledErrors:
    """Logs errors that an operator has to fix, each at most once in `NOTE_SECONDS`."""

    def __init__(self) -> None:
        self._logged_at: dict[str, float] = {}

    def log(self, reason: str) -> None:
        now = time.monotonic()
        if now - self._logged_at.get(reason, -NOTE_SECONDS) >= NOTE_SECONDS:
            self._logged_at = {each: at for each, at in self._logged_at.items() if now - at < NOTE_SECONDS} | {
                reason: now
            }
            _log.error("Requests are answered with 503 until an operator fixes this: %s", reason)


def _refused(request: Request, error: TradingAgentsError, lasting: _ThrottledErrors) -> JSONResponse:
    status = next(STATUSES[family] for family in type(error).__mro__ if family in STATUSES)
    match error:
        case InvalidInput():
            loc = _without_client_text(["body", error.field, *error.path])
            problem = {"loc": loc, "msg": str(error), "type": f"value_error.{error.rule}"}
            return _answer(request, status, [problem])
        case InvalidToken():
            headers = INVALID_TOKEN
        case AuthenticationFailed():
            headers = NO_TOKEN
        case TooManyAttempts():
            headers = {"Retry-After": str(error.retry_after)}
        case Unavailable():
            if error.is_lasting:
                lasting.log(error.reason)
            elif not error.is_logged:
                _log.warning("Answered %d: %r", status, error.reason)
            headers = {"Retry-After": str(error.retry_after)}
        case _:
            headers = {}
    return _answer(request, status, str(error), headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    problems = [_problem(each) for each in found[:_ERRORS_MAX]]
    if more := len(found) - len(problems):
        # The documented form has no field for the number of omitted problems.
        message = f"{more} more problem{'s' if more > 1 else ''} not listed"
        problems.append({"loc": list(problems[0]["loc"][:1]), "msg": message, "type": "value_error.too_many_problems"})
    return _answer(request, 422, problems)


async def _framework_refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_allowed_methods(request))
    return _answer(request, error.status_code, error.detail, headers)


def _answer(request: Request, status: int, detail: object, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail, **refusal(request, status, detail)}, status, headers)


def _problem(error: Mapping[str, Any]) -> dict[str, Any]:
    message = error["msg"]
    return {
        "loc": _without_client_text(error["loc"]),
        "msg": message[:1].lower() + message[1:],
        "type": f"value_error.{error['type']}",
    }


def _without_client_text(loc: Sequence[str | int]) -> list[str | int]:
    """The location of an error up to the first key that does not look like a field name: the client chose that key."""
    return list(takewhile(lambda part: isinstance(part, int) or _FIELD_NAME.fullmatch(part), loc))


def _allowed_methods(request: Request) -> list[str]:
    def answered(method: str) -> bool:
        scope = {**request.scope, "method": method}
        routes = (route for route in request.app.router.routes if not isinstance(route, Mount))
        return any(route.matches(scope)[0] is Match.FULL for route in routes)

    # Only static files are mounted, which answer GET.
    allowed = [method for method in _METHODS if answered(method)] or ["GET"]
    return ["HEAD", *allowed] if "GET" in allowed else allowed
