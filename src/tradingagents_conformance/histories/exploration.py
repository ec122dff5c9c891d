"""The limits and the statistics of a run of many histories."""

from dataclasses import dataclass, field
from typing import Final

MUCH_SLOWER: Final = 10
"""After a hang, an operation that takes so many times as long as the slowest one counts as hanging, too."""


@dataclass(kw_only=True)
class Exploration:
    """The limits and the statistics of a run of many histories."""

    patience: float
    """Seconds after which an operation counts as hanging."""

    a_while: float
    """Seconds that a cancelled operation has for its end, and the least patience after the first hang."""

    histories: int = 0
    blocks: int = 0
    steps: int = 0
    refusals: int = 0
    states: set[str] = field(default_factory=set)
    slowest: float = 0
    """Seconds of the slowest operation that ended."""

    def note_hang(self) -> None:
        """An operation hangs. Shorter histories will hang, too: do not wait so long for each of them."""
        self.patience = min(self.patience, max(self.a_while, MUCH_SLOWER * self.slowest))

    def __str__(self) -> str:
        return (
            f"{self.histories} histories, {self.blocks} blocks, {self.steps} steps ({self.refusals} refused), "
            f"{len(self.states)} different states"
        )
