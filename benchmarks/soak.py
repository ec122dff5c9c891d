"""Soak: whether memory, connections, open files and latencies stay flat under a long mixed load."""

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from statistics import median
from threading import Event
from typing import Final

import httpx
import psutil

from benchmarks import calls, report
from benchmarks.contenders import SERVICE
from benchmarks.databases import Server
from benchmarks.load import Load, Result
from benchmarks.requests import ask, log_in
from benchmarks.throughput import CONTENTS, operations

SECONDS: Final = 600
SECONDS_MIN: Final = 20

MIB_TIMES: Final = 1.05
MIB_MORE: Final = 4
P99_TIMES: Final = 1.5
"""The allowed growth from the first to the last quarter. Connections and open files may not grow at all."""

_INTERVALS: Final = 120
"""The number of intervals, each of at least one second."""

_CONNECTIONS: Final = 8
"""More than the idle connections that a process keeps, so that it opens and closes some."""

_SHARES: Final = {"GET one": 12, "page of 20": 4, "page of 100": 1, "PUT": 3}
_SECONDS_BETWEEN_VISITS: Final = 0.5
_SECONDS_TO_SETTLE: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The result of an interval, and the resources of the idle process after the interval."""

    result: Result
    mib: float
    connections: int
    files: int

    def __str__(self) -> str:
        return f"{self.result}, {self.mib:.1f} MiB, {self.connections} connections, {self.files} open files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The first and last value of one measure, and the limit of the last."""

    name: str
    first: float
    last: float
    limit: float

    @property
    def is_flat(self) -> bool:
        """Whether the last value is within its limit."""
        return self.last <= self.limit

    @property
    def row(self) -> Sequence[str]:
        """A row of the table."""
        numbers = (f"{each:.1f}".removesuffix(".0") for each in (self.first, self.last, self.limit))
        return self.name, *numbers, "flat" if self.is_flat else "**not flat**"


def watch(servers: Sequence[Server], seconds: int) -> Mapping[str, Sequence[Sample]]:
    """Keep a service busy on each server, all at the same time, and return the samples by kind of server."""
    stop = Event()
    with ThreadPoolExecutor() as watchers:
        try:
            watched = {each.kind: watchers.submit(_watch, each, seconds, stop) for each in servers}
            wait(watched.values(), return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
    return {kind: each.result() for kind, each in watched.items()}


def judge(samples: Sequence[Sample]) -> Sequence[Judged]:
    """Compare the last quarter with the first. The first tenth is left out, since the service warms up."""
    warm = samples[len(samples) // 10 :]
    quarter = len(warm) // 4

    def judged(
        name: str,
        measure: Callable[[Sample], float],
        summed_up: Callable[[Iterable[float]], float],
        *,
        times: float = 1,
        more: float = 0,
    ) -> Judged:
        first, last = (summed_up([measure(each) for each in some]) for some in (warm[:quarter], warm[-quarter:]))
        return Judged(name=name, first=first, last=last, limit=first * times + more)

    return (
        judged("resident memory, MiB", lambda each: each.mib, median, times=MIB_TIMES, more=MIB_MORE),
        judged("connections to the database", lambda each: each.connections, max),
        judged("open files", lambda each: each.files, max),
        judged("p99, milliseconds", lambda each: each.result.p99, median, times=P99_TIMES),
    )


def table(judged: Sequence[Judged]) -> str:
    """The table of the judged values."""
    return report.table(["", "first quarter", "last quarter", "at most", ""], [each.row for each in judged])


def _watch(server: Server, seconds: int, stop: Event) -> Sequence[Sample]:
    requests = {each.name: itertools.cycle(each.requests) for each in operations()}
    turns = [name for name, share in _SHARES.items() for _ in range(share)]
    mixture = [next(requests[name]) for _ in range(100) for name in turns]
    samples: list[Sample] = []
    with server.fresh(CONTENTS) as url, SERVICE.serving(url) as running, ThreadPoolExecutor(1) as beside:
        process = psutil.Process(running.process.pid)
        load = Load(running.client, mixture, _CONNECTIONS)
        visits = itertools.count(1)
        end = time.monotonic() + seconds
        while time.monotonic() < end and not stop.is_set():
            result = beside.submit(load, max(1, seconds // _INTERVALS))
            while not result.done():
                _visit(running.client, next(visits))
                stop.wait(_SECONDS_BETWEEN_VISITS)
            time.sleep(_SECONDS_TO_SETTLE)
            samples.append(
                Sample(
                    result=result.result(),
                    mib=process.memory_info().rss / 2**20,
                    connections=server.connections(url, process),
                    files=process.num_fds(),
                )
            )
            if len(samples) % 10 == 0:
                report.tell(f"{server.kind}: {end - time.monotonic():.0f} s to go: {samples[-1]}")
    return samples


def _visit(client: httpx.Client, number: int) -> None:
    """Log in; create, read and delete a strategy; check that the strategy is deleted."""
    owner = 1 + number % CONTENTS.owners
    ask(client, log_in(owner))
    strategy = ask(client, calls.create(owner), number).json()["id"]
    ask(client, calls.get_one(owner, strategy))
    ask(client, calls.delete(owner, strategy))
    ask(client, replace(calls.get_one(owner, strategy), status=404))
