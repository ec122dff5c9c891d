"""Logins: their rate compared with hashing alone, and their effect on other requests."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from statistics import quantiles
from typing import Final

from benchmarks import calls, report
from benchmarks.contenders import SERVICE
from benchmarks.databases import PASSWORD, Contents, Server
from benchmarks.load import Load, Result
from benchmarks.requests import ask, log_in
from benchmarks.rounds import Pace
from tradingagents_adapters.argon2_passwords import WAITING_MAX, Argon2PasswordHasher

PACE: Final = Pace(rounds=3, seconds=3)

AT_ONCE: Final = 50
"""The number of clients that log in at once. As many may wait for a thread, so no login is refused."""

READERS: Final = 4
OF_THE_HASH: Final = 0.9
TIMES_ALONE: Final = 5

CONTENTS: Final = Contents(owners=AT_ONCE, strategies_each=10)

HASH: Final = "the hash alone"
LOGINS: Final = "logins"
ALONE: Final = "GET one, alone"
BESIDE: Final = "GET one, beside the logins"

_HEAD_START_SECONDS: Final = 1


def measured(servers: Sequence[Server], pace: Pace) -> Iterator[str]:
    """The tables, as soon as each is measured."""
    assert AT_ONCE <= WAITING_MAX
    yield "### Logins"
    yield report.paragraph(
        f"{report.RATES}. {AT_ONCE} clients log in at once. The hash alone is a process that only verifies passwords,"
        f" {AT_ONCE} at a time, on as many threads as the service. {READERS} clients send GET one. The load generators"
        " use the same cores."
    )
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        yield report.side_by_side({each.kind: _measured(each, process, pace) for each in servers})


def hash_alone(seconds: int) -> Result:
    """Verify passwords for this many seconds, and do nothing else."""
    return asyncio.run(_hash_alone(seconds))


async def _hash_alone(seconds: int) -> Result:
    hasher = Argon2PasswordHasher()
    password_hash = await hasher.hash(PASSWORD)
    latencies: list[float] = []
    start = time.monotonic()

    async def verify_again_and_again() -> None:
        while (begin := time.monotonic()) < start + seconds:
            assert await hasher.verify(password=PASSWORD, password_hash=password_hash)
            latencies.append(time.monotonic() - begin)

    async with asyncio.TaskGroup() as clients:
        for _ in range(AT_ONCE):
            clients.create_task(verify_again_and_again())
    percentiles = quantiles(latencies, n=100)
    return Result(
        per_second=len(latencies) / (time.monotonic() - start), p50=percentiles[49] * 1000, p99=percentiles[98] * 1000
    )


def _measured(server: Server, process: Executor, pace: Pace) -> Mapping[str, str]:
    report.tell(f"{server.kind}: logins")
    owners = range(1, CONTENTS.owners + 1)
    with SERVICE.serving_fresh(server, CONTENTS) as running:
        crowd = Load(running.client, [log_in(owner) for owner in owners], AT_ONCE)
        get_one = [calls.get_one(owner, CONTENTS.strategies_of(owner)[0]) for owner in owners]
        readers = Load(running.client, get_one, READERS)

        def log_in_together(seconds: int) -> Result:
            result = crowd(seconds)
            # This login waits behind the logins that wrk left in the queue: the next measurement starts without them.
            ask(crowd.client, crowd.requests[0])
            return result

        def read_beside_logins(seconds: int) -> Result:
            with ThreadPoolExecutor() as beside:
                logins = beside.submit(log_in_together, seconds + 2 * _HEAD_START_SECONDS)
                time.sleep(_HEAD_START_SECONDS)
                result = readers(seconds)
                assert not logins.done()
                logins.result()
            return result

        results = pace.in_turns(
            {
                HASH: lambda seconds: process.submit(hash_alone, seconds).result(),
                LOGINS: log_in_together,
                ALONE: readers,
                BESIDE: read_beside_logins,
            }
        )
    of_the_hash = results[LOGINS].per_second / results[HASH].per_second
    times_alone = results[BESIDE].p99 / results[ALONE].p99
    return {
        HASH: str(results[HASH]),
        LOGINS: str(results[LOGINS]),
        "logins, of the hash alone": report.at_least(OF_THE_HASH, of_the_hash),
        ALONE: str(results[ALONE]),
        BESIDE: str(results[BESIDE]),
        "p99 beside the logins, times alone": report.at_most(TIMES_ALONE, times_alone, decimals=1),
    }
