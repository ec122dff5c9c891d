"""Whether a PostgreSQL server lets the service do its work: what is found out before the first request is."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Executable, text

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.database import Database
from tradingagents_adapters.sql.drivers.driver import Row
from tradingagents_adapters.sql.errors import quoted
from tradingagents_adapters.sql.tables import login_failures, metadata, owners, schema_needs, strategies, users

ENCODING: Final = "UTF8"

_RIGHTS: Final[Mapping[str, Sequence[str]]] = {
    users.name: ("SELECT", "UPDATE"),
    owners.name: ("SELECT", "INSERT", "UPDATE"),
    strategies.name: ("SELECT", "INSERT", "UPDATE", "DELETE"),
    login_failures.name: ("SELECT", "INSERT", "UPDATE", "DELETE"),
    schema_needs.name: (),
}
"""What the service does with each table; accounts are added by the commands."""

_PLACE: Final = text(
    """
SELECT current_database() AS database, current_user AS role, current_schema() AS schema,
  current_setting('server_encoding') AS encoding
"""
)

_NAMES: Final = ", ".join(f"('{name}')" for name in _RIGHTS)

# A right to some column is enough to pass: whoever grants columns knows what they do.
_TABLES: Final = text(
    f"""
SELECT wanted.name AS name, current_user AS role, current_schema() AS schema, found.oid IS NOT NULL AS is_there,
  ARRAY(
    SELECT attname FROM pg_catalog.pg_attribute
    WHERE attrelid = found.oid AND attnum > 0 AND NOT attisdropped
  ) AS columns,
  ARRAY(
    SELECT asked FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS asked
    WHERE has_table_privilege(found.oid, asked)
      OR asked <> 'DELETE' AND has_any_column_privilege(found.oid, CASE WHEN asked <> 'DELETE' THEN asked END)
  ) AS rights
FROM (VALUES {_NAMES}) AS wanted (name)
LEFT JOIN pg_catalog.pg_class AS found ON found.oid = to_regclass(wanted.name)
"""  # noqa: S608 - nothing of a stranger's
)

_SEQUENCE: Final = text(
    f"""
SELECT sequence AS name, current_user AS role
FROM (SELECT pg_get_serial_sequence('{strategies.name}', 'id') AS sequence) AS of_strategies
WHERE NOT has_sequence_privilege(sequence, 'USAGE')
"""  # noqa: S608 - nothing of a stranger's
)


async def check_place(database: Database) -> None:
    """Return when the database can hold the service's data, and its role may look into a schema.

    Raises:
        ConfigurationError: an operator has to mend something.
        StoreUnavailable: the database is away or busy.
    """
    for row in await _asked(database, _PLACE):
        check_encoding(row["database"], row["encoding"])
        if row["schema"] is None:
            raise ConfigurationError(
                f"the role {row['role']} may use no schema that its search_path names: "
                f"GRANT USAGE ON SCHEMA public TO {quoted(row['role'])}"
            )


def check_encoding(database: str, encoding: str) -> None:
    """Return when a database of this encoding can hold every text.

    Raises:
        ConfigurationError: it cannot.
    """
    if encoding != ENCODING:
        raise ConfigurationError(
            f"the database {database} has the encoding {encoding}, which does not hold every text: "
            f"CREATE DATABASE ... ENCODING '{ENCODING}' TEMPLATE template0, and name that one in DATABASE_URL"
        )


async def check_no_tables(database: Database) -> None:
    """Return when a database that was never migrated has no table of a name that the service uses.

    Raises:
        ConfigurationError: it has one.
        StoreUnavailable: the database is away or busy.
    """
    for row in await _asked(database, _TABLES):
        if row["is_there"]:
            raise ConfigurationError(
                f"the schema {row['schema']} has a table {row['name']}, which no migration of the service has made: it "
                "is another application's; name a database in DATABASE_URL that is the service's own"
            )


async def check_access(database: Database) -> None:
    """Return when the tables of the newest schema are there, and the role may do with them what the service does.

    Raises:
        ConfigurationError: an operator has to mend something.
        StoreUnavailable: the database is away or busy.
    """
    for row in await _asked(database, _TABLES):
        name, role = row["name"], quoted(row["role"])
        if not row["is_there"]:
            raise ConfigurationError(f"the table {name} is missing in the schema {row['schema']}: restore a backup")
        if lacking := [column.name for column in metadata.tables[name].columns if column.name not in row["columns"]]:
            raise ConfigurationError(
                f"the table {name} has no column {', '.join(lacking)}: it is another application's, or was changed by "
                "hand; name a database in DATABASE_URL that is the service's own"
            )
        if denied := [right for right in _RIGHTS[name] if right not in row["rights"]]:
            raise ConfigurationError(
                f"the role {row['role']} has no right to {', '.join(denied)} on the table {name}: "
                f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {quoted(row['schema'])} TO {role}"
            )
    for row in await _asked(database, _SEQUENCE):
        raise ConfigurationError(
            f"the role {row['role']} has no right to use the sequence {row['name']}: "
            f"GRANT USAGE ON SEQUENCE {row['name']} TO {quoted(row['role'])}"
        )


async def _asked(database: Database, question: Executable) -> Sequence[Row]:
    rows: Sequence[Any] = ()
    if database.dialect_name == "postgresql":
        rows = await database.read_unchecked(question)
    return rows
