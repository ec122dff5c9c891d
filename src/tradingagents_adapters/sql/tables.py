"""The tables of the newest schema."""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from tradingagents_core.domain.accounts import EMAIL_MAX_LENGTH
from tradingagents_core.domain.strategies import NAME_MAX_LENGTH

PREFIX: Final = "tradingagents_"
"""The prefix of all table names, so that another application's tables can be in the same schema."""

VERSION_TABLE: Final = f"{PREFIX}alembic_version"
"""The table in which alembic keeps the revision of the schema."""

# SQLite generates ids only for a column whose type is exactly INTEGER.
_Id: Final = BigInteger().with_variant(Integer(), "sqlite")

_Time: Final = DateTime(timezone=True)

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

users: Final = Table(
    f"{PREFIX}users",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("email", String(EMAIL_MAX_LENGTH), nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("updated_at", _Time, nullable=False),
    UniqueConstraint("email"),
    sqlite_autoincrement=True,
)

owners: Final = Table(
    f"{PREFIX}owners",
    metadata,
    # The caller supplies the id; the database generates none.
    Column("id", _Id, primary_key=True, autoincrement=False),
    # Each change of a strategy updates the counts (`strategy_changes`), so that reading a total counts no rows.
    Column("strategy_count", Integer, nullable=False),
    Column("active_strategy_count", Integer, nullable=False),
)
"""One row for each owner, inserted by the owner's first write. No foreign key refers to this table, so that all rows of
an owner can be moved to another database."""

strategies: Final = Table(
    f"{PREFIX}strategies",
    metadata,
    # On PostgreSQL the primary key is (owner_id, id). SQLite generates ids only where the id alone is the primary key.
    Column("id", _Id, primary_key=True),
    Column("owner_id", _Id, nullable=False),
    Column("name", String(NAME_MAX_LENGTH), nullable=False),
    Column("description", Text),
    Column("parameters", JSON, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("updated_at", _Time, nullable=False),
    UniqueConstraint("owner_id", "name"),
    Index(None, "owner_id", "id", info={"only_on": "sqlite"}),
    Index(
        f"ix_{PREFIX}strategies_owner_id_id_active",
        "owner_id",
        "id",
        sqlite_where=text("is_active = 1"),
        postgresql_where=text("is_active"),
    ),
    sqlite_autoincrement=True,
)

login_failures: Final = Table(
    f"{PREFIX}login_failures",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", _Time, nullable=False),
    Index(None, "last_at"),
)

# Older releases read this table: its name cannot change.
schema_needs: Final = Table(
    f"{PREFIX}schema_needs",
    metadata,
    Column("revision", String(32), nullable=False),
    Column("oldest_revision", String(32), nullable=False),
    Column("oldest_version", String(32), nullable=False),
    # Makes migrations of code older than 0006 fail: they create an index of this name (see revision 0006).
    Index("ix_strategies_owner_id_id_active", "revision"),
)
"""One row: the schema's revision, and the revision and version of the oldest code that may run on the schema."""


def unique_constraint(table: Table, *columns: str) -> str:
    """The name of the unique constraint on these columns of a table."""
    (name,) = (
        str(constraint.name)
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint) and tuple(constraint.columns.keys()) == columns
    )
    return name
