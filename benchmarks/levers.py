"""Levers: the gain of each optimization that can be turned off."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from benchmarks import calls, report
from benchmarks.contenders import SERVICE
from benchmarks.databases import Contents, Server
from benchmarks.load import Load
from benchmarks.rounds import Pace

PACE: Final = Pace(rounds=3, seconds=2)

CONTENTS: Final = Contents(owners=16, strategies_each=100)

_PLAIN: Final = ("--no-access-log", "--no-server-header", "--log-level", "warning")

OFF: Final = (
    replace(SERVICE, name="as it is"),
    replace(SERVICE, name="without the cache of callers", variables={"IDENTITY_CACHE_SECONDS": "0"}),
    replace(SERVICE, name="with the access log", command=(*SERVICE.command, "--access-log")),
    replace(SERVICE, name="with Python's default GC", command=("uvicorn", "benchmarks.default_gc:app", *_PLAIN)),
    replace(
        SERVICE,
        name="with asyncio's loop and h11",
        command=("uvicorn", "tradingagents_service.asgi:app", "--loop", "asyncio", "--http", "h11", *_PLAIN),
    ),
)


def measured(servers: Sequence[Server], pace: Pace) -> Iterator[str]:
    """The tables, as soon as each is measured."""
    yield "### Levers"
    yield report.paragraph(
        f"GET one, with one lever turned off at a time. {report.RATES}, and the ratio to all levers turned on."
    )
    yield report.side_by_side({each.kind: _measured(each, pace) for each in servers})


def _measured(server: Server, pace: Pace) -> Mapping[str, str]:
    report.tell(f"{server.kind}: levers")
    reads = [calls.get_one(owner, strategy) for owner in (1, 2, 3) for strategy in CONTENTS.strategies_of(owner)]
    with ExitStack() as stack:
        loads = {
            each.name: Load(stack.enter_context(each.serving_fresh(server, CONTENTS)).client, reads) for each in OFF
        }
        results = pace.in_turns(loads)
    whole = results[OFF[0].name].per_second
    return {name: f"{result}: {result.per_second / whole:.2f}" for name, result in results.items()}
