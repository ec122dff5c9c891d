"""Values of the domain as parameters of statements."""

from typing import Any

from sqlalchemy import BindParameter, Table, bindparam

from tradingagents_core.domain.parameters import INTEGER_MAX


def column_parameters(table: Table, *names: str) -> dict[str, BindParameter[Any]]:
    """Parameters with the names and types of these columns."""
    return {name: bindparam(name, type_=table.c[name].type) for name in names}


def known_id(number: int) -> int:
    """The number, or 0 for a number beyond the range of ids. No row has the id 0."""
    return number if 0 < number <= INTEGER_MAX else 0
