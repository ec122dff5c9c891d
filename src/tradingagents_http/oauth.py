"""What the answers of the token route carry besides `detail`, for libraries that speak OAuth 2.0 (RFC 6749, 5.2)."""

from collections.abc import Mapping, Sequence
from typing import Final

from starlette.requests import Request

from tradingagents_http.requests.bodies import StrictRoute

_ERRORS: Final = {400: "invalid_request", 401: "invalid_grant", 415: "invalid_request", 422: "invalid_request"}
"""Statuses that have a code there; for those that say "later" it has none."""

_NOT_ALLOWED: Final = str.maketrans({'"': "'", "\\": "/"})
"""Characters that a description must not hold, and what stands for them."""


class TokenRoute(StrictRoute):
    """A route that issues tokens: its refusals carry `error` and `error_description`."""


def refusal(request: Request, status: int, detail: object) -> Mapping[str, str]:
    """The fields that a refusal of this request carries besides `detail`; none on other routes."""
    return error_fields(status, detail) if isinstance(request.scope.get("route"), TokenRoute) else {}


def error_fields(status: int, detail: object) -> Mapping[str, str]:
    """`error` and `error_description` of an answer with this status and detail; none where there is no such code."""
    if status not in _ERRORS:
        return {}
    problems = detail if isinstance(detail, Sequence) and not isinstance(detail, str) else ()
    text = "; ".join(f"{problem['loc'][-1]}: {problem['msg']}" for problem in problems) if problems else str(detail)
    is_other_grant = any(problem["loc"][-1] == "grant_type" for problem in problems)
    return {
        "error": "unsupported_grant_type" if is_other_grant else _ERRORS[status],
        "error_description": text.translate(_NOT_ALLOWED),
    }
