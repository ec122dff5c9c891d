"""A table that names the oldest code that may run on the schema.

Revision: 0004
Follows: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# The revision and the version of the oldest code that may run on this schema.
oldest_revision = "0003"
oldest_version = "1.0.0"


def upgrade() -> None:
    # `write_schema_needs` writes the row after each migration.
    op.create_table(
        "tradingagents_schema_needs",
        sa.Column("revision", sa.String(32), nullable=False),
        sa.Column("oldest_revision", sa.String(32), nullable=False),
        sa.Column("oldest_version", sa.String(32), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("tradingagents_schema_needs")
