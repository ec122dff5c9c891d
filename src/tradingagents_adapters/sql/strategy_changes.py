"""Statements that add, replace or remove a strategy, and update the counts in its owner's row.

On PostgreSQL a change is one statement. On SQLite a change is two statements: the first updates the counts, the second
changes the strategy and returns its rows. Both kinds need a transaction that has locked the owner's row, and that is
rolled back when a change is refused. A change that finds no strategy leaves the counts unchanged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    BindParameter,
    Boolean,
    ColumnElement,
    Executable,
    Integer,
    bindparam,
    cast,
    delete,
    insert,
    literal_column,
    select,
    update,
)

from tradingagents_adapters.sql.columns import column_parameters
from tradingagents_adapters.sql.json_text import json_parameter
from tradingagents_adapters.sql.tables import owners, strategies

CONTENT: Final = ("name", "description", "parameters", "is_active", "created_at", "updated_at")
"""The columns of a strategy that a change may set. Each new value is a parameter of the same name."""

Statements: TypeAlias = Sequence[Executable]
"""Statements that share their parameters and run one after another. The last statement returns the rows."""


@dataclass(frozen=True, slots=True)
class StrategyChanges:
    """The statements of each change, for one dialect. Their parameters are `of_owner`, `strategy_id` and `CONTENT`."""

    add: Statements
    """Returns the new strategy's id."""
    replace: Statements
    """Returns the strategy's id, or no row where this owner has no such strategy."""
    remove: Statements
    """Returns the strategy's id, or no row where this owner has no such strategy."""
    remove_all: Statements
    """Returns no row. Removes all strategies of the owner, by the parameter `of_owner` alone."""


def _number(flag: ColumnElement[bool]) -> ColumnElement[int]:
    return cast(flag, Integer)


_OWNER: Final[BindParameter[int]] = bindparam("of_owner", type_=owners.c.id.type)
_THIS: Final = (strategies.c.owner_id == _OWNER) & (
    strategies.c.id == bindparam("strategy_id", type_=strategies.c.id.type)
)
_IS_ACTIVE: Final = bindparam("is_active", type_=Boolean())
_ONE: Final[ColumnElement[int]] = literal_column("1", Integer)
_ZERO: Final[ColumnElement[int]] = literal_column("0", Integer)

_NEW_CONTENT: Final[dict[str, Any]] = {
    **column_parameters(strategies, *CONTENT),
    "parameters": json_parameter("parameters"),
}
_ADD: Final = insert(strategies).values(owner_id=_OWNER, **_NEW_CONTENT).returning(strategies.c.id)
_REPLACE: Final = update(strategies).values(_NEW_CONTENT).where(_THIS).returning(strategies.c.id)
_REMOVE: Final = delete(strategies).where(_THIS)
_REMOVE_ALL: Final = delete(strategies).where(strategies.c.owner_id == _OWNER)

_COUNT: Final = update(owners).where(owners.c.id == _OWNER)
_COUNT_ADDED: Final = _COUNT.values(
    strategy_count=owners.c.strategy_count + _ONE,
    active_strategy_count=owners.c.active_strategy_count + _number(_IS_ACTIVE),
)

_COUNT_NONE: Final = _COUNT.values(strategy_count=_ZERO, active_strategy_count=_ZERO)


def _count_replaced(was_active: ColumnElement[bool]) -> Any:
    updated = owners.c.active_strategy_count + _number(_IS_ACTIVE) - _number(was_active)
    return _COUNT.values(active_strategy_count=updated).where(was_active != _IS_ACTIVE)


def _count_removed(was_active: ColumnElement[bool]) -> Any:
    return _COUNT.values(
        strategy_count=owners.c.strategy_count - _ONE,
        active_strategy_count=owners.c.active_strategy_count - _number(was_active),
    )


def _on_postgresql() -> StrategyChanges:
    added = _ADD.cte("added")
    before = select(strategies.c.is_active).where(_THIS).cte("before")
    replaced = _REPLACE.cte("replaced")
    removed = _REMOVE.returning(strategies.c.owner_id, strategies.c.id, strategies.c.is_active).cte("removed")
    count_removed = _count_removed(removed.c.is_active).where(owners.c.id == removed.c.owner_id)
    return StrategyChanges(
        add=(select(added.c.id).add_cte(_COUNT_ADDED.cte("counted")),),
        replace=(select(replaced.c.id).add_cte(_count_replaced(before.c.is_active).cte("counted")),),
        remove=(select(removed.c.id).add_cte(count_removed.cte("counted")),),
        remove_all=(_COUNT_NONE.add_cte(_REMOVE_ALL.cte("removed")),),
    )


def _on_sqlite() -> StrategyChanges:
    was_active = strategies.c.is_active
    return StrategyChanges(
        add=(_COUNT_ADDED, _ADD),
        replace=(_count_replaced(was_active).where(_THIS), _REPLACE),
        remove=(_count_removed(was_active).where(_THIS), _REMOVE.returning(strategies.c.id)),
        remove_all=(_COUNT_NONE, _REMOVE_ALL),
    )


STRATEGY_CHANGES: Final[Mapping[str, StrategyChanges]] = {
    "postgresql": _on_postgresql(),
    "sqlite": _on_sqlite(),
}
"""The statements, by the name of the dialect."""
