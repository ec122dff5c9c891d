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

# The oldest code that may run on this schema: its revision, and the version in which it was or will be released. Code of
# the revision before may run on it when nothing that it reads or writes is taken away or given another meaning.
oldest_revision = ${repr(up_revision)}
oldest_version = ${repr(__version__)}

# The tables that a downgrade drops, with what they hold, or from which it drops a column that nothing can fill again.
drops = ()


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
