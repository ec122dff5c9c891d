"""Values of SQLite's columns, which have no types for times and lists."""

import json
from datetime import UTC, datetime
from typing import Any


def time_of_column(value: Any) -> datetime:
    """The time in a column of SQLite: aware, and in UTC."""
    return datetime.fromisoformat(f"{value}Z")


def as_column(value: object) -> object:
    """A value as a parameter of a statement on SQLite."""
    match value:
        case datetime():
            return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
        case list():
            # A list is one parameter, which `json_each` reads.
            return json.dumps(value)
        case _:
            return value
