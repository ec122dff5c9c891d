"""A page of a longer list."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from tradingagents_core.domain.plain_types import plain_int
from tradingagents_core.errors import InvalidInput

PAGE_LIMIT_DEFAULT: Final = 100
PAGE_LIMIT_MAX: Final = 1000

T = TypeVar("T")


def check_page(skip: object, limit: object) -> tuple[int, int]:
    """The numbers of a request for a page, as plain integers.

    Raises:
        InvalidInput: a number is no integer, `skip` is negative, or `limit` is not between 1 and `PAGE_LIMIT_MAX`.
    """
    plain_skip, plain_limit = plain_int("skip", skip), plain_int("limit", limit)
    if plain_skip < 0:
        raise InvalidInput(field="skip", rule="greater_than_equal", message="should be 0 or more")
    if not 1 <= plain_limit <= PAGE_LIMIT_MAX:
        raise InvalidInput(field="limit", rule="range", message=f"should be 1 to {PAGE_LIMIT_MAX}")
    return plain_skip, plain_limit


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """At most `limit` items of a list, after the first `skip` items. `total` counts the whole list."""

    items: Sequence[T]
    total: int
    skip: int
    limit: int
