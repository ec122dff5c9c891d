"""The tables, as the newest migration leaves them."""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from tradingagents_core.domain.strategy import NAME_MAX_LENGTH
from tradingagents_core.domain.user import EMAIL_MAX_LENGTH

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
    "users",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("email", String(EMAIL_MAX_LENGTH), nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("updated_at", _Time, nullable=False),
    # Kept by triggers, so that they are right whoever writes, and telling a total costs nothing.
    Column("strategy_count", Integer, nullable=False, server_default="0"),
    Column("active_strategy_count", Integer, nullable=False, server_default="0"),
    UniqueConstraint("email"),
    sqlite_autoincrement=True,
)

strategies: Final = Table(
    "strategies",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("owner_id", _Id, ForeignKey(users.c.id), nullable=False),
    Column("name", String(NAME_MAX_LENGTH), nullable=False),
    Column("description", Text),
    Column("parameters", JSON, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("updated_at", _Time, nullable=False),
    UniqueConstraint("owner_id", "name"),
    Index(None, "owner_id", "id"),
    Index(
        "ix_strategies_owner_id_id_active",
        "owner_id",
        "id",
        sqlite_where=text("is_active = 1"),
        postgresql_where=text("is_active"),
    ),
    sqlite_autoincrement=True,
)

login_failures: Final = Table(
    "login_failures",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", _Time, nullable=False),
    Index(None, "last_at"),
)

# With a name that no other program in the same database has, and that stays: every older release looks for it.
schema_needs: Final = Table(
    "tradingagents_schema_needs",
    metadata,
    Column("revision", String(32), nullable=False),
    Column("oldest_revision", String(32), nullable=False),
    Column("oldest_version", String(32), nullable=False),
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
