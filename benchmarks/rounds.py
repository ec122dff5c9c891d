"""Rounds: contenders are measured in turns, so that other work on the machine affects all of them alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.load import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The number of rounds, and the duration of one measurement."""

    rounds: int
    seconds: int

    def in_turns(self, measurements: Mapping[str, Callable[[int], Result]]) -> Mapping[str, Result]:
        """Run each measurement once in every round, and return the medians by name."""
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
