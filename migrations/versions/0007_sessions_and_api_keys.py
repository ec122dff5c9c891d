"""Sessions with their refresh tokens, and API keys.

Revision: 0007
Follows: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# The revision and the version of the oldest code that may run on this schema. Older code could read and write the other
# tables, but it would accept the tokens of sessions that have ended, and its commands that change a password or
# deactivate a user would end no session. No version was released between 1.0.0, which needs 0003 to 0005, and 2.0.0.
oldest_revision = "0007"
oldest_version = "2.0.0"

# The tables whose rows a downgrade drops.
drops = ("tradingagents_sessions", "tradingagents_refresh_tokens", "tradingagents_api_keys")

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "tradingagents_sessions",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("last_used_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tradingagents_sessions"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tradingagents_refresh_tokens",
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("session_id", ID, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("used_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("token_hash", name="pk_tradingagents_refresh_tokens"),
    )
    op.create_index("ix_tradingagents_refresh_tokens_session_id", "tradingagents_refresh_tokens", ["session_id"])
    op.create_table(
        "tradingagents_api_keys",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("prefix", sa.String(11), nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=True),
        sa.Column("last_used_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_tradingagents_api_keys"),
        sa.UniqueConstraint("key_hash", name="uq_tradingagents_api_keys_key_hash"),
        sqlite_autoincrement=True,
    )
    for table in drops:
        op.create_index(f"ix_{table}_user_id_expires_at", table, ["user_id", "expires_at"])


def downgrade() -> None:
    for table in drops:
        op.drop_table(table)
