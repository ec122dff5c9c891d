"""Load from another process: wrk keeps its connections busy and counts responses."""

import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from benchmarks.requests import Request, ask, authorization_of

CONNECTIONS: Final = 16
"""The default number of connections."""

_SCRIPT: Final = Path(__file__).with_name("load.lua")
_SLOWEST_SECONDS: Final = 30
"""A request without a response after this time has failed."""

_SPREAD: Final = 10_000_000
"""More numbers than one run uses."""

_runs: Final = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of a load. Latencies are in milliseconds."""

    per_second: float
    p50: float
    p99: float

    def __str__(self) -> str:
        return f"{self.per_second:,.0f} ({self.p50:.1f}, {self.p99:.1f})"


def check_installed() -> None:
    """Exit with one line on standard error if wrk is missing."""
    if shutil.which("wrk") is None:
        sys.exit("error: the benchmarks need wrk: apt-get install wrk (Debian, Ubuntu), brew install wrk (macOS)")


@dataclass(frozen=True, slots=True)
class Load:
    """Requests that clients send to a server again and again."""

    client: httpx.Client
    """A client with the URL of the server."""
    requests: Sequence[Request]
    connections: int = CONNECTIONS

    def __call__(self, seconds: int) -> Result:
        """Run the load for this many seconds. Fail if a status is not expected."""
        first = next(_runs) * _SPREAD
        # Check the first responses, since wrk only counts errors, and let the server open its connections.
        with ThreadPoolExecutor(self.connections) as callers:
            numbers = range(first, first + self.connections)
            list(callers.map(partial(ask, self.client), itertools.cycle(self.requests), numbers))
        measured = self._wrk(seconds, first + self.connections)
        assert measured["requests"] > 0, f"{self.requests[0].path}: no answer"
        assert measured["refused"] == measured["broken"] == 0, f"{self.requests[0].path}: {measured}"
        return Result(
            per_second=measured["requests"] / measured["microseconds"] * 1e6,
            p50=measured["p50"] / 1000,
            p99=measured["p99"] / 1000,
        )

    def _wrk(self, seconds: int, first_number: int) -> Mapping[str, float]:
        """Run wrk, and return the results that `load.lua` prints."""
        with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
            for each in self.requests:
                authorization = authorization_of(self.client, each)
                line = (each.method, each.path, authorization, each.content_type, each.source, each.body)
                print(*line, sep="\t", file=file)
            file.flush()
            pace = ("-t1", f"-c{self.connections}", f"-d{seconds}s", "--timeout", f"{_SLOWEST_SECONDS}s")
            script = ("-s", str(_SCRIPT), str(self.client.base_url), "--", file.name, str(first_number))
            ended = subprocess.run(["wrk", *pace, *script], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        measured: Mapping[str, float] = json.loads(ended.stdout.splitlines()[-1])
        return measured
