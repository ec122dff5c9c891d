"""Throughput of the service at another commit and now: the effect of the changes in between."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from processes import CHECKOUT

from benchmarks import report
from benchmarks.contenders import SERVICE
from benchmarks.databases import Server
from benchmarks.load import CONNECTIONS, Result
from benchmarks.rounds import Pace
from benchmarks.throughput import of_each, operations

PACE: Final = Pace(rounds=6, seconds=1)


def measured(servers: Sequence[Server], pace: Pace, commit: str) -> Iterator[str]:
    """The tables, as soon as each is measured.

    The service of the other commit runs on the installed packages, and on its own schema.
    """
    with _checked_out(commit) as checkout:
        then, now = replace(SERVICE, name=commit, checkout=checkout), replace(SERVICE, name="now")
        yield f"### Throughput against {commit}"
        yield report.paragraph(f"{report.RATES}, {CONNECTIONS} connections.")
        for server in servers:
            results = of_each((then, now), server, operations(), pace)
            yield f"#### {server.kind}"
            yield report.table(
                ["", then.name, now.name, "times"],
                (_row(operation, of_both[then.name], of_both[now.name]) for operation, of_both in results.items()),
            )


def _row(operation: str, then: Result, now: Result) -> Sequence[str]:
    return operation, str(then), str(now), f"{now.per_second / then.per_second:.2f}"


@contextmanager
def _checked_out(commit: str) -> Iterator[Path]:
    """A temporary folder with the files of a commit."""
    with TemporaryDirectory(prefix="benchmark-") as folder:
        archive = subprocess.run(["git", "archive", commit], cwd=CHECKOUT, capture_output=True, check=False)
        if archive.returncode != 0:
            sys.exit(f"error: git has no commit {commit!r} here")
        subprocess.run(["tar", "--extract", "--directory", folder], input=archive.stdout, check=True)
        yield Path(folder)
