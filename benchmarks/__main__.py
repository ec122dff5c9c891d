"""Measures the service and prints the results: `python -m benchmarks --help`."""

from collections.abc import Iterable
from enum import StrEnum
from itertools import chain
from typing import Annotated, Final

import typer

from benchmarks import against, doors, footprint, growth, levers, load, logins, report, soak, standing_back, throughput
from benchmarks.databases import servers
from benchmarks.rounds import Pace

PARTS: Final = {
    "throughput": throughput,
    "logins": logins,
    "growth": growth,
    "footprint": footprint,
    "levers": levers,
}
Part = StrEnum("Part", list(PARTS))

Rounds = Annotated[int | None, typer.Option(help="How often each measurement is repeated.", min=1)]
Seconds = Annotated[int | None, typer.Option(help="How long one measurement takes.", min=1)]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def main(context: typer.Context) -> None:
    """Measure the speed and the footprint of the service. The exit status is 1 if a response was wrong."""
    if context.invoked_subcommand != "doors":
        load.check_installed()


@app.command("all")
def measure_all() -> None:
    """Measure throughput, logins, growth, footprint and levers, and write the tables to docs/performance.md."""
    with servers() as both:
        parts = (part.measured(both, part.PACE) for part in PARTS.values())
        report.keep(_shown(chain([report.facts(both)], *parts)))


@app.command("quick")
def measure_quick() -> None:
    """Measure throughput in one short round."""
    with servers() as both:
        _shown(throughput.measured(both, Pace(rounds=1, seconds=1), quick=True))


@app.command("only")
def measure_only(
    part: Annotated[Part, typer.Argument(help="What to measure.")], rounds: Rounds = None, seconds: Seconds = None
) -> None:
    """Measure one part, and print its tables."""
    module = PARTS[part]
    with servers() as both:
        _shown(module.measured(both, _pace(module.PACE, rounds, seconds)))


@app.command("standing-back")
def measure_standing_back(rounds: Rounds = None, seconds: Seconds = None) -> None:
    """Compare schedules of the threads that hash passwords, on idle and on busy cores."""
    with servers() as both:
        _shown(standing_back.measured(both, _pace(standing_back.PACE, rounds, seconds)))


@app.command("against")
def measure_against(
    commit: Annotated[str, typer.Argument(help="A git commit.")],
    rounds: Rounds = None,
    seconds: Seconds = None,
) -> None:
    """Compare the throughput of another commit with that of the current files."""
    with servers() as both:
        _shown(against.measured(both, _pace(against.PACE, rounds, seconds), commit))


@app.command("doors")
def measure_doors(rounds: Rounds = None, seconds: Seconds = None) -> None:
    """Compare the engine and the transaction of a host with the drivers, in this process."""
    with servers() as both:
        _shown(doors.measured(both, _pace(doors.PACE, rounds, seconds)))


@app.command("soak")
def watch(
    seconds: Annotated[int, typer.Option(help="How long.", min=soak.SECONDS_MIN)] = soak.SECONDS,
) -> None:
    """Check that memory, connections, open files and latencies stay flat under load. If not, the exit status is 1."""
    with servers() as both:
        watched = soak.watch(both, seconds)
    judged = {kind: soak.judge(samples) for kind, samples in watched.items()}
    _shown(chain.from_iterable((f"### {kind}", soak.table(each)) for kind, each in judged.items()))
    if not all(each.is_flat for of_one in judged.values() for each in of_one):
        raise typer.Exit(1)


def _pace(usual: Pace, rounds: int | None, seconds: int | None) -> Pace:
    return Pace(rounds=rounds or usual.rounds, seconds=seconds or usual.seconds)


def _shown(blocks: Iterable[str]) -> str:
    """Print each block as soon as it is ready, and return all blocks as one text."""
    shown = []
    for block in blocks:
        typer.echo(f"{block}\n")
        shown.append(block)
    return "\n\n".join(shown)


if __name__ == "__main__":
    app()
