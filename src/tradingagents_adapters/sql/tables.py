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
from tradingagents_core.domain.api_keys import API_KEY_NAME_MAX_LENGTH, SHOWN_LENGTH
from tradingagents_core.domain.secrets import HASH_LENGTH
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

# No foreign key refers to users: the statement that removes a user also removes these rows (`account_removals`). Each
# of these tables has an index on the user and the expiry, which finds all rows of a user, and the expired ones among
# them. A list is sorted by id after that: its total counts all these rows anyway.

sessions: Final = Table(
    f"{PREFIX}sessions",
    metadata,
    # The id alone is the key: a token is looked up by the id of its session.
    Column("id", _Id, primary_key=True),
    Column("user_id", _Id, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("last_used_at", _Time, nullable=False),
    Column("expires_at", _Time, nullable=False),
    Index(None, "user_id", "expires_at"),
    sqlite_autoincrement=True,
)

refresh_tokens: Final = Table(
    f"{PREFIX}refresh_tokens",
    metadata,
    Column("token_hash", String(HASH_LENGTH), primary_key=True),
    # The user of the session, so that the expired tokens of a user are found without a join.
    Column("user_id", _Id, nullable=False),
    Column("session_id", _Id, nullable=False),
    Column("expires_at", _Time, nullable=False),
    Column("used_at", _Time),
    Index(None, "user_id", "expires_at"),
    Index(None, "session_id"),
)

api_keys: Final = Table(
    f"{PREFIX}api_keys",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("user_id", _Id, nullable=False),
    Column("name", String(API_KEY_NAME_MAX_LENGTH), nullable=False),
    # Separated by spaces (RFC 6749, 3.3).
    Column("scopes", Text, nullable=False),
    Column("prefix", String(SHOWN_LENGTH), nullable=False),
    Column("key_hash", String(HASH_LENGTH), nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("expires_at", _Time),
    Column("last_used_at", _Time),
    UniqueConstraint("key_hash"),
    Index(None, "user_id", "expires_at"),
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
