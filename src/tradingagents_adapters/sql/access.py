"""Checks of a PostgreSQL database before the first request: encoding, tables, and privileges of the role."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Executable, text

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.database import Database
from tradingagents_adapters.sql.drivers.driver import Row
from tradingagents_adapters.sql.errors import quoted
from tradingagents_adapters.sql.tables import (
    api_keys,
    login_failures,
    metadata,
    owners,
    refresh_tokens,
    schema_needs,
    sessions,
    strategies,
    users,
)

ENCODING: Final = "UTF8"

_PRIVILEGES: Final[Mapping[str, Sequence[str]]] = {
    users.name: ("SELECT", "UPDATE"),
    sessions.name: ("SELECT", "INSERT", "UPDATE", "DELETE"),
    refresh_tokens.name: ("SELECT", "INSERT", "UPDATE", "DELETE"),
    api_keys.name: ("SELECT", "INSERT", "UPDATE", "DELETE"),
    owners.name: ("SELECT", "INSERT", "UPDATE"),
    strategies.name: ("SELECT", "INSERT", "UPDATE", "DELETE"),
    login_failures.name: ("SELECT", "INSERT", "UPDATE", "DELETE"),
    schema_needs.name: (),
}
"""The privileges that the service needs on each table. Only the commands and a registration insert users, and only the
commands delete users."""

_WITH_SEQUENCES: Final = ", ".join(f"('{table.name}')" for table in (strategies, sessions, api_keys))

_ENCODING_AND_SCHEMA: Final = text(
    """
SELECT current_database() AS database, current_user AS role, current_schema() AS schema,
  current_setting('server_encoding') AS encoding
"""
)

_NAMES: Final = ", ".join(f"('{name}')" for name in _PRIVILEGES)

# A privilege on one column is enough: an operator who grants single columns knows why.
_TABLES: Final = text(
    f"""
SELECT wanted.name AS name, current_user AS role, current_schema() AS schema, found.oid IS NOT NULL AS table_exists,
  ARRAY(
    SELECT attname FROM pg_catalog.pg_attribute
    WHERE attrelid = found.oid AND attnum > 0 AND NOT attisdropped
  ) AS columns,
  ARRAY(
    SELECT privilege FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
    WHERE has_table_privilege(found.oid, privilege)
      OR privilege <> 'DELETE'
        AND has_any_column_privilege(found.oid, CASE WHEN privilege <> 'DELETE' THEN privilege END)
  ) AS privileges
FROM (VALUES {_NAMES}) AS wanted (name)
LEFT JOIN pg_catalog.pg_class AS found ON found.oid = to_regclass(wanted.name)
"""  # noqa: S608 - constants only
)

_SEQUENCE: Final = text(
    f"""
SELECT sequence AS name, current_user AS role
FROM (VALUES {_WITH_SEQUENCES}) AS with_sequence (name), pg_get_serial_sequence(name, 'id') AS sequence
WHERE NOT has_sequence_privilege(sequence, 'USAGE')
"""  # noqa: S608 - constants only
)


async def check_encoding_and_schema(database: Database) -> None:
    """Return when the database's encoding holds every text, and the role may use a schema of its search_path.

    Raises:
        ConfigurationError: an operator has to change the database or the role.
        StoreUnavailable: the database is unavailable or busy.
    """
    for row in await _read_on_postgresql(database, _ENCODING_AND_SCHEMA):
        check_encoding(row["database"], row["encoding"])
        if row["schema"] is None:
            raise ConfigurationError(
                f"the role {row['role']} may use no schema that its search_path names: "
                f"GRANT USAGE ON SCHEMA public TO {quoted(row['role'])}"
            )


def check_encoding(database: str, encoding: str) -> None:
    """Return when a database of this encoding can hold every text.

    Raises:
        ConfigurationError: the encoding is not UTF8.
    """
    if encoding != ENCODING:
        raise ConfigurationError(
            f"the database {database} has the encoding {encoding}, which does not hold every text: "
            f"CREATE DATABASE ... ENCODING '{ENCODING}' TEMPLATE template0, and name the new database in DATABASE_URL"
        )


async def check_no_tables(database: Database) -> None:
    """Return when a database that was never migrated has no table with the name of one of the service's tables.

    Raises:
        ConfigurationError: the database has such a table.
        StoreUnavailable: the database is unavailable or busy.
    """
    for row in await _read_on_postgresql(database, _TABLES):
        if row["table_exists"]:
            raise ConfigurationError(
                f"the schema {row['schema']} has a table {row['name']}, which no migration of the service made: "
                "the table is another application's; name a database in DATABASE_URL that is the service's own"
            )


async def check_access(database: Database) -> None:
    """Return when the tables of the newest schema exist, and the role has all privileges that the service needs.

    Raises:
        ConfigurationError: an operator has to change the database or the role.
        StoreUnavailable: the database is unavailable or busy.
    """
    for row in await _read_on_postgresql(database, _TABLES):
        name, role = row["name"], quoted(row["role"])
        if not row["table_exists"]:
            raise ConfigurationError(f"the table {name} is missing in the schema {row['schema']}: restore a backup")
        if missing := [column.name for column in metadata.tables[name].columns if column.name not in row["columns"]]:
            raise ConfigurationError(
                f"the table {name} has no column {', '.join(missing)}: the table is another application's, or was "
                "changed by hand; name a database in DATABASE_URL that is the service's own"
            )
        if denied := [privilege for privilege in _PRIVILEGES[name] if privilege not in row["privileges"]]:
            raise ConfigurationError(
                f"the role {row['role']} has no right to {', '.join(denied)} on the table {name}: "
                f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {quoted(row['schema'])} TO {role}"
            )
    for row in await _read_on_postgresql(database, _SEQUENCE):
        raise ConfigurationError(
            f"the role {row['role']} has no right to use the sequence {row['name']}: "
            f"GRANT USAGE ON SEQUENCE {row['name']} TO {quoted(row['role'])}"
        )


async def _read_on_postgresql(database: Database, statement: Executable) -> Sequence[Row]:
    rows: Sequence[Any] = ()
    if database.dialect_name == "postgresql":
        rows = await database.read_unchecked(statement)
    return rows
