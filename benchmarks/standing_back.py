"""Standing back: the best schedule for the threads that hash passwords, on idle and on busy cores."""

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from processes import Server as Running

from benchmarks import calls, report
from benchmarks.contenders import SERVICE, Contender
from benchmarks.databases import Contents, Server
from benchmarks.load import Load, Result
from benchmarks.requests import log_in
from benchmarks.rounds import Pace

PACE: Final = Pace(rounds=3, seconds=3)

AT_ONCE: Final = 8
"""The number of clients that log in at once, each from a separate address."""

READERS: Final = 4

CONTENTS: Final = Contents(owners=AT_ONCE, strategies_each=10)

SCHEDULES: Final = {
    "like other threads": ("OTHER", 0),
    "niceness 5": ("OTHER", 5),
    "niceness 10": ("OTHER", 10),
    "niceness 19": ("OTHER", 19),
    "SCHED_BATCH": ("BATCH", 0),
    "SCHED_BATCH, niceness 5": ("BATCH", 5),
    "SCHED_BATCH, niceness 10": ("BATCH", 10),
}
"""The scheduling policy and niceness of the threads that hash passwords."""

_HEAD_START_SECONDS: Final = 1
_LONGEST_SECONDS: Final = 120
"""The time after which a process that keeps a core busy ends, even if its parent process was killed."""


@dataclass(frozen=True, slots=True)
class _Measured:
    logins: Result
    readers: Result


def measured(servers: Sequence[Server], pace: Pace) -> Iterator[str]:
    """The tables, as soon as each is measured."""
    cores = os.cpu_count() or 1
    yield "### Standing back"
    yield report.paragraph(
        f"{report.RATES}. {AT_ONCE} clients log in, each from a separate address, while {READERS} clients send GET one,"
        f" on {servers[0].kind}. Busy cores run {cores} processes that only spin."
    )
    readers_alone: dict[str, Result] = {}
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(_scheduled(*schedule).serving_fresh(servers[0], CONTENTS))
            for name, schedule in SCHEDULES.items()
        }
        found: dict[str, dict[str, _Measured]] = {}
        for cores_are, spinning in (("idle", 0), ("busy", cores)):
            results: dict[str, list[_Measured]] = {name: [] for name in SCHEDULES}
            alone: list[Result] = []
            for number in range(pace.rounds):
                report.tell(f"cores are {cores_are}: round {number + 1} of {pace.rounds}")
                with _busy(spinning):
                    alone.append(_readers(next(iter(running.values())))(pace.seconds))
                for name, each in running.items():
                    with _busy(spinning):
                        results[name].append(_beside_each_other(each, pace.seconds))
            readers_alone[cores_are] = _median(alone)
            found[cores_are] = {
                name: _Measured(_median([each.logins for each in many]), _median([each.readers for each in many]))
                for name, many in results.items()
            }
    yield report.table(
        ["", *(f"{what}, {cores_are}" for cores_are in found for what in ("logins", "GET one"))],
        [
            ["GET one, alone", *(text for each in readers_alone.values() for text in ("", str(each)))],
            *(
                [
                    name,
                    *(text for each in found.values() for text in (str(each[name].logins), str(each[name].readers))),
                ]
                for name in SCHEDULES
            ),
        ],
    )


def _scheduled(policy: str, niceness: int) -> Contender:
    return replace(
        SERVICE,
        command=("uvicorn", "benchmarks.scheduled:app", "--no-access-log", "--log-level", "warning"),
        variables={"BENCHMARK_POLICY": policy, "BENCHMARK_NICENESS": str(niceness)},
    )


def _readers(running: Running) -> Load:
    return Load(running.client, [calls.get_one(owner, CONTENTS.strategies_of(owner)[0]) for owner in (1, 2)], READERS)


def _beside_each_other(running: Running, seconds: int) -> _Measured:
    logins = Load(running.client, [log_in(owner) for owner in range(1, AT_ONCE + 1)], AT_ONCE)
    with ThreadPoolExecutor() as beside:
        logging_in = beside.submit(logins, seconds + 2 * _HEAD_START_SECONDS)
        time.sleep(_HEAD_START_SECONDS)
        reading = _readers(running)(seconds)
        return _Measured(logging_in.result(), reading)


@contextmanager
def _busy(processes: int) -> Iterator[None]:
    """Keep this many cores busy until the block ends."""
    context = multiprocessing.get_context("spawn")
    spinning = [context.Process(target=_spin, args=(_LONGEST_SECONDS,), daemon=True) for _ in range(processes)]
    for each in spinning:
        each.start()
    try:
        yield
    finally:
        for each in spinning:
            each.kill()
            each.join()


def _spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def _median(results: Sequence[Result]) -> Result:
    return Result(
        per_second=median(each.per_second for each in results),
        p50=median(each.p50 for each in results),
        p99=median(each.p99 for each in results),
    )
