"""Lists of values as one parameter, so that the text of a statement does not depend on the number of values."""

from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BinaryExpression,
    BindParameter,
    Boolean,
    Column,
    ColumnElement,
    String,
    TableValuedAlias,
    bindparam,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

_VALUE: Final = "value"
"""The column of SQLite's `json_each`. PostgreSQL names the column of `unnest` after the alias."""


def is_any_of(column: Column[Any], name: str) -> ColumnElement[bool]:
    """Whether a column has one of the values in the list parameter of this name."""
    return _IsAnyOf(column, _list_of(name, column.type), operators.in_op, Boolean())


def each_of(name: str, type_: TypeEngine[Any]) -> TableValuedAlias:
    """A table with a row for each value in the list parameter of this name; its column is `value`."""
    return _EachOf(_list_of(name, type_)).table_valued(_VALUE, name=_VALUE)


def _list_of(name: str, type_: TypeEngine[Any]) -> BindParameter[Any]:
    # Text without a length limit: PostgreSQL would truncate longer values, and compare the truncated values.
    return bindparam(name, type_=ARRAY(String() if isinstance(type_, String) else type_))


# A comparison, not a function: on SQLite a function gets "= 1" appended, which prevents the use of an index.
class _IsAnyOf(BinaryExpression[bool]):
    inherit_cache = True


class _EachOf(FunctionElement[Any]):
    inherit_cache = True


@compiles(_IsAnyOf, "postgresql")
def _is_any_of_array(element: _IsAnyOf, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(side, **options) for side in (element.left, element.right))
    return f"{column} = ANY ({values})"


@compiles(_IsAnyOf, "sqlite")
def _is_any_of_json(element: _IsAnyOf, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(side, **options) for side in (element.left, element.right))
    return f"{column} IN (SELECT {_VALUE} FROM json_each({values}))"  # noqa: S608 - no values of callers


@compiles(_EachOf, "postgresql")
def _each_of_array(element: _EachOf, compiler: SQLCompiler, **options: Any) -> str:
    return f"unnest({compiler.process(element.clauses, **options)})"


@compiles(_EachOf, "sqlite")
def _each_of_json(element: _EachOf, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"
