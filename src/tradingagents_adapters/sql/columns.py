"""How values of the domain go into columns."""

from typing import Any

from sqlalchemy import BindParameter, Table, bindparam

from tradingagents_core.domain.parameters import INTEGER_MAX


def column_parameters(table: Table, *names: str) -> dict[str, BindParameter[Any]]:
    """A parameter for each of these columns, of the same name."""
    return {name: bindparam(name, type_=table.c[name].type) for name in names}


def known_id(number: int) -> int:
    """The number, or 0, which is nobody's id, for a number that no column of ids can hold."""
    return number if 0 < number <= INTEGER_MAX else 0
