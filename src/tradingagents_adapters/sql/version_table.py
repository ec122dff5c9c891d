"""The table with the revision of our schema, as the migrations find it and rename it."""

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, String, column, inspect, select, table, text

from tradingagents_adapters.errors import ConfigurationError
from tradingagents_adapters.sql.old_tables import (
    FIRST_PREFIXED_REVISION,
    OLD_COLUMNS,
    OLD_VERSION_TABLE,
    is_our_version_table,
    may_be_ours,
)
from tradingagents_adapters.sql.tables import VERSION_TABLE


def version_table(connection: Connection) -> str:
    """The name of the table that holds, or will hold, the revision of our schema.

    Before revision 0006 the name is `alembic_version`. Another application's table of that name is ignored.
    """
    inspector = inspect(connection)
    if inspector.has_table(VERSION_TABLE):
        return VERSION_TABLE
    columns = [(row.of_table, row.name) for row in connection.execute(OLD_COLUMNS[connection.dialect.name])]
    if not may_be_ours(columns) or not inspector.has_table(OLD_VERSION_TABLE):
        return VERSION_TABLE
    revisions = connection.scalars(select(column("version_num", String)).select_from(table(OLD_VERSION_TABLE))).all()
    return OLD_VERSION_TABLE if is_our_version_table(revisions, columns) else VERSION_TABLE


def current_revision(connection: Connection) -> str | None:
    """The revision of our schema; None for a database without our schema."""
    return _revision_in(connection, version_table(connection))


def rename_version_table(connection: Connection, name: str) -> None:
    """Give the version table, which has this name now, the name that it has in the migrated schema.

    Without a revision the table is dropped.

    Raises:
        ConfigurationError: another application's table has the new name.
    """
    if not inspect(connection).has_table(name):
        return
    revision = _revision_in(connection, name)
    if revision is None:
        connection.execute(text(f"DROP TABLE {name}"))
        return
    wanted = VERSION_TABLE if revision >= FIRST_PREFIXED_REVISION else OLD_VERSION_TABLE
    if wanted == name:
        return
    inspector = inspect(connection)
    if inspector.has_table(wanted, inspector.default_schema_name):
        raise ConfigurationError(
            f"revision {revision} needs the name {wanted}, which another application's table has in this database; "
            "nothing was changed"
        )
    connection.execute(text(f"ALTER TABLE {name} RENAME TO {wanted}"))
    if connection.dialect.name == "postgresql":
        # Alembic names the index of the primary key after the table.
        connection.execute(text(f"ALTER INDEX IF EXISTS {name}_pkc RENAME TO {wanted}_pkc"))


def _revision_in(connection: Connection, name: str) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table": name}).get_current_revision()
