"""Users as rows: the columns of a user, and the user with their values."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from tradingagents_adapters.sql.tables import users
from tradingagents_core.domain.accounts import User

USER_COLUMNS: Final = [
    users.c[name] for name in ("id", "email", "password_hash", "is_active", "created_at", "updated_at")
]
"""The columns of a user, in the order of `user_of`."""


def user_of(values: Sequence[Any], read_time: Callable[[Any], datetime]) -> User:
    """The user with the values of `USER_COLUMNS`."""
    user_id, email, password_hash, is_active, created_at, updated_at = values
    return User.from_store(
        id=user_id,
        email=email,
        password_hash=password_hash,
        is_active=bool(is_active),
        created_at=read_time(created_at),
        updated_at=read_time(updated_at),
    )
