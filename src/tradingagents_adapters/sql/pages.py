"""Pages of the rows of a user, with the number of all rows."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, Table, bindparam, func, select, true

from tradingagents_adapters.sql.drivers.driver import Row


def counted_page(table: Table, columns: Sequence[Column[Any]], listed: ColumnElement[bool]) -> Select[Any]:
    """A statement that reads `limit` of the `listed` rows after the first `skip` by id, and the number of all of them.

    The number is the last column. A page without rows is one row of nulls and the number.
    """
    page = (
        select(*columns)
        .where(listed)
        .order_by(table.c.id)
        .limit(bindparam("limit"))
        .offset(bindparam("skip"))
        .subquery("page")
    )
    counted = select(func.count().label("total")).select_from(table).where(listed).subquery("counted")
    # One statement, so that items and total are read at the same moment. An empty page still has a total.
    return select(page, counted.c.total).select_from(counted.outerjoin(page, true())).order_by(page.c.id)


def listed_rows(rows: Sequence[Row]) -> tuple[Sequence[Sequence[Any]], int]:
    """The rows of the page without the number, and the number."""
    values = [tuple(row) for row in rows]
    return [row[:-1] for row in values if row[0] is not None], values[0][-1]
