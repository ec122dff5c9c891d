"""A page of a longer list."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

PAGE_LIMIT_DEFAULT: Final = 100
PAGE_LIMIT_MAX: Final = 1000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """At most `limit` items of a list, after the first `skip` items. `total` counts the whole list."""

    items: Sequence[T]
    total: int
    skip: int
    limit: int
