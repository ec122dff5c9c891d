"""The oldest code that may run on the schema, said in the database itself.

Revision: 0004
Follows: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# The oldest code that may run on this schema: its revision, and the version in which it was released.
oldest_revision = "0003"
oldest_version = "1.0.0"


def upgrade() -> None:
    # Its row is written after each migration (`write_needs`).
    op.create_table(
        "tradingagents_schema_needs",
        sa.Column("revision", sa.String(32), nullable=False),
        sa.Column("oldest_revision", sa.String(32), nullable=False),
        sa.Column("oldest_version", sa.String(32), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("tradingagents_schema_needs")
