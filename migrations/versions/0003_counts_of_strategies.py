"""The number of strategies of each owner, counted by triggers, and an index of active strategies.

Revision: 0003
Follows: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COUNT_EXISTING_STRATEGIES = """
UPDATE users SET
  strategy_count = (SELECT count(*) FROM strategies WHERE owner_id = users.id),
  active_strategy_count = (SELECT count(*) FROM strategies WHERE owner_id = users.id AND is_active)
"""

ON_SQLITE = {
    "count_added_strategies": """
CREATE TRIGGER count_added_strategies AFTER INSERT ON strategies BEGIN
  UPDATE users
  SET strategy_count = strategy_count + 1, active_strategy_count = active_strategy_count + NEW.is_active
  WHERE id = NEW.owner_id;
END
""",
    "count_removed_strategies": """
CREATE TRIGGER count_removed_strategies AFTER DELETE ON strategies BEGIN
  UPDATE users
  SET strategy_count = strategy_count - 1, active_strategy_count = active_strategy_count - OLD.is_active
  WHERE id = OLD.owner_id;
END
""",
    "count_changed_strategies": """
CREATE TRIGGER count_changed_strategies AFTER UPDATE OF owner_id, is_active ON strategies
WHEN OLD.owner_id <> NEW.owner_id OR OLD.is_active <> NEW.is_active BEGIN
  UPDATE users
  SET strategy_count = strategy_count - 1, active_strategy_count = active_strategy_count - OLD.is_active
  WHERE id = OLD.owner_id;
  UPDATE users
  SET strategy_count = strategy_count + 1, active_strategy_count = active_strategy_count + NEW.is_active
  WHERE id = NEW.owner_id;
END
""",
}

# The triggers for inserted and deleted rows run once for each statement, so that many rows are counted together. The
# trigger for updates runs for each row: most updates do not change a count, and then it costs nothing.
ON_POSTGRESQL = {
    "count_added_strategies": (
        """
CREATE FUNCTION count_added_strategies() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE users
  SET strategy_count = strategy_count + added.strategies, active_strategy_count = active_strategy_count + added.active
  FROM (
    SELECT owner_id, count(*) AS strategies, count(*) FILTER (WHERE is_active) AS active
    FROM added_rows GROUP BY owner_id
  ) AS added
  WHERE users.id = added.owner_id;
  RETURN NULL;
END
$$
""",
        """
CREATE TRIGGER count_added_strategies AFTER INSERT ON strategies
REFERENCING NEW TABLE AS added_rows FOR EACH STATEMENT EXECUTE FUNCTION count_added_strategies()
""",
    ),
    "count_removed_strategies": (
        """
CREATE FUNCTION count_removed_strategies() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE users
  SET strategy_count = strategy_count - gone.strategies, active_strategy_count = active_strategy_count - gone.active
  FROM (
    SELECT owner_id, count(*) AS strategies, count(*) FILTER (WHERE is_active) AS active
    FROM gone_rows GROUP BY owner_id
  ) AS gone
  WHERE users.id = gone.owner_id;
  RETURN NULL;
END
$$
""",
        """
CREATE TRIGGER count_removed_strategies AFTER DELETE ON strategies
REFERENCING OLD TABLE AS gone_rows FOR EACH STATEMENT EXECUTE FUNCTION count_removed_strategies()
""",
    ),
    "count_truncated_strategies": (
        """
CREATE FUNCTION count_truncated_strategies() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE users SET strategy_count = 0, active_strategy_count = 0;
  RETURN NULL;
END
$$
""",
        """
CREATE TRIGGER count_truncated_strategies AFTER TRUNCATE ON strategies
FOR EACH STATEMENT EXECUTE FUNCTION count_truncated_strategies()
""",
    ),
    "count_changed_strategies": (
        """
CREATE FUNCTION count_changed_strategies() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE users
  SET strategy_count = strategy_count - 1, active_strategy_count = active_strategy_count - OLD.is_active::integer
  WHERE id = OLD.owner_id;
  UPDATE users
  SET strategy_count = strategy_count + 1, active_strategy_count = active_strategy_count + NEW.is_active::integer
  WHERE id = NEW.owner_id;
  RETURN NULL;
END
$$
""",
        """
CREATE TRIGGER count_changed_strategies AFTER UPDATE ON strategies
FOR EACH ROW WHEN (OLD.owner_id <> NEW.owner_id OR OLD.is_active <> NEW.is_active)
EXECUTE FUNCTION count_changed_strategies()
""",
    ),
}


def upgrade() -> None:
    for name in ("strategy_count", "active_strategy_count"):
        op.add_column("users", sa.Column(name, sa.Integer(), server_default="0", nullable=False))
    op.create_index(
        "ix_strategies_owner_id_id_active",
        "strategies",
        ["owner_id", "id"],
        sqlite_where=sa.text("is_active = 1"),
        postgresql_where=sa.text("is_active"),
    )
    if op.get_bind().dialect.name == "sqlite":
        for trigger in ON_SQLITE.values():
            op.execute(trigger)
    else:
        for function, trigger in ON_POSTGRESQL.values():
            op.execute(function)
            op.execute(trigger)
    # After the triggers were created, no strategy is added uncounted.
    op.execute(COUNT_EXISTING_STRATEGIES)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name in ON_SQLITE:
            op.execute(f"DROP TRIGGER {name}")
    else:
        for name in ON_POSTGRESQL:
            op.execute(f"DROP TRIGGER {name} ON strategies")
            op.execute(f"DROP FUNCTION {name}")
    op.drop_index("ix_strategies_owner_id_id_active", table_name="strategies")
    for name in ("active_strategy_count", "strategy_count"):
        op.drop_column("users", name)
