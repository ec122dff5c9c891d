"""What the published document says in words only, told to schemathesis, which reads schemas.

A schema of parameters that knew each integer in them would have to name itself, and generators of clients drop what
does. One of a login that knew its other fields would have them drop the login.
"""

from typing import Any

import schemathesis

from tradingagents_core.domain.parameters import INTEGER_MAX, INTEGER_MIN


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """The body with integers within 64 bits, and fields that a login does not know as texts."""
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
