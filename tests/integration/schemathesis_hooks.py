"""Rules that the published document states in words only, for schemathesis, which reads schemas only.

A schema that limits every integer in parameters would be recursive, and generators of clients drop recursive schemas.
With a schema for the unknown fields of a login, the generators drop the login.
"""

from typing import Any

import schemathesis

from tradingagents_core.domain.parameters import INTEGER_MAX, INTEGER_MIN


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """The body with all integers limited to 64 bits, and with unknown fields of a login as texts."""
    if not isinstance(body, dict):
        return body
    if context.operation.path.endswith("/login"):
        known = ("username", "password", "grant_type")
        return {field: value if field in known else str(value) for field, value in body.items()}
    if isinstance(body.get("parameters"), dict):
        return {**body, "parameters": _within_64_bits(body["parameters"])}
    return body


def _within_64_bits(value: Any) -> Any:
    match value:
        case dict():
            return {key: _within_64_bits(each) for key, each in value.items()}
        case list():
            return [_within_64_bits(each) for each in value]
        case int() if not INTEGER_MIN <= value <= INTEGER_MAX:
            return INTEGER_MAX
    return value
