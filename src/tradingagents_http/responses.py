"""How the routes' error answers are described in the OpenAPI document."""

from typing import Any, Final

from tradingagents_http.errors import INVALID_TOKEN, NO_TOKEN
from tradingagents_http.schemas import Error, ValidationError


def _header(name: str, description: str, **schema: object) -> dict[str, Any]:
    return {name: {"description": description, "required": True, "schema": schema}}


_DESCRIPTIONS: Final = {
    400: "Bad Request - Invalid input",
    401: "Unauthorized - Invalid or missing token",
    404: "Not Found - Resource doesn't exist",
    409: "Conflict - Duplicate resource",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Validation Error - Failed Pydantic validation",
    429: "Too Many Requests - Too many attempts to log in",
    500: "Internal Server Error",
    503: "Service Unavailable - Try again shortly",
}

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
    """The answer 201 of a route that says in `Location` where the new resource is."""
    return {201: {"headers": _header("Location", location, type="string", format="uri-reference")}}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route that can refuse with these statuses, and, as any route, fail with 500."""
    return {status: _error(status) for status in (*statuses, 500)}


def _error(status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": _DESCRIPTIONS[status],
        "model": ValidationError if status == 422 else Error,
    }
    return answer | ({"headers": _HEADERS[status]} if status in _HEADERS else {})
