"""The tables before revision 0006, whose names other applications use, too: how ours are told from theirs."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from sqlalchemy import TextClause, text

from tradingagents_adapters.sql.tables import schema_needs

FIRST_PREFIXED_REVISION: Final = "0006"
"""The first revision whose tables all have names that begin with `tradingagents_`."""

OLD_VERSION_TABLE: Final = "alembic_version"
"""The table with the revision before 0006, unless the table is another application's."""

_COLUMNS_ADDED_BY: Final[Mapping[str, Collection[tuple[str, str]]]] = {
    "0001": [
        *(("users", name) for name in ("id", "email", "password_hash", "is_active", "created_at", "updated_at")),
        *(("strategies", name) for name in ("id", "owner_id", "name", "description", "parameters", "is_active")),
    ],
    "0003": [("users", "strategy_count"), ("users", "active_strategy_count")],
    "0004": [(schema_needs.name, name) for name in schema_needs.columns.keys()],  # noqa: SIM118
}
"""By the revision: pairs of a table and a column that distinguish our tables from another application's."""

_TABLES: Final = ("users", "strategies", schema_needs.name)

OLD_COLUMNS: Final[Mapping[str, TextClause]] = {
    "sqlite": text(
        f"""
SELECT found.name AS of_table, found_column.name AS name
FROM sqlite_schema AS found JOIN pragma_table_info(found.name) AS found_column
WHERE found.name IN {_TABLES}
"""  # noqa: S608 - constants only
    ),
    "postgresql": text(
        f"""
SELECT wanted.name AS of_table, CAST(attname AS text) AS name
FROM unnest(ARRAY[{", ".join(f"'{name}'" for name in _TABLES)}]) AS wanted (name)
JOIN pg_catalog.pg_attribute ON attrelid = to_regclass(wanted.name)
WHERE attnum > 0 AND NOT attisdropped
"""  # noqa: S608 - constants only
    ),
}
"""By the dialect: selects the columns of all tables with our old names, ours or another application's."""


def may_be_ours(columns: Iterable[tuple[str, str]]) -> bool:
    """Whether these pairs of a table and a column include all columns of revision 0001."""
    return set(_COLUMNS_ADDED_BY["0001"]) <= set(columns)


def is_our_version_table(revisions: Iterable[str], columns: Iterable[tuple[str, str]]) -> bool:
    """Whether a table `alembic_version` with these revisions is ours, in a database with these columns.

    All its revisions are numbers before 0006, and the columns include those of the newest of these revisions.
    """
    found = sorted(revisions)
    if not found or not all(
        re.fullmatch(r"\d{4}", each) and "0001" <= each < FIRST_PREFIXED_REVISION for each in found
    ):
        return False
    expected = [each for revision, added in _COLUMNS_ADDED_BY.items() if revision <= found[-1] for each in added]
    return set(expected) <= set(columns)
