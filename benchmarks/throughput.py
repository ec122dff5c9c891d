"""Requests per second and latencies of each route, for each contender."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Final

from processes import Server as Running

from benchmarks import calls, report
from benchmarks.contenders import ALL, FLOOR, ORDINARY, SERVICE, Contender
from benchmarks.databases import Contents, Kind, Server
from benchmarks.load import CONNECTIONS, Load, Result
from benchmarks.requests import Request, ask, log_in
from benchmarks.rounds import Pace

PACE: Final = Pace(rounds=3, seconds=2)

CONTENTS: Final = Contents(owners=32, strategies_each=120)
"""Each owner has more strategies than the longest measured page."""

_READERS: Final = range(1, 17)
_WRITERS: Final = range(17, 33)
_STRATEGIES: Final = range(100)
"""The positions of the strategies of each owner that are read and changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A measured operation, with its aims as ratios to the floor and to the ordinary way."""

    name: str
    requests: Sequence[Request]
    against: str = ""
    """The floor's operation for comparison; empty for the same operation."""
    of_the_floor: Mapping[Kind, float] = field(default_factory=dict)
    times_ordinary: float | None = None
    asks_database: bool = True
    """Whether its duration depends much on the database."""


def operations() -> Sequence[Operation]:
    """The measured operations with their aims."""
    reads = [(owner, CONTENTS.strategies_of(owner)[number]) for number in _STRATEGIES for owner in _READERS]
    writes = [(owner, CONTENTS.strategies_of(owner)[number]) for number in _STRATEGIES for owner in _WRITERS]
    of_the_floor_when_writing: Mapping[Kind, float] = {"SQLite": 1 / 5, "PostgreSQL": 1 / 3}
    return (
        Operation(
            name="GET one",
            requests=[calls.get_one(*each) for each in reads],
            of_the_floor={"SQLite": 1 / 5, "PostgreSQL": 1 / 2},
            times_ordinary=4,
        ),
        *(
            Operation(
                name=f"page of {limit}",
                requests=[calls.page(owner, limit) for owner in _READERS],
                of_the_floor={"SQLite": 1 / 4, "PostgreSQL": 1 / 2},
                times_ordinary=4,
            )
            for limit in (20, 100)
        ),
        Operation(
            name="create",
            requests=[calls.create(owner) for owner in _WRITERS],
            of_the_floor=of_the_floor_when_writing,
            times_ordinary=3,
        ),
        Operation(
            name="PUT",
            requests=[calls.put(*each) for each in writes],
            against="create",
            of_the_floor=of_the_floor_when_writing,
            times_ordinary=3,
        ),
        Operation(name="login", requests=[log_in(owner) for owner in _READERS], asks_database=False),
        Operation(name="/health", requests=[calls.HEALTH], asks_database=False),
    )


def all_in_turn() -> Sequence[Request]:
    """A mixture of all operations in equal parts."""
    requests = [cycle(each.requests) for each in operations()]
    return [next(each) for _ in _STRATEGIES for each in requests]


def measured(servers: Sequence[Server], pace: Pace, *, quick: bool = False) -> Iterator[str]:
    """The tables, as soon as each is measured. `quick` measures operations without the database only once."""
    yield "### Throughput"
    yield report.paragraph(f"{report.RATES}, {CONNECTIONS} connections. PUT is compared with the floor's create.")
    for number, server in enumerate(servers):
        chosen = [each for each in operations() if each.asks_database or number == 0 or not quick]
        results = of_each(ALL, server, chosen, pace)
        yield f"#### {server.kind}"
        yield report.table(
            ["", *(each.name for each in ALL), "of the floor", "times the ordinary way"],
            (_row(each, server.kind, results) for each in chosen),
        )


def of_each(
    contenders: Sequence[Contender], server: Server, chosen: Sequence[Operation], pace: Pace
) -> Mapping[str, Mapping[str, Result]]:
    """The results by the names of operations, and then of contenders."""
    with _running(contenders, server) as running:
        return {each.name: _in_turns(server, each, running, pace) for each in chosen}


@contextmanager
def _running(contenders: Sequence[Contender], server: Server) -> Iterator[Mapping[str, Running]]:
    report.tell(f"{server.kind}: starting {', '.join(each.name for each in contenders)}")
    with ExitStack() as stack:

        def start(contender: Contender) -> Running:
            return stack.enter_context(contender.serving_fresh(server, CONTENTS))

        with ThreadPoolExecutor() as starters:
            started = list(starters.map(start, contenders))
        yield {contender.name: running for contender, running in zip(contenders, started, strict=True)}


def _in_turns(server: Server, operation: Operation, running: Mapping[str, Running], pace: Pace) -> Mapping[str, Result]:
    report.tell(f"{server.kind}: {operation.name}")
    first, *others = (ask(each.client, operation.requests[0]).json() for each in running.values())
    assert all(_alike(each, first) for each in others), f"{operation.name} is answered differently: {first}, {others}"
    return pace.in_turns({name: Load(each.client, operation.requests) for name, each in running.items()})


def _alike(one: Any, other: Any) -> bool:
    """Whether two responses have the same structure. Values may differ, and one response may have additional fields."""
    match one, other:
        case dict(), dict():
            names = one.keys() & other.keys()
            return len(names) == min(len(one), len(other)) and all(_alike(one[name], other[name]) for name in names)
        case list(), list():
            return len(one) == len(other) and all(map(_alike, one, other))
        case _:
            return type(one) is type(other)


def _row(operation: Operation, kind: Kind, results: Mapping[str, Mapping[str, Result]]) -> Sequence[str]:
    of_each = results[operation.name]
    rate = of_each[SERVICE.name].per_second
    of_the_floor = rate / results[operation.against or operation.name][FLOOR.name].per_second
    times_ordinary = rate / of_each[ORDINARY.name].per_second
    return (
        operation.name,
        *(str(of_each[each.name]) for each in ALL),
        report.at_least(operation.of_the_floor.get(kind), of_the_floor),
        report.at_least(operation.times_ordinary, times_ordinary, decimals=1),
    )
