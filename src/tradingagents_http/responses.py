"""How the routes' error answers are described in the OpenAPI document."""

from typing import Any, Final

from tradingagents_http.schemas import Error, ValidationError

_DESCRIPTIONS: Final = {
    400: "Bad Request - Invalid input",
    401: "Unauthorized - Invalid or missing token",
    404: "Not Found - Resource doesn't exist",
    409: "Conflict - Duplicate resource",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Validation Error - Failed Pydantic validation",
    429: "Too Many Requests - Too many failed logins",
    500: "Internal Server Error",
    503: "Service Unavailable - Try again shortly",
}

_HEADERS: Final = {
    401: ("WWW-Authenticate", "How to authenticate (RFC 6750, 3)."),
    429: ("Retry-After", "Seconds to wait before the next try."),
    503: ("Retry-After", "Seconds to wait before the next try."),
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route that can refuse with these statuses, and, as any route, fail with 500."""
    return {status: _error(status) for status in (*statuses, 500)}


def _error(status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": _DESCRIPTIONS[status],
        "model": ValidationError if status == 422 else Error,
    }
    if status in _HEADERS:
        name, description = _HEADERS[status]
        answer["headers"] = {name: {"description": description, "schema": {"type": "string"}}}
    return answer
