<%! from tradingagents_core import __version__ %>\
"""${message}

Revision: ${up_revision}
Follows: ${down_revision | comma,n}
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

# The revision and the version of the oldest code that may run on this schema. Code of the previous revision may run on it
# where this migration removes nothing that the code reads or writes, and changes no meaning.
oldest_revision = ${repr(up_revision)}
oldest_version = ${repr(__version__)}

# The tables that a downgrade drops with their rows, or from which it drops a column whose data cannot be restored.
drops = ()


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
