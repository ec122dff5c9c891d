"""The description of a fault, for the files with broken adapters."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fault:
    adapter: type[Any]
    named_by: str
    """The test of the kit that has to fail."""
    tried_in_histories: bool = False
    """Whether random histories have to find the fault, too."""
