"""API keys in an SQL database: each method of a reader or a repository is one round trip."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, delete, func, insert, select, update

from tradingagents_adapters.sql.columns import column_parameters, known_id
from tradingagents_adapters.sql.database import Database
from tradingagents_adapters.sql.pages import counted_page, listed_rows
from tradingagents_adapters.sql.tables import api_keys, users
from tradingagents_adapters.sql.transaction import Transaction
from tradingagents_adapters.sql.user_rows import USER_COLUMNS, user_of
from tradingagents_core.domain.accounts import User
from tradingagents_core.domain.api_keys import ApiKey, ApiKeyContent
from tradingagents_core.domain.page import Page
from tradingagents_core.domain.parameters import INTEGER_MAX
from tradingagents_core.domain.plain_types import utc_time
from tradingagents_core.errors import ApiKeyNotFound
from tradingagents_core.ports import ApiKeyReader, ApiKeyRepository

_STATE: Final = ("name", "scopes", "prefix", "key_hash", "created_at", "expires_at", "last_used_at")
_COLUMNS: Final = [api_keys.c[name] for name in ("id", "user_id", *_STATE)]
_IS_ID: Final = api_keys.c.id == bindparam("api_key_id")
_OF_USER: Final = api_keys.c.user_id == bindparam("user_id")

_FIND: Final = select(*_COLUMNS).where(_IS_ID)
_FIND_BY_HASH: Final = (
    select(*USER_COLUMNS, *_COLUMNS)
    .select_from(api_keys.join(users, users.c.id == api_keys.c.user_id))
    .where(api_keys.c.key_hash == bindparam("key_hash"))
)
_PAGE: Final = counted_page(api_keys, _COLUMNS, _OF_USER)
_API_KEY: Final = select(*_COLUMNS).where(_IS_ID, _OF_USER)
_COUNT_LIVE: Final = (
    select(func.count().label("live"))
    .select_from(api_keys)
    .where(_OF_USER, api_keys.c.expires_at.is_(None) | (api_keys.c.expires_at > bindparam("now")))
)
_ADD: Final = insert(api_keys).values(column_parameters(api_keys, "user_id", *_STATE)).returning(api_keys.c.id)
_REPLACE: Final = (
    update(api_keys).values(column_parameters(api_keys, *_STATE)).where(_IS_ID, _OF_USER).returning(api_keys.c.id)
)
_REMOVE: Final = delete(api_keys).where(_IS_ID, _OF_USER).returning(api_keys.c.id)
_REMOVE_EXPIRED: Final = delete(api_keys).where(_OF_USER, api_keys.c.expires_at <= bindparam("before"))


class SqlApiKeyReader(ApiKeyReader):
    """Reads API keys, each time on a connection of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, api_key_id: int) -> ApiKey | None:
        rows = await self._database.read(_FIND, api_key_id=known_id(api_key_id))
        return _api_key(tuple(rows[0]), self._database.read_time) if rows else None

    async def find_by_hash(self, key_hash: str) -> tuple[User, ApiKey] | None:
        rows = await self._database.read(_FIND_BY_HASH, key_hash=key_hash)
        if not rows:
            return None
        values = tuple(rows[0])
        of_user = len(USER_COLUMNS)
        read_time = self._database.read_time
        return user_of(values[:of_user], read_time), _api_key(values[of_user:], read_time)

    async def list(self, *, user_id: int, skip: int, limit: int) -> Page[ApiKey]:
        rows, total = listed_rows(
            await self._database.read(_PAGE, user_id=known_id(user_id), skip=min(skip, INTEGER_MAX), limit=limit)
        )
        items = [_api_key(row, self._database.read_time) for row in rows]
        return Page(items=items, total=total, skip=skip, limit=limit)


class SqlApiKeyRepository(ApiKeyRepository):
    """The API keys of the user whose row the transaction has locked."""

    def __init__(self, user_id: int, transaction: Transaction, database: Database) -> None:
        self._user_id = user_id
        self._fetch = transaction.fetch
        self._read_time = database.read_time

    async def get(self, api_key_id: int) -> ApiKey:
        rows = await self._fetch(_API_KEY, api_key_id=known_id(api_key_id), user_id=self._user_id)
        if not rows:
            raise ApiKeyNotFound(api_key_id)
        return _api_key(tuple(rows[0]), self._read_time)

    async def count_live(self, *, now: datetime) -> int:
        rows = await self._fetch(_COUNT_LIVE, user_id=self._user_id, now=utc_time("now", now))
        return int(rows[0]["live"])

    async def add(self, content: ApiKeyContent, *, prefix: str, key_hash: str, at: datetime) -> ApiKey:
        # The database chooses the id. All else is checked before the key is stored.
        api_key = ApiKey.created(content, id=1, user_id=self._user_id, prefix=prefix, key_hash=key_hash, at=at)
        rows = await self._fetch(_ADD, user_id=self._user_id, **_state(api_key))
        return replace(api_key, id=rows[0]["id"])

    async def replace(self, api_key: ApiKey) -> None:
        if api_key.user_id != self._user_id or not await self._fetch(
            _REPLACE, api_key_id=api_key.id, user_id=self._user_id, **_state(api_key)
        ):
            raise ApiKeyNotFound(api_key.id)

    async def remove(self, api_key_id: int) -> None:
        if not await self._fetch(_REMOVE, api_key_id=known_id(api_key_id), user_id=self._user_id):
            raise ApiKeyNotFound(api_key_id)

    async def remove_expired(self, *, before: datetime) -> None:
        await self._fetch(_REMOVE_EXPIRED, user_id=self._user_id, before=utc_time("before", before))


def _api_key(values: Sequence[Any], read_time: Callable[[Any], datetime]) -> ApiKey:
    api_key_id, user_id, name, scopes, prefix, key_hash, created_at, expires_at, last_used_at = values
    return ApiKey(
        id=api_key_id,
        user_id=user_id,
        name=name,
        scopes=tuple(scopes.split(" ")),
        prefix=prefix,
        key_hash=key_hash,
        created_at=read_time(created_at),
        expires_at=None if expires_at is None else read_time(expires_at),
        last_used_at=None if last_used_at is None else read_time(last_used_at),
    )


def _state(api_key: ApiKey) -> dict[str, Any]:
    return {name: getattr(api_key, name) for name in _STATE} | {"scopes": " ".join(api_key.scopes)}
