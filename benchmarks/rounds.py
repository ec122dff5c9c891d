"""Rounds: what is compared is measured in turns, so that whatever else the machine does hits all alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.load import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many rounds there are, and how long one measurement takes."""

    rounds: int
    seconds: int

    def in_turns(self, measurements: Mapping[str, Callable[[int], Result]]) -> Mapping[str, Result]:
        """Take each measurement for so many seconds in every round; the medians, by name."""
        results: dict[str, list[Result]] = {name: [] for name in measurements}
        for _ in range(self.rounds):
            for name, measure in measurements.items():
                results[name].append(measure(self.seconds))
        return {name: _median(each) for name, each in results.items()}


def _median(results: Sequence[Result]) -> Result:
    return Result(
        per_second=median(each.per_second for each in results),
        p50=median(each.p50 for each in results),
        p99=median(each.p99 for each in results),
    )
