"""Tables with the prefix `tradingagents_`, and a table of owners with the counts of strategies, without triggers.

Revision: 0006
Follows: 0005
"""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# The revision and the version of the oldest code that may run on this schema.
oldest_revision = "0006"
oldest_version = "2.0.0"

# The tables that this revision renames: old and new names.
renames = {
    "users": "tradingagents_users",
    "strategies": "tradingagents_strategies",
    "login_failures": "tradingagents_login_failures",
}

USERS = "id, email, password_hash, is_active, created_at, updated_at"
STRATEGIES = "id, owner_id, name, description, parameters, is_active, created_at, updated_at"
LOGIN_FAILURES = "key, failures, last_at"
COLUMNS = {"users": USERS, "strategies": STRATEGIES, "login_failures": LOGIN_FAILURES}

# Older code does not know the tables below. On SQLite its start would create empty old tables, and serve from them. One
# of the old indexes has this name, so that the old code's migration fails and is rolled back.
INDEX_THAT_STOPS_OLD_CODE = "ix_strategies_owner_id_id_active"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def on_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


# An empty database gets these tables directly, without those of the older revisions: another application's tables may
# have the old names. A downgrade to base drops these tables directly (`alembic_env.without_old_names`).


def create() -> None:
    create_tables()
    op.create_table(
        "tradingagents_schema_needs",
        sa.Column("revision", sa.String(32), nullable=False),
        sa.Column("oldest_revision", sa.String(32), nullable=False),
        sa.Column("oldest_version", sa.String(32), nullable=False),
    )
    stop_old_code()


def drop() -> None:
    for table in (*renames.values(), "tradingagents_owners", "tradingagents_schema_needs"):
        op.drop_table(table)


def create_tables() -> None:
    op.create_table(
        "tradingagents_users",
        sa.Column("id", ID, nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tradingagents_users"),
        sa.UniqueConstraint("email", name="uq_tradingagents_users_email"),
        sqlite_autoincrement=True,
    )
    create_owners()
    # SQLite generates ids only where the id alone is the primary key.
    key = ("id",) if on_sqlite() else ("owner_id", "id")
    op.create_table(
        "tradingagents_strategies",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("owner_id", ID, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(*key, name="pk_tradingagents_strategies"),
        sa.UniqueConstraint("owner_id", "name", name="uq_tradingagents_strategies_owner_id_name"),
        sqlite_autoincrement=True,
    )
    if on_sqlite():
        op.create_index("ix_tradingagents_strategies_owner_id_id", "tradingagents_strategies", ["owner_id", "id"])
    op.create_index(
        "ix_tradingagents_strategies_owner_id_id_active",
        "tradingagents_strategies",
        ["owner_id", "id"],
        sqlite_where=sa.text("is_active = 1"),
        postgresql_where=sa.text("is_active"),
    )
    op.create_table(
        "tradingagents_login_failures",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_tradingagents_login_failures"),
    )
    op.create_index("ix_tradingagents_login_failures_last_at", "tradingagents_login_failures", ["last_at"])


def create_owners() -> None:
    op.create_table(
        "tradingagents_owners",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("strategy_count", sa.Integer(), nullable=False),
        sa.Column("active_strategy_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tradingagents_owners"),
    )


def stop_old_code() -> None:
    # An existing index of this name, of another application, stops the old code as well.
    op.create_index(INDEX_THAT_STOPS_OLD_CODE, "tradingagents_schema_needs", ["revision"], if_not_exists=True)


def let_old_code_work() -> None:
    if any(
        index["name"] == INDEX_THAT_STOPS_OLD_CODE
        for index in sa.inspect(op.get_bind()).get_indexes("tradingagents_schema_needs")
    ):
        op.drop_index(INDEX_THAT_STOPS_OLD_CODE, table_name="tradingagents_schema_needs")


def upgrade() -> None:
    if on_sqlite():
        # SQLite cannot rename a constraint or drop a foreign key: the rows are copied.
        create_tables()
        for old, new in renames.items():
            copy(old, new)
            op.drop_table(old)
    else:
        rename_on_postgresql()
        create_owners()
    op.execute(
        "INSERT INTO tradingagents_owners (id, strategy_count, active_strategy_count)"
        " SELECT owner_id, count(*), count(CASE WHEN is_active THEN 1 END)"
        " FROM tradingagents_strategies GROUP BY owner_id"
    )
    stop_old_code()


def downgrade() -> None:
    check_downgrade()
    let_old_code_work()
    if on_sqlite():
        run_again("0001", "0002")
        for old, new in renames.items():
            copy(new, old)
            op.drop_table(new)
    else:
        rename_back_on_postgresql()
    op.drop_table("tradingagents_owners")
    # They add the columns of counts, count the strategies, and create the triggers. The table of 0004 still exists.
    run_again("0003", "0005")


def copy(source: str, target: str) -> None:
    """Copy the rows of a table on SQLite, and its sequence of ids, so that ids of removed rows are not reused."""
    columns = COLUMNS[source if source in renames else target]
    of_source = f"FROM sqlite_sequence WHERE name = '{source}'"
    op.execute(f"INSERT INTO sqlite_sequence (name, seq) SELECT '{target}', seq {of_source}")
    op.execute(f"INSERT INTO {target} ({columns}) SELECT {columns} FROM {source} ORDER BY 1")  # noqa: S608


def run_again(*older: str) -> None:
    """Run the upgrades of older revisions again."""
    script = op.get_context().script
    assert script is not None
    for each in older:
        script.get_revision(each).module.upgrade()


def check_downgrade() -> None:
    """Refuse a downgrade where another table has an old name, or where an owner is not a user."""
    inspector = sa.inspect(op.get_bind())
    schema = inspector.default_schema_name
    if taken := [name for name in (*renames, "alembic_version") if inspector.has_table(name, schema)]:
        raise CommandError(
            f"revision 0005 needs the name{'s'[: len(taken) > 1]} {', '.join(taken)}, which another application's "
            "tables have in this database; nothing was changed"
        )
    others = op.get_bind().scalar(
        sa.text(
            "SELECT count(*) FROM tradingagents_strategies WHERE owner_id NOT IN (SELECT id FROM tradingagents_users)"
        )
    )
    if others:
        raise CommandError(
            f"revision 0005 stores strategies of users only, and there are strategies of other owners ({others}); "
            "nothing was changed"
        )


# PostgreSQL


def rename_on_postgresql() -> None:
    # In the order in which changes lock the tables, to avoid a deadlock.
    op.execute("LOCK TABLE users, strategies, login_failures IN ACCESS EXCLUSIVE MODE")
    for name, table in TRIGGERS.items():
        op.execute(f"DROP TRIGGER {name} ON {table}")
        op.execute(f"DROP FUNCTION {name}")
    for name in ("active_strategy_count", "strategy_count"):
        op.drop_column("users", name)
    op.drop_constraint("fk_strategies_owner_id", "strategies")
    op.drop_constraint("pk_strategies", "strategies")
    op.drop_index("ix_strategies_owner_id_id", "strategies")
    for old, new in renames.items():
        rename(old, new)
    op.create_primary_key("pk_tradingagents_strategies", "tradingagents_strategies", ["owner_id", "id"])


def rename_back_on_postgresql() -> None:
    op.execute(f"LOCK TABLE {', '.join(renames.values())} IN ACCESS EXCLUSIVE MODE")
    op.drop_constraint("pk_tradingagents_strategies", "tradingagents_strategies")
    op.drop_index("ix_tradingagents_strategies_owner_id_id_active", "tradingagents_strategies")
    for old, new in renames.items():
        rename(new, old)
    op.create_primary_key("pk_strategies", "strategies", ["id"])
    op.create_index("ix_strategies_owner_id_id", "strategies", ["owner_id", "id"])
    op.create_foreign_key("fk_strategies_owner_id", "strategies", "users", ["owner_id"], ["id"])


TRIGGERS = {
    "count_added_strategies": "strategies",
    "count_removed_strategies": "strategies",
    "count_truncated_strategies": "strategies",
    "count_changed_strategies": "strategies",
    "count_strategies_of_added_users": "users",
}
"""The triggers of revision 0005, and their tables. The function of a trigger has the name of the trigger."""


def rename(old: str, new: str) -> None:
    """Rename a table, and the constraints, indexes and sequence whose names contain its name."""
    connection = op.get_bind()
    op.rename_table(old, new)
    # Since PostgreSQL 18, NOT NULL constraints have names. The index of a constraint is renamed with the constraint.
    constraints = sa.text("SELECT conname FROM pg_constraint WHERE conrelid = CAST(:name AS regclass)")
    for name in connection.scalars(constraints, {"name": new}).all():
        if (renamed := name.replace(old, new)) != name:
            op.execute(f"ALTER TABLE {new} RENAME CONSTRAINT {name} TO {renamed}")
    indexes = sa.text(
        "SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indrelid = CAST(:name AS regclass)"
        " AND indexrelid NOT IN (SELECT conindid FROM pg_constraint)"
    )
    for name in connection.scalars(indexes, {"name": new}).all():
        op.execute(f"ALTER INDEX {name} RENAME TO {name.replace(old, new)}")
    sequences = sa.text(
        "SELECT relname FROM pg_depend JOIN pg_class ON oid = objid"
        " WHERE refobjid = CAST(:name AS regclass) AND deptype = 'a' AND relkind = 'S'"
    )
    for name in connection.scalars(sequences, {"name": new}).all():
        op.execute(f"ALTER SEQUENCE {name} RENAME TO {name.replace(old, new)}")
