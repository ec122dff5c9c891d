"""The printed report, and its copy in docs/performance.md."""

import os
import platform
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from processes import CHECKOUT

from benchmarks.databases import Server

DOCUMENT: Final = CHECKOUT / "docs" / "performance.md"
BEGIN: Final = "<!-- measured: begin -->"
END: Final = "<!-- measured: end -->"

MISSED: Final = ": **missed**"
RATES: Final = "Requests per second (p50, p99 in milliseconds)"

_PARTS: Final = ("uvicorn", "uvloop", "httptools", "fastapi", "sqlalchemy", "asyncpg", "aiosqlite", "argon2-cffi")


def tell(progress: str) -> None:
    """Print progress on standard error."""
    sys.stderr.write(f"... {progress}\n")


def at_least(aim: float | None, measured: float, *, decimals: int = 2) -> str:
    """The measured value and the aim, if there is an aim."""
    if aim is None:
        return f"{measured:.{decimals}f}"
    return f"{measured:.{decimals}f}, aim ≥ {aim:.{decimals}f}{MISSED if measured < aim else ''}"


def at_most(aim: float, measured: float, *, decimals: int = 2) -> str:
    """The measured value and the aim."""
    return f"{measured:.{decimals}f}, aim ≤ {aim:.{decimals}f}{MISSED if measured > aim else ''}"


def paragraph(text: str) -> str:
    """The text, wrapped like the documents."""
    return textwrap.fill(text, 120, break_on_hyphens=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table that is also readable in a terminal. Numbers are right-aligned."""
    lines = [columns, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(cells, widths) for cells in (lines[0], rule, *lines[1:]))


def side_by_side(columns: Mapping[str, Mapping[str, str]]) -> str:
    """A table of columns with the same rows."""
    names = next(iter(columns.values()))
    return table(["", *columns], ([name, *(column[name] for column in columns.values())] for name in names))


def facts(servers: Iterable[Server]) -> str:
    """The date, machine and versions of the measurements."""
    machine = f"{os.cpu_count()} cores ({platform.system()}, {platform.machine()}), shared with the load generator"
    parts = [
        f"Python {platform.python_version()}",
        *(f"{each.kind} {each.version}" for each in servers),
        *(f"{name} {version(name)}" for name in _PARTS),
    ]
    return paragraph(f"Measured on {datetime.now(UTC):%Y-%m-%d}, on {machine}, with {', '.join(parts)}.")


def keep(measured: str) -> None:
    """Replace the earlier measurements in the document."""
    before, begin, rest = DOCUMENT.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"{DOCUMENT.name} has no place between {BEGIN} and {END}"
    DOCUMENT.write_text(f"{before}{begin}\n\n{measured}\n\n{end}{after}")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers = zip(cells, widths, strict=True)
    return " | ".join(["| " + name[0].ljust(name[1]), *(cell.rjust(width) for cell, width in numbers)]) + " |"
