"""The description of a fault, for the files with broken adapters."""

from dataclasses import dataclass
from typing import Any

from hypothesis import Phase, settings

# The tests of broken stores need a failing history, not the shortest one.
UNSHRUNK = "unshrunk"
settings.register_profile(UNSHRUNK, phases=[Phase.generate])


@dataclass(frozen=True)
class Fault:
    adapter: type[Any]
    named_by: str
    """The test of the kit that has to fail."""
    tried_in_histories: bool = False
    """Whether random histories have to find the fault, too."""
