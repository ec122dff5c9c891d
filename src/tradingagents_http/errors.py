"""Error responses: JSON with `detail`. One table maps core errors to statuses."""

import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any, Final, TypeAlias

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Mount

from tradingagents_core.errors import (
    AuthenticationFailed,
    Conflict,
    Forbidden,
    InsufficientScope,
    InvalidInput,
    InvalidToken,
    NotFound,
    TooManyAttempts,
    TradingAgentsError,
    Unavailable,
    UserNotFound,
)
from tradingagents_http.requests.bodies import JSON_MAX_BYTES, announced_bytes, too_large

STATUSES: Final[Mapping[type[TradingAgentsError], int]] = {
    InvalidInput: 422,
    AuthenticationFailed: 401,
    # The caller's own account was removed: no route is about the accounts of others.
    UserNotFound: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    TooManyAttempts: 429,
    Unavailable: 503,
}
"""The status of each family of core errors. The narrowest family of an error counts."""

Handler: TypeAlias = Callable[[Request, Exception], Awaitable[Response]]
"""Makes the response to an exception."""

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")

INVALID_TOKEN: Final = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
NO_TOKEN: Final = {"WWW-Authenticate": "Bearer"}
"""The challenge for a request without a token: it has no error code (RFC 6750, 3.1)."""


def scope_challenge(scope: str) -> dict[str, str]:
    """The challenge for a credential that does not allow `scope` (RFC 6750, 3.1)."""
    return {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'}


NOTE_SECONDS: Final = 60
"""The time after which the log repeats an error that an operator has to fix."""

_ERRORS_MAX: Final = 10
_FIELD_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

_log: Final = logging.getLogger(__name__)


def error_response(status: int, detail: object, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error as the API documents it."""
    return JSONResponse({"detail": detail}, status, headers)


class LastingErrors:
    """Logs errors that an operator has to fix, each at most once in `NOTE_SECONDS`."""

    def __init__(self) -> None:
        self._logged_at: dict[str, float] = {}

    def log(self, reason: str) -> None:
        """Log that requests fail for this reason, unless the log has the reason already."""
        now = time.monotonic()
        if now - self._logged_at.get(reason, -NOTE_SECONDS) >= NOTE_SECONDS:
            self._logged_at = {each: at for each, at in self._logged_at.items() if now - at < NOTE_SECONDS} | {
                reason: now
            }
            _log.error("Requests are answered with 503 until an operator fixes this: %s", reason)


def _no_fields(_status: int, _detail: object) -> Mapping[str, str]:
    return {}


class ErrorAnswers:
    """Answers errors in the documented form: core errors, refusals of the framework, and input that is not valid.

    Other exceptions are left to the application, also mistakes of the program that embeds the core (`Misuse`).

    `fields` returns what an error response has beside `detail`, for its status and its `detail`. Where callers have
    bearer tokens (`has_tokens`), `WWW-Authenticate` names a scope that is missing.
    """

    def __init__(
        self,
        lasting: LastingErrors,
        *,
        fields: Callable[[int, object], Mapping[str, str]] = _no_fields,
        has_tokens: bool = True,
    ) -> None:
        self._lasting = lasting
        self._has_tokens = has_tokens
        self._fields = fields
        self.handlers: Final[Mapping[type[Exception], Handler]] = {
            TradingAgentsError: self._refused,
            RequestValidationError: self._invalid,
            HTTPException: self._framework_refused,
        }

    async def _refused(self, _: Request, error: Exception) -> Response:
        assert isinstance(error, TradingAgentsError)
        status = next(STATUSES[family] for family in type(error).__mro__ if family in STATUSES)
        match error:
            case InvalidInput():
                loc = _without_client_text(["body", error.field, *error.path])
                problem = {"loc": loc, "msg": str(error), "type": f"value_error.{error.rule}"}
                return self._answer(status, [problem])
            case InvalidToken() | UserNotFound():
                headers = INVALID_TOKEN
            case AuthenticationFailed():
                headers = NO_TOKEN
            case InsufficientScope() if self._has_tokens:
                headers = scope_challenge(error.scope)
            case TooManyAttempts():
                headers = {"Retry-After": str(error.retry_after)}
            case Unavailable():
                if error.is_lasting:
                    self._lasting.log(error.reason)
                elif not error.is_logged:
                    _log.warning("Answered %d: %r", status, error.reason)
                headers = {"Retry-After": str(error.retry_after)}
            case _:
                headers = {}
        return self._answer(status, str(error), headers)

    async def _invalid(self, _: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        found = error.errors()
        problems = [_problem(each) for each in found[:_ERRORS_MAX]]
        if more := len(found) - len(problems):
            # The documented form has no field for the number of omitted problems.
            message = f"{more} more problem{'s' if more > 1 else ''} not listed"
            first = problems[0]["loc"]
            problems.append({"loc": list(first[:1]), "msg": message, "type": "value_error.too_many_problems"})
        return self._answer(422, problems)

    async def _framework_refused(self, _: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return self._answer(error.status_code, error.detail, error.headers)

    def _answer(self, status: int, detail: object, headers: Mapping[str, str] | None = None) -> Response:
        return JSONResponse({"detail": detail, **self._fields(status, detail)}, status, headers)


def answer_errors(app: FastAPI) -> None:
    """Answer errors of the whole application in the documented form, also errors of paths without a route."""
    handlers = ErrorAnswers(LastingErrors()).handlers
    refuse = handlers[HTTPException]

    async def refused(request: Request, error: Exception) -> Response:
        # A path without a route has no limit of its own.
        if announced_bytes(request.scope) > JSON_MAX_BYTES:
            return error_response(413, too_large(JSON_MAX_BYTES))
        response = await refuse(request, error)
        if response.status_code == 405:
            response.headers["Allow"] = ", ".join(_allowed_methods(request))
        return response

    for family, handler in {**handlers, HTTPException: refused}.items():
        app.add_exception_handler(family, handler)


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
