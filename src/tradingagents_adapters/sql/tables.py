"""The tables, as the newest migration leaves them."""

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
"""What the name of every table begins with, so that they can stand beside the tables of another application."""

VERSION_TABLE: Final = f"{PREFIX}alembic_version"
"""The table in which alembic keeps the revision of the schema."""

# SQLite gives ids of its own only to a column that is INTEGER to the letter.
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
    # The number by which the owner is known elsewhere; the database gives out none.
    Column("id", _Id, primary_key=True, autoincrement=False),
    # Moved by the statement that makes a change (`strategy_changes`), so that a total is looked up and never counted.
    Column("strategy_count", Integer, nullable=False),
    Column("active_strategy_count", Integer, nullable=False),
)
"""One row for each owner, made with the first thing that it owns. No other table refers to it by a foreign key, so that
all rows of an owner can be moved elsewhere."""

strategies: Final = Table(
    f"{PREFIX}strategies",
    metadata,
    # On PostgreSQL the primary key is (owner_id, id). SQLite counts ids up only in a primary key that is the id alone.
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

# Older releases look for it under this name.
schema_needs: Final = Table(
    f"{PREFIX}schema_needs",
    metadata,
    Column("revision", String(32), nullable=False),
    Column("oldest_revision", String(32), nullable=False),
    Column("oldest_version", String(32), nullable=False),
    # Stops code older than revision 0006 from making tables beside these: one of its indexes has this name.
    Index("ix_strategies_owner_id_id_active", "revision"),
)
"""One row: the schema's own revision, and the oldest code that may run on it, by its revision and its version."""


def unique_constraint(table: Table, *columns: str) -> str:
    """The name of the unique constraint on these columns of a table."""
    (name,) = (
        str(constraint.name)
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint) and tuple(constraint.columns.keys()) == columns
    )
    return name
