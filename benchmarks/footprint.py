"""Footprint: the time of a start, memory, and the gain of more workers."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Final

import psutil
from processes import Server as Running

from benchmarks import report
from benchmarks.contenders import SERVICE
from benchmarks.databases import Server
from benchmarks.load import Load
from benchmarks.rounds import Pace
from benchmarks.throughput import CONTENTS, all_in_turn, operations

PACE: Final = Pace(rounds=3, seconds=2)

READY_SECONDS: Final = 2
WORKER_MIB: Final = 120
WORKERS: Final = 4

_CONNECTIONS: Final = 64
"""Enough connections that every worker serves some of them."""


def measured(servers: Sequence[Server], pace: Pace) -> Iterator[str]:
    """The tables, as soon as each is measured."""
    yield "### Footprint"
    yield report.paragraph(
        "A start is the time from the command to the first response of `/health`, on a database whose schema is up to"
        " date. Memory is the resident memory of a worker after a load of all routes; of several workers, the largest"
        f" counts. {_CONNECTIONS} connections send requests to {WORKERS} workers, and to one worker, on"
        f" {os.cpu_count()} cores, which the load generator and the database use, too."
    )
    yield report.side_by_side({each.kind: _measured(each, pace) for each in servers})


def _measured(server: Server, pace: Pace) -> Mapping[str, str]:
    with server.fresh(CONTENTS) as url:
        report.tell(f"{server.kind}: starts")
        ready = median(_seconds_to_start(url) for _ in range(pace.rounds))
        with SERVICE.serving(url) as one, SERVICE.serving(url, "--workers", str(WORKERS)) as several:
            several.wait_for_output("Application startup complete", times=WORKERS)
            report.tell(f"{server.kind}: {WORKERS} workers and one")
            get_one = {
                name: Load(running.client, operations()[0].requests, _CONNECTIONS)
                for name, running in (("one", one), ("several", several))
            }
            results = pace.in_turns(get_one)
            for running in (one, several):
                Load(running.client, all_in_turn(), _CONNECTIONS)(pace.rounds * pace.seconds)
            mib_of_one, mib_of_several = max(_mib_of_workers(one)), max(_mib_of_workers(several))
    return {
        "seconds to start": report.at_most(READY_SECONDS, ready),
        "MiB of the worker": report.at_most(WORKER_MIB, mib_of_one, decimals=0),
        f"MiB of each of {WORKERS} workers": report.at_most(WORKER_MIB, mib_of_several, decimals=0),
        "GET one, one worker": str(results["one"]),
        f"GET one, {WORKERS} workers": str(results["several"]),
        "times one worker": f"{results['several'].per_second / results['one'].per_second:.2f}",
    }


def _seconds_to_start(url: str) -> float:
    begin = time.monotonic()
    with SERVICE.serving(url):
        return time.monotonic() - begin


def _mib_of_workers(running: Running) -> Sequence[float]:
    """The resident memory of each worker. A single worker is the process itself."""
    process = psutil.Process(running.process.pid)
    workers = [each for each in process.children() if "resource_tracker" not in " ".join(each.cmdline())]
    return [each.memory_info().rss / 2**20 for each in workers or [process]]
