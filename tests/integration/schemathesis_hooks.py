"""Rules that the published document states in words only, for schemathesis, which reads schemas only.

A schema that limits every integer in parameters would be recursive, and generators of clients drop recursive schemas.
With a schema for the unknown fields of a form, the generators drop the form.
"""

from datetime import UTC, datetime
from typing import Any, Final

import schemathesis
from pydantic_core import PydanticCustomError

from tradingagents_core.domain.accounts import PASSWORD_MAX_BYTES
from tradingagents_core.domain.parameters import INTEGER_MAX, INTEGER_MIN
from tradingagents_http.requests.plain_values import plain_time

FORMS: Final = {
    "/login": ("username", "password", "grant_type", "scope"),
    "/refresh": ("grant_type", "refresh_token"),
}


FRAMING: Final = ("content-length", "transfer-encoding")


@schemathesis.hook
def map_headers(context: schemathesis.HookContext, headers: Any) -> Any:
    """The headers without a length of the body: with another length than the body's, the next request on the
    connection would be read as the rest of the body."""
    return headers and {name: value for name, value in headers.items() if name.lower() not in FRAMING}


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """The body with all integers limited to 64 bits, with unknown fields of a form as texts, with no expiry in the
    past, and with no password that has too many bytes."""
    if not isinstance(body, dict):
        return body
    for path, known in FORMS.items():
        if context.operation.path.endswith(path):
            return {field: value if field in known else str(value) for field, value in body.items()}
    changed = dict(body)
    if isinstance(body.get("parameters"), dict):
        changed["parameters"] = _within_64_bits(body["parameters"])
    if _is_past(body.get("expires_at")):
        changed["expires_at"] = "2999-01-15T11:00:00Z"
    if isinstance(password := body.get("password"), str) and len(password) <= PASSWORD_MAX_BYTES:
        # A character takes up to four bytes.
        changed["password"] = password[: PASSWORD_MAX_BYTES // 4]
    return changed


def _is_past(value: object) -> bool:
    try:
        return plain_time(value) <= datetime.now(UTC)
    except (PydanticCustomError, TypeError):
        return False


def _within_64_bits(value: Any) -> Any:
    match value:
        case dict():
            return {key: _within_64_bits(each) for key, each in value.items()}
        case list():
            return [_within_64_bits(each) for each in value]
        case int() if not INTEGER_MIN <= value <= INTEGER_MAX:
            return INTEGER_MAX
    return value
