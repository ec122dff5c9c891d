"""Counts of strategies that stay right when a dump is restored, with any search_path and in any parts.

Revision: 0005
Follows: 0004
"""

from textwrap import indent

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# The revision and the version of the oldest code that may run on this schema.
oldest_revision = "0003"
oldest_version = "1.0.0"

# A restore of the data alone left strategies uncounted, or counted them twice.
CORRECT_COUNTS = """
UPDATE users SET
  strategy_count = (SELECT count(*) FROM strategies WHERE owner_id = users.id),
  active_strategy_count = (SELECT count(*) FROM strategies WHERE owner_id = users.id AND is_active)
WHERE strategy_count <> (SELECT count(*) FROM strategies WHERE owner_id = users.id)
  OR active_strategy_count <> (SELECT count(*) FROM strategies WHERE owner_id = users.id AND is_active)
"""

ADDED = """
UPDATE users
SET strategy_count = strategy_count + added.strategies, active_strategy_count = active_strategy_count + added.active
FROM (
  SELECT owner_id, count(*) AS strategies, count(*) FILTER (WHERE is_active) AS active
  FROM added_rows GROUP BY owner_id
) AS added
WHERE users.id = added.owner_id;
RETURN NULL;
"""
REMOVED = """
UPDATE users
SET strategy_count = strategy_count - gone.strategies, active_strategy_count = active_strategy_count - gone.active
FROM (
  SELECT owner_id, count(*) AS strategies, count(*) FILTER (WHERE is_active) AS active
  FROM gone_rows GROUP BY owner_id
) AS gone
WHERE users.id = gone.owner_id;
RETURN NULL;
"""
TRUNCATED = """
UPDATE users SET strategy_count = 0, active_strategy_count = 0;
RETURN NULL;
"""
CHANGED = """
UPDATE users
SET strategy_count = strategy_count - 1, active_strategy_count = active_strategy_count - OLD.is_active::integer
WHERE id = OLD.owner_id;
UPDATE users
SET strategy_count = strategy_count + 1, active_strategy_count = active_strategy_count + NEW.is_active::integer
WHERE id = NEW.owner_id;
RETURN NULL;
"""
# A restored user has counts already. Strategies restored after the user would be counted twice.
ADDED_USER = """
SELECT count(*), count(*) FILTER (WHERE is_active) INTO NEW.strategy_count, NEW.active_strategy_count
FROM strategies WHERE owner_id = NEW.id;
RETURN NEW;
"""

COUNTING = {
    "count_added_strategies": ADDED,
    "count_removed_strategies": REMOVED,
    "count_truncated_strategies": TRUNCATED,
    "count_changed_strategies": CHANGED,
}
"""The bodies of the functions of revision 0003, unchanged."""


def define(name: str, body: str, *, in_schema_of_table: bool) -> None:
    """Define a trigger function: for the schema of the trigger's table, or for the session's search_path."""
    path = ""
    if in_schema_of_table:
        # The SET clause of a function resets the search_path at its end. Temporary tables are searched last.
        path = "SET search_path = pg_catalog, pg_temp "
        body = f"PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);\n{body.lstrip()}"
    op.execute(
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql {path}AS $$\n"
        f"BEGIN\n{indent(body.strip(), '  ')}\nEND\n$$"
    )


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("""
CREATE TRIGGER count_strategies_of_added_users AFTER INSERT ON users
WHEN NEW.strategy_count <> 0 OR NEW.active_strategy_count <> 0 BEGIN
  UPDATE users SET
    strategy_count = (SELECT count(*) FROM strategies WHERE owner_id = NEW.id),
    active_strategy_count = (SELECT count(*) FROM strategies WHERE owner_id = NEW.id AND is_active)
  WHERE id = NEW.id;
END
""")
    else:
        for name, body in COUNTING.items():
            define(name, body, in_schema_of_table=True)
        define("count_strategies_of_added_users", ADDED_USER, in_schema_of_table=True)
        # Its lock waits for transactions that add strategies, and blocks others until the counts have been corrected.
        op.execute("""
CREATE TRIGGER count_strategies_of_added_users BEFORE INSERT ON users
FOR EACH ROW WHEN (NEW.strategy_count <> 0 OR NEW.active_strategy_count <> 0)
EXECUTE FUNCTION count_strategies_of_added_users()
""")
    op.execute(CORRECT_COUNTS)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER count_strategies_of_added_users")
        return
    op.execute("DROP TRIGGER count_strategies_of_added_users ON users")
    op.execute("DROP FUNCTION count_strategies_of_added_users")
    for name, body in COUNTING.items():
        define(name, body, in_schema_of_table=False)
