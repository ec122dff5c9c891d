"""Levers: what each of those that can be set is worth, by turning it off."""

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
    replace(SERVICE, name="callers are looked for each time", variables={"IDENTITY_CACHE_SECONDS": "0"}),
    replace(SERVICE, name="requests are logged", command=(*SERVICE.command, "--access-log")),
    replace(SERVICE, name="the collector goes through all", command=("uvicorn", "benchmarks.restless:app", *_PLAIN)),
    replace(
        SERVICE,
        name="asyncio's own loop, and h11",
        command=("uvicorn", "tradingagents_service.asgi:app", "--loop", "asyncio", "--http", "h11", *_PLAIN),
    ),
)


def measured(servers: Sequence[Server], pace: Pace) -> Iterator[str]:
    """What comes of it, part by part."""
    yield "### Levers"
    yield report.paragraph(
        f"GET one with one lever turned off at a time. {report.RATES}, and times what it is with all."
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
