"""The search for a history that fails, and for the shortest one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeAlias

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tradingagents_conformance.examples import repeatable
from tradingagents_conformance.histories.history import History, Operation
from tradingagents_conformance.histories.promises import PromiseBroken

NewHistory: TypeAlias = Callable[[], History[Any, Any, Any]]
"""Makes a history that has not run yet."""


class HistoryFailed(AssertionError):
    """A history failed. The message is a report for the author of the store."""


@dataclass(frozen=True)
class _Failure:
    operations: Sequence[Operation]
    events: Sequence[str]
    error: PromiseBroken

    @property
    def length(self) -> tuple[int, int]:
        return len(self.events), sum(map(len, self.events))


class _LookedLongEnough(BaseException):
    """Ends the search for a shorter history. Hypothesis lets only such an exception through."""


class _Search:
    def __init__(self, new_history: NewHistory, *, shrinking: float) -> None:
        self._new_history = new_history
        self._shrinking = shrinking
        self._end = 0.0
        self.shortest: _Failure | None = None
        self.failures = 0

    def run(self, operations: Sequence[Operation]) -> None:
        if self.shortest is not None and monotonic() > self._end:
            raise _LookedLongEnough
        history = self._new_history()
        try:
            history.run(operations)
        except PromiseBroken as error:
            self.failures += 1
            failure = _Failure(operations, history.events, error)
            if self.shortest is None:
                self._end = monotonic() + self._shrinking
            if self.shortest is None or failure.length < self.shortest.length:
                self.shortest = failure
            raise

    def fails_again(self, failure: _Failure) -> bool:
        try:
            self._new_history().run(failure.operations)
        except PromiseBroken:
            return True
        return False


def explore(
    new_history: NewHistory,
    operations: st.SearchStrategy[Operation],
    *,
    histories: int,
    history_length: int,
    shrinking: float,
) -> None:
    """Run this many random histories.

    A whole history is drawn before it runs, so that the draws never depend on what the store does.

    Raises:
        HistoryFailed: a history failed; `shrinking` is how many seconds the search for a shorter history takes.
    """
    search = _Search(new_history, shrinking=shrinking)

    @settings(repeatable(histories), phases=[Phase.generate, Phase.shrink], report_multiple_bugs=False)
    # Lists of one length are long from the start, and `None` makes a history shorter in one step.
    @given(st.lists(st.none() | operations, min_size=history_length, max_size=history_length))
    def run(history: list[Operation | None]) -> None:
        search.run([operation for operation in history if operation is not None])

    try:
        run()
    except (Exception, _LookedLongEnough):
        # Hypothesis also complains about a history that fails only sometimes.
        if search.shortest is None:
            raise
    if search.shortest is not None:
        failure = search.shortest
        again = search.fails_again(failure)
        raise HistoryFailed(_report(failure, search.failures, again=again)) from failure.error.__cause__


def _report(failure: _Failure, failures: int, *, again: bool) -> str:
    cause = failure.error.__cause__
    repeated = (
        "The same history failed again when the test repeated it."
        if again
        else "The same history did not fail when the test repeated it: the fault depends on the order in which tasks, "
        "threads or connections run."
    )
    return "\n".join(
        [
            "A history broke a promise of the port.",
            "",
            f"{failure.error.promise.port} promises:",
            f"    {failure.error.promise.sentence}",
            "",
            f"The shortest of {failures} histories that failed:",
            *[f"    {event}" for event in failure.events],
            "",
            "What was wrong at the end of this history:",
            *[f"    {line}" for line in f"{type(cause).__name__}: {cause}".splitlines()],
            "",
            repeated,
        ]
    )
