"""Accounts in an SQL database: users, sessions and API keys. Each method of a repository is one round trip."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, insert, select, update

from tradingagents_adapters.sql.account_removals import ACCOUNT_REMOVALS
from tradingagents_adapters.sql.api_keys import SqlApiKeyReader, SqlApiKeyRepository
from tradingagents_adapters.sql.columns import column_parameters, known_id
from tradingagents_adapters.sql.database import Database
from tradingagents_adapters.sql.errors import refused_by
from tradingagents_adapters.sql.sessions import SqlRefreshTokenRepository, SqlSessionReader, SqlSessionRepository
from tradingagents_adapters.sql.tables import unique_constraint, users
from tradingagents_adapters.sql.transaction import RowLock, Transaction
from tradingagents_adapters.sql.user_rows import USER_COLUMNS, user_of
from tradingagents_core.domain.accounts import User
from tradingagents_core.domain.plain_types import utc_time
from tradingagents_core.errors import EmailTaken, UserNotFound
from tradingagents_core.ports import AccountStore, AccountView, AccountWork, UserReader, UserRepository

_ACCOUNT: Final = ("email", "password_hash", "is_active", "created_at", "updated_at")
_EMAIL_UNIQUE: Final = unique_constraint(users, "email")

_ACCOUNTS: Final = select(*USER_COLUMNS)
_USERS: Final = _ACCOUNTS.order_by(users.c.id)
_USER: Final = _ACCOUNTS.where(users.c.id == bindparam("user_id"))
_USER_BY_EMAIL: Final = _ACCOUNTS.where(users.c.email == bindparam("email"))
_ADD: Final = insert(users).values(column_parameters(users, *_ACCOUNT)).returning(users.c.id)
_REPLACE: Final = update(users).values(column_parameters(users, *_ACCOUNT)).where(users.c.id == bindparam("user_id"))


class _SqlUserReader(UserReader):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, user_id: int) -> User | None:
        rows = await self._database.read(_USER, user_id=known_id(user_id))
        return user_of(tuple(rows[0]), self._database.read_time) if rows else None

    async def find_by_email(self, email: str) -> User | None:
        rows = await self._database.read(_USER_BY_EMAIL, email=email)
        return user_of(tuple(rows[0]), self._database.read_time) if rows else None

    async def list(self) -> Sequence[User]:
        return [user_of(tuple(row), self._database.read_time) for row in await self._database.read(_USERS)]


class _SqlUserRepository(UserRepository):
    """The user whose row the transaction has locked."""

    def __init__(self, user_id: int, transaction: Transaction, database: Database) -> None:
        self._user_id = user_id
        self._fetch = transaction.fetch
        self._removal = ACCOUNT_REMOVALS[database.dialect_name].user
        self._read_time = database.read_time

    async def get(self, user_id: int) -> User:
        self._check_is_locked(user_id)
        rows = await self._fetch(_USER, user_id=user_id)
        if not rows:
            raise UserNotFound(user_id)
        return user_of(tuple(rows[0]), self._read_time)

    async def replace(self, user: User) -> None:
        self._check_is_locked(user.id)
        with refused_by(_EMAIL_UNIQUE, EmailTaken(user.email)):
            await self._fetch(_REPLACE, user_id=user.id, **_columns(user))

    async def remove(self, user_id: int) -> None:
        self._check_is_locked(user_id)
        await self._fetch(*self._removal, user_id=user_id)

    def _check_is_locked(self, user_id: int) -> None:
        if user_id != self._user_id:
            raise UserNotFound(user_id)


class SqlAccountStore(AccountStore):
    """Stores accounts in a database that has the newest schema."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._view = AccountView(
            users=_SqlUserReader(database), sessions=SqlSessionReader(database), api_keys=SqlApiKeyReader(database)
        )

    def read(self) -> AbstractAsyncContextManager[AccountView]:
        # Each statement acquires a connection of its own.
        return nullcontext(self._view)

    @asynccontextmanager
    async def write(self, user_id: int) -> AsyncIterator[AccountWork]:
        async with self._database.transaction(row=RowLock(users, known_id(user_id))) as transaction:
            if not transaction.has_row:
                raise UserNotFound(user_id)
            yield AccountWork(
                user_id=user_id,
                users=_SqlUserRepository(user_id, transaction, self._database),
                sessions=SqlSessionRepository(user_id, transaction, self._database),
                refresh_tokens=SqlRefreshTokenRepository(user_id, transaction, self._database),
                api_keys=SqlApiKeyRepository(user_id, transaction, self._database),
            )

    async def add_user(self, *, email: str, password_hash: str, at: datetime) -> User:
        at = utc_time("at", at)
        # The database chooses the id. All else is checked before the user is stored.
        user = User(id=1, email=email, password_hash=password_hash, created_at=at, updated_at=at)
        with refused_by(_EMAIL_UNIQUE, EmailTaken(email)):
            rows = await self._database.write(_ADD, **_columns(user))
        return replace(user, id=rows[0]["id"])


def _columns(user: User) -> dict[str, Any]:
    return {name: getattr(user, name) for name in _ACCOUNT}
