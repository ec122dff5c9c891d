"""Descriptions of the error responses in the OpenAPI document."""

from collections.abc import Mapping
from typing import Any, Final

from tradingagents_core.errors import (
    InsufficientScope,
    InvalidToken,
    NotForApiKeys,
    StoreUnavailable,
    StrategyNameTaken,
    StrategyNotFound,
    TooManyAttempts,
)
from tradingagents_http.errors import INVALID_TOKEN, NO_TOKEN, scope_challenge
from tradingagents_http.oauth import error_fields
from tradingagents_http.requests.bodies import JSON_MAX_BYTES, too_large
from tradingagents_http.schemas.authentication import TokenErrorResponse, TokenValidationErrorResponse
from tradingagents_http.schemas.errors import ErrorResponse, ValidationErrorResponse


def _header(name: str, description: str, **schema: object) -> dict[str, Any]:
    return {name: {"description": description, "required": True, "schema": schema}}


_DESCRIPTIONS: Final = {
    400: "Bad Request - Invalid input",
    401: "Unauthorized - Invalid or missing token",
    403: "Forbidden - Insufficient permissions",
    404: "Not Found - Resource doesn't exist",
    409: "Conflict - Duplicate resource",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Validation Error - Failed Pydantic validation",
    429: "Too Many Requests - Too many attempts to log in",
    500: "Internal Server Error",
    503: "Service Unavailable - Try again shortly",
}

_DETAILS: Final[Mapping[int, object]] = {
    400: "The Authorization header should be sent once",
    401: str(InvalidToken()),
    403: str(NotForApiKeys()),
    404: str(StrategyNotFound(999)),
    409: str(StrategyNameTaken("RSI Mean Reversion")),
    413: too_large(JSON_MAX_BYTES),
    415: "The body should be plain application/json in UTF-8, and say so in Content-Type",
    429: str(TooManyAttempts(retry_after=1)),
    500: "Internal Server Error",
    503: str(StoreUnavailable(reason="away")),
}
"""Examples of `detail`. A test checks that the service sends each of them."""

_RETRY_AFTER: Final = _header("Retry-After", "Seconds to wait before the next try.", type="integer", minimum=1)

_HEADERS: Final = {
    401: _header(
        "WWW-Authenticate",
        "How to authenticate (RFC 6750, 3).",
        type="string",
        enum=[challenge["WWW-Authenticate"] for challenge in (NO_TOKEN, INVALID_TOKEN)],
    ),
    429: _RETRY_AFTER,
    500: _header("X-Request-ID", "The id of the failure in the log.", type="string"),
    503: _RETRY_AFTER,
}


def created(location: str) -> dict[int | str, dict[str, Any]]:
    """The response 201 with the URL of the new resource in `Location`."""
    return {201: {"headers": _header("Location", location, type="string", format="uri-reference")}}


def problem(*loc: str, msg: str, type: str) -> list[dict[str, object]]:  # noqa: A002
    """An example of `detail` in a response 422 with one problem."""
    return [{"loc": loc, "msg": msg, "type": f"value_error.{type}"}]


NO_INTEGER: Final = problem("path", "id", msg="input should be a valid integer", type="int_parsing")
"""The example for an id in the path that is not an integer."""

LIMIT_TOO_SMALL: Final = problem(
    "query", "limit", msg="input should be greater than or equal to 1", type="greater_than_equal"
)
"""The example for a page without items."""

NO_NAME: Final = problem("body", "name", msg="field required", type="missing")
"""The example for a body without a name."""


def too_large_detail(most: int) -> dict[int, object]:
    """The example of 413 for routes whose bodies have at most this many bytes."""
    return {413: too_large(most)}


def errors(*statuses: int, details: Mapping[int, object] | None = None) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route: these statuses, and 413 as on every route.

    `details` replaces the common examples for single statuses.
    """
    examples = {**_DETAILS, **(details or {})}
    return {status: _error(status, examples[status]) for status in sorted({*statuses, 413})}


def token_caller_errors(
    *statuses: int, details: Mapping[int, object], scope: str | None = None
) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route for callers with a bearer token, which has to allow this scope."""
    answers = errors(400, 401, *statuses, details=_with_scope(details, scope))
    if scope is not None:
        [(name, challenge)] = scope_challenge(scope).items()
        answers[403]["headers"] = _header(
            name, "Which scope the token needs (RFC 6750, 3.1).", type="string", enum=[challenge]
        )
    return answers


def other_caller_errors(
    *statuses: int, details: Mapping[int, object], scope: str | None = None
) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route for callers whom the application identifies that includes the route."""
    has_body = 415 in statuses
    common = {400: "The body should be UTF-8 text", 401: "Not authenticated"}
    details = common | _with_scope(details, scope)
    answers = errors(401, *statuses, *([400] if has_body else []), details=details)
    # Only the application knows the challenge.
    del answers[401]["headers"]
    return answers


def _with_scope(details: Mapping[int, object], scope: str | None) -> dict[int, object]:
    return dict(details) if scope is None else {**details, 403: str(InsufficientScope(scope))}


def unexpected_error() -> dict[str, Any]:
    """The response 500 in the OpenAPI document of an application that answers unexpected exceptions in JSON."""
    schema = {"$ref": f"#/components/schemas/{ErrorResponse.__name__}"}
    return {
        "description": _DESCRIPTIONS[500],
        "headers": _HEADERS[500],
        "content": {"application/json": {"schema": schema, "example": {"detail": _DETAILS[500]}}},
    }


def token_errors(*statuses: int, details: Mapping[int, object]) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route that issues tokens, with the fields of OAuth 2.0 (RFC 6749, 5.2)."""
    answers = errors(*statuses, details=details)
    for status, answer in answers.items():
        example = answer["content"]["application/json"]["example"]
        if fields := error_fields(int(status), example["detail"]):
            answer["model"] = TokenValidationErrorResponse if status == 422 else TokenErrorResponse
            example.update(fields)
    return answers


def _error(status: int, detail: object) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": _DESCRIPTIONS[status],
        "model": ValidationErrorResponse if status == 422 else ErrorResponse,
        "content": {"application/json": {"example": {"detail": detail}}},
    }
    return answer | ({"headers": _HEADERS[status]} if status in _HEADERS else {})
