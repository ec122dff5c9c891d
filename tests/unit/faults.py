"""What the files with broken adapters share: how a fault is written down."""

from dataclasses import dataclass
from typing import Any

from hypothesis import Phase, settings

# A history that fails is all that is wanted of a broken store, not the shortest one.
UNSHRUNK = "unshrunk"
settings.register_profile(UNSHRUNK, phases=[Phase.generate])


@dataclass(frozen=True)
class Fault:
    adapter: type[Any]
    named_by: str
    """The test of the kit that says what is broken."""
    tried_in_histories: bool = False
    """Whether random histories have to come upon it."""
