"""JSON that is sent and read as text, so that no JSON codec of a connection reads or writes the JSON anew."""

from typing import Any

from sqlalchemy import JSON, BindParameter, Column, ColumnElement, Text, bindparam, cast
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


def text_of(column: Column[Any]) -> ColumnElement[str]:
    """The text of a JSON column, under the name of the column."""
    return cast(column, Text).label(column.name)


def json_parameter(name: str) -> ColumnElement[Any]:
    """A parameter of this name for a JSON column. Its value is the text of the JSON."""
    parameter: BindParameter[str] = bindparam(name, type_=Text())
    return _AsJson(parameter)


class _AsJson(FunctionElement[Any]):
    type = JSON()
    inherit_cache = True


@compiles(_AsJson, "postgresql")
def _cast_to_json(element: _AsJson, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS JSON)"


# On SQLite the column holds text, and a cast to JSON would make a number of the text.
@compiles(_AsJson, "sqlite")
def _plain(element: _AsJson, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)
