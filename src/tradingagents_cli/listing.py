"""Lists: tables for people, JSON for scripts."""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Final, TypeVar

import orjson
import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from tradingagents_core.domain.page import PAGE_LIMIT_MAX, Page

AsJson = Annotated[bool, typer.Option("--json", help="Print a JSON array, for scripts.")]

_GAP: Final = 2
"""Spaces between two columns."""

_LONG_MIN: Final = 8
"""The least width of a column whose words may be divided."""

T = TypeVar("T")


async def all_pages(read: Callable[[int, int], Awaitable[Page[T]]]) -> list[T]:
    """All items of a list that is read in pages. `read` takes `skip` and `limit`."""
    items: list[T] = []
    while True:
        page = await read(len(items), PAGE_LIMIT_MAX)
        items += page.items
        if not page.items or len(items) >= page.total:
            return items


def print_json(rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows as a JSON array of objects. Times are UTC, in whole seconds with `Z`, as over HTTP."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS
    typer.echo(orjson.dumps(rows, option=options))


def print_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, if_empty: str, long: str | None = None
) -> None:
    """Print a table. If a list has no rows, only the message `if_empty` is printed, on standard error.

    On a terminal that is too narrow, cells are wrapped between words, and in the column `long` also within words.
    Without a terminal, each row is one line of plain text.
    """
    if not rows:
        typer.echo(if_empty, err=True)
        return
    is_terminal = sys.stdout.isatty()
    # The cells hold text of users: "[red]" and ":smile:" are no markup.
    console = Console(force_terminal=is_terminal, markup=False, emoji=False, highlight=False)
    columns = dict(zip(headings, zip(headings, *rows, strict=True), strict=True))
    needed = {heading: _widest(cells) for heading, cells in columns.items()}
    widths = needed if not is_terminal else _fitted(needed, columns, long=long, available=console.width)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    for heading, width in widths.items():
        table.add_column(heading, overflow="fold", width=width)
    for row in rows:
        table.add_row(*row)
    # A table that is wider than the terminal is not cut: the terminal continues the lines below.
    console.width = _total(widths)
    with console.capture() as captured:
        console.print(table)
    lines = captured.get().removesuffix("\n").split("\n")
    typer.echo("\n".join(line.rstrip() for line in lines))


def _fitted(
    needed: Mapping[str, int], columns: Mapping[str, Sequence[str]], *, long: str | None, available: int
) -> Mapping[str, int]:
    """The widths of the columns of a table that may be too wide; `needed` where the table cannot be narrow enough."""
    if _total(needed) <= available:
        return needed
    narrow = {
        heading: _LONG_MIN if heading == long else _widest(" ".join(cells).split())
        for heading, cells in columns.items()
    }
    left = available - _total(narrow)
    if left < 0:
        return needed
    return {heading: width + left if heading == long else width for heading, width in narrow.items()}


def _total(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + _GAP * (len(widths) - 1)


def _widest(texts: Sequence[str]) -> int:
    return max(cell_len(text) for text in texts)
