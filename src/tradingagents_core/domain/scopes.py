"""Scopes: what a credential allows."""

from collections.abc import Iterable
from typing import Final

from tradingagents_core.domain.plain_types import plain_str
from tradingagents_core.errors import InvalidInput

STRATEGIES_READ: Final = "strategies:read"
STRATEGIES_WRITE: Final = "strategies:write"

ALL_SCOPES: Final = (STRATEGIES_READ, STRATEGIES_WRITE)
"""Every scope, in the order in which scopes are listed."""


def plain_scopes(field: str, value: object) -> tuple[str, ...]:
    """Scopes without repetitions, in the order of `ALL_SCOPES`.

    Raises:
        InvalidInput: the value is not a list, tuple or set of scopes, or has none.
    """
    if not isinstance(value, list | tuple | set | frozenset):
        raise InvalidInput(field=field, rule="list_type", message="should be a list")
    given = {plain_str(field, scope) for scope in value}
    if not given:
        raise InvalidInput(field=field, rule="too_short", message="should hold at least one scope")
    if not given.issubset(ALL_SCOPES):
        raise InvalidInput(field=field, rule="enum", message=f"should hold only {_listed(ALL_SCOPES)}")
    return tuple(scope for scope in ALL_SCOPES if scope in given)


def _listed(scopes: Iterable[str]) -> str:
    return " and ".join(scopes)
