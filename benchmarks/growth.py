"""Growth: the cost of a request among a thousand strategies and among a million."""

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Final

from benchmarks import calls, report
from benchmarks.contenders import SERVICE
from benchmarks.databases import Contents, Server
from benchmarks.load import Load
from benchmarks.requests import Request
from benchmarks.rounds import Pace

PACE: Final = Pace(rounds=3, seconds=2)

SMALL: Final = Contents(owners=10, strategies_each=100)
LARGE: Final = Contents(owners=10_000, strategies_each=100, strategies_of_one_more=100_000)
TIMES_THE_COST: Final = 1.3

_STRATEGIES: Final = 1_000
"""The number of strategies that are read, chosen at random; in the small database all."""

_FIRST_PAGE: Final = 20


def measured(servers: Sequence[Server], pace: Pace) -> Iterator[str]:
    """The tables, as soon as each is measured."""
    yield "### Growth"
    yield report.paragraph(
        f"{report.RATES}. The small database holds {SMALL.owners} owners with {SMALL.strategies_each} strategies each;"
        f" the large database holds {LARGE.owners:,} owners with {LARGE.strategies_each} strategies each, and one"
        f" owner with {LARGE.strategies_of_one_more:,}. The first rows are about random strategies of all owners. The"
        " other rows are about one owner of the small database, and about the largest owner of the large database."
    )
    for server in servers:
        yield f"#### {server.kind}"
        yield report.table(["", "small", "large", "times the cost"], _rows(server, pace))


def _rows(server: Server, pace: Pace) -> Iterator[Sequence[str]]:
    report.tell(f"{server.kind}: storing {LARGE.owners * LARGE.strategies_each:,} strategies")
    with SERVICE.serving_fresh(server, SMALL) as small, SERVICE.serving_fresh(server, LARGE) as large:
        all_owners = _requests(SMALL, range(1, SMALL.owners + 1)), _requests(LARGE, range(1, LARGE.owners + 1))
        one_owner = _requests(SMALL, range(1, 2)), _requests(LARGE, range(LARGE.owners + 1, LARGE.owners + 2))
        for whose, (of_small, of_large) in {"": all_owners, " of one owner": one_owner}.items():
            for name in of_small:
                report.tell(f"{server.kind}: {name}{whose}")
                loads = {"small": Load(small.client, of_small[name]), "large": Load(large.client, of_large[name])}
                results = pace.in_turns(loads)
                times = results["small"].per_second / results["large"].per_second
                cost = report.at_most(TIMES_THE_COST, times)
                yield f"{name}{whose}", str(results["small"]), str(results["large"]), cost


def _requests(contents: Contents, owners: range) -> Mapping[str, Sequence[Request]]:
    """The requests about strategies of these owners."""
    strategies = [(owner, strategy) for owner in owners for strategy in contents.strategies_of(owner)]
    chosen = Random(0).sample(strategies, min(len(strategies), _STRATEGIES))
    return {
        "GET one": [calls.get_one(owner, strategy) for owner, strategy in chosen],
        f"page of {_FIRST_PAGE}": [calls.page(owner, _FIRST_PAGE) for owner, _ in chosen],
        "create": [calls.create(owner) for owner, _ in chosen],
    }
