"""The OAuth 2.0 fields beside `detail` in error responses of the routes that issue tokens (RFC 6749, 5.2)."""

from collections.abc import Mapping, Sequence
from typing import Final

_ERRORS: Final = {400: "invalid_request", 401: "invalid_grant", 415: "invalid_request", 422: "invalid_request"}
"""The OAuth 2.0 error code of each status. OAuth 2.0 has no code for "try again later"."""

_NOT_ALLOWED: Final = str.maketrans({'"': "'", "\\": "/"})
"""Characters that `error_description` must not contain, and their replacements."""


def error_fields(status: int, detail: object) -> Mapping[str, str]:
    """`error` and `error_description` for this status and detail; empty if OAuth 2.0 has no code for the status."""
    if status not in _ERRORS:
        return {}
    problems = detail if isinstance(detail, Sequence) and not isinstance(detail, str) else ()
    text = "; ".join(f"{problem['loc'][-1]}: {problem['msg']}" for problem in problems) if problems else str(detail)
    is_other_grant = any(
        problem["loc"][-1] == "grant_type" and problem["type"] != "value_error.missing" for problem in problems
    )
    return {
        "error": "unsupported_grant_type" if is_other_grant else _ERRORS[status],
        "error_description": text.translate(_NOT_ALLOWED),
    }
