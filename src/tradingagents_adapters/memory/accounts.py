"""Accounts in memory: users, sessions and API keys."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Self, TypeVar

from tradingagents_core.domain.accounts import User
from tradingagents_core.domain.api_keys import ApiKey, ApiKeyContent
from tradingagents_core.domain.page import Page
from tradingagents_core.domain.plain_types import utc_time
from tradingagents_core.domain.sessions import RefreshToken, Session
from tradingagents_core.errors import (
    ApiKeyNotFound,
    BlockEnded,
    BlockFailed,
    EmailTaken,
    SessionNotFound,
    UserNotFound,
)
from tradingagents_core.ports import (
    AccountStore,
    AccountView,
    AccountWork,
    ApiKeyReader,
    ApiKeyRepository,
    Blocks,
    Lifetime,
    RefreshTokenRepository,
    SessionReader,
    SessionRepository,
    UserReader,
    UserRepository,
)

T = TypeVar("T")


@dataclass(slots=True)
class _Account:
    """The state of a user, and of all that belongs to the user."""

    user: User | None
    """None for a user who was removed."""
    sessions: dict[int, Session] = field(default_factory=dict)
    refresh_tokens: dict[str, RefreshToken] = field(default_factory=dict)
    api_keys: dict[int, ApiKey] = field(default_factory=dict)

    def copy(self) -> "_Account":
        return _Account(self.user, dict(self.sessions), dict(self.refresh_tokens), dict(self.api_keys))


class _Accounts:
    """The committed accounts, and the ids for new objects."""

    def __init__(self) -> None:
        self.by_id: dict[int, _Account] = {}
        self.by_email: dict[str, int] = {}
        self.users_of_sessions: dict[int, int] = {}
        self.users_of_refresh_tokens: dict[str, int] = {}
        self.users_of_api_keys: dict[int, int] = {}
        self.hashes: dict[str, int] = {}
        """The ids of API keys by the hashes of the keys."""
        self.user_ids, self.session_ids, self.api_key_ids = count(1), count(1), count(1)

    def put(self, account: _Account, user_id: int) -> None:
        """Store this state of an account."""
        before = self.by_id.pop(user_id, None)
        if before is not None:
            self._unlist(before)
        if account.user is None:
            return
        self.by_id[user_id] = account
        self.by_email[account.user.email] = user_id
        self.users_of_sessions |= dict.fromkeys(account.sessions, user_id)
        self.users_of_refresh_tokens |= dict.fromkeys(account.refresh_tokens, user_id)
        self.users_of_api_keys |= dict.fromkeys(account.api_keys, user_id)
        self.hashes |= {key.key_hash: key.id for key in account.api_keys.values()}

    def check_email(self, user_id: int, email: str) -> None:
        """Refuse an e-mail that another user has."""
        if self.by_email.get(email, user_id) != user_id:
            raise EmailTaken(email)

    def _unlist(self, account: _Account) -> None:
        assert account.user is not None
        del self.by_email[account.user.email]
        for session_id in account.sessions:
            del self.users_of_sessions[session_id]
        for token_hash in account.refresh_tokens:
            del self.users_of_refresh_tokens[token_hash]
        for key in account.api_keys.values():
            del self.users_of_api_keys[key.id], self.hashes[key.key_hash]


class _UserReader(UserReader):
    def __init__(self, accounts: _Accounts) -> None:
        self._accounts = accounts

    async def find(self, user_id: int) -> User | None:
        account = self._accounts.by_id.get(user_id)
        return account.user if account else None

    async def find_by_email(self, email: str) -> User | None:
        return await self.find(self._accounts.by_email.get(email, 0))

    async def list(self) -> Sequence[User]:
        accounts = [self._accounts.by_id[user_id] for user_id in sorted(self._accounts.by_id)]
        return [account.user for account in accounts if account.user is not None]


class _SessionReader(SessionReader):
    def __init__(self, accounts: _Accounts) -> None:
        self._accounts = accounts

    async def find(self, session_id: int) -> tuple[User, Session] | None:
        account = self._accounts.by_id.get(self._accounts.users_of_sessions.get(session_id, 0))
        if account is None or account.user is None:
            return None
        return account.user, account.sessions[session_id]

    async def find_by_refresh_token(self, token_hash: str) -> Session | None:
        account = self._accounts.by_id.get(self._accounts.users_of_refresh_tokens.get(token_hash, 0))
        return None if account is None else account.sessions[account.refresh_tokens[token_hash].session_id]

    async def list(self, *, user_id: int, now: datetime, skip: int, limit: int) -> Page[Session]:
        account = self._accounts.by_id.get(user_id)
        sessions = account.sessions.values() if account else ()
        return _page_of((session for session in sessions if session.is_live(now=now)), skip=skip, limit=limit)


class _ApiKeyReader(ApiKeyReader):
    def __init__(self, accounts: _Accounts) -> None:
        self._accounts = accounts

    async def find(self, api_key_id: int) -> ApiKey | None:
        account = self._accounts.by_id.get(self._accounts.users_of_api_keys.get(api_key_id, 0))
        return None if account is None else account.api_keys[api_key_id]

    async def find_by_hash(self, key_hash: str) -> tuple[User, ApiKey] | None:
        api_key = await self.find(self._accounts.hashes.get(key_hash, 0))
        if api_key is None:
            return None
        user = self._accounts.by_id[api_key.user_id].user
        return None if user is None else (user, api_key)

    async def list(self, *, user_id: int, skip: int, limit: int) -> Page[ApiKey]:
        account = self._accounts.by_id.get(user_id)
        return _page_of(account.api_keys.values() if account else (), skip=skip, limit=limit)


class _Block:
    """A copy of an account that a block changes. The committed account does not change before the end of the block."""

    def __init__(self, accounts: _Accounts, user: User) -> None:
        self._accounts = accounts
        self._user_id = user.id
        self._account = accounts.by_id[user.id].copy()
        self._has_failed = False
        self._has_ended = False

    @property
    def account(self) -> _Account:
        """The account in its present state.

        Raises:
            BlockEnded: the block has ended.
        """
        if self._has_ended:
            raise BlockEnded
        return self._account

    def replace_user(self, user: User | None) -> None:
        """Replace the user, or remove the user and all that belongs to the user."""
        if user is None:
            self._account = _Account(None)
            return
        try:
            self._accounts.check_email(user.id, user.email)
        except EmailTaken:
            self._has_failed = True
            raise
        self._account.user = user

    def end(self) -> None:
        """Refuse every further use."""
        self._has_ended = True

    def commit(self) -> None:
        """Store the account.

        Raises:
            BlockFailed: a change was refused, and the block has caught the error.
        """
        if self._has_failed:
            raise BlockFailed
        self._accounts.put(self._account, self._user_id)


class _UserRepository(UserRepository):
    def __init__(self, block: _Block) -> None:
        self._block = block

    async def get(self, user_id: int) -> User:
        user = self._block.account.user
        if user is None or user.id != user_id:
            raise UserNotFound(user_id)
        return user

    async def replace(self, user: User) -> None:
        await self.get(user.id)
        self._block.replace_user(user)

    async def remove(self, user_id: int) -> None:
        await self.get(user_id)
        self._block.replace_user(None)


class _SessionRepository(SessionRepository):
    def __init__(self, block: _Block, user_id: int, ids: "count[int]") -> None:
        self._block = block
        self._user_id = user_id
        self._ids = ids

    async def get(self, session_id: int) -> Session:
        session = self._block.account.sessions.get(session_id)
        if session is None:
            raise SessionNotFound(session_id)
        return session

    async def add(self, *, at: datetime, expires_at: datetime) -> Session:
        sessions = self._block.account.sessions
        session = Session(
            id=next(self._ids), user_id=self._user_id, created_at=at, last_used_at=at, expires_at=expires_at
        )
        sessions[session.id] = session
        return session

    async def replace(self, session: Session) -> None:
        await self.get(session.id)
        if session.user_id != self._user_id:
            raise SessionNotFound(session.id)
        self._block.account.sessions[session.id] = session

    async def remove(self, session_id: int) -> None:
        await self.get(session_id)
        self._remove([session_id])

    async def remove_all(self, *, but: int | None = None) -> int:
        removed = [session_id for session_id in self._block.account.sessions if session_id != but]
        self._remove(removed)
        return len(removed)

    async def remove_expired(self, *, now: datetime) -> None:
        account = self._block.account
        self._remove([session.id for session in account.sessions.values() if not session.is_live(now=now)])
        for token in list(account.refresh_tokens.values()):
            if token.expires_at <= now:
                del account.refresh_tokens[token.token_hash]

    def _remove(self, session_ids: Iterable[int]) -> None:
        account = self._block.account
        for session_id in session_ids:
            del account.sessions[session_id]
        for token in list(account.refresh_tokens.values()):
            if token.session_id not in account.sessions:
                del account.refresh_tokens[token.token_hash]


class _RefreshTokenRepository(RefreshTokenRepository):
    def __init__(self, block: _Block) -> None:
        self._block = block

    async def find(self, token_hash: str) -> RefreshToken | None:
        return self._block.account.refresh_tokens.get(token_hash)

    async def put(self, token: RefreshToken) -> None:
        account = self._block.account
        if token.session_id not in account.sessions:
            raise SessionNotFound(token.session_id)
        account.refresh_tokens[token.token_hash] = token


class _ApiKeyRepository(ApiKeyRepository):
    def __init__(self, block: _Block, user_id: int, ids: "count[int]") -> None:
        self._block = block
        self._user_id = user_id
        self._ids = ids

    async def get(self, api_key_id: int) -> ApiKey:
        api_key = self._block.account.api_keys.get(api_key_id)
        if api_key is None:
            raise ApiKeyNotFound(api_key_id)
        return api_key

    async def count_live(self, *, now: datetime) -> int:
        return sum(api_key.is_live(now=now) for api_key in self._block.account.api_keys.values())

    async def add(self, content: ApiKeyContent, *, prefix: str, key_hash: str, at: datetime) -> ApiKey:
        api_keys = self._block.account.api_keys
        api_key = ApiKey.created(
            content, id=next(self._ids), user_id=self._user_id, prefix=prefix, key_hash=key_hash, at=at
        )
        api_keys[api_key.id] = api_key
        return api_key

    async def replace(self, api_key: ApiKey) -> None:
        await self.get(api_key.id)
        if api_key.user_id != self._user_id:
            raise ApiKeyNotFound(api_key.id)
        self._block.account.api_keys[api_key.id] = api_key

    async def remove(self, api_key_id: int) -> None:
        await self.get(api_key_id)
        del self._block.account.api_keys[api_key_id]

    async def remove_expired(self, *, before: datetime) -> None:
        api_keys = self._block.account.api_keys
        for api_key in list(api_keys.values()):
            if not api_key.is_live(now=before):
                del api_keys[api_key.id]


class MemoryAccountStore(AccountStore):
    """Stores accounts in memory, for one event loop. Changes run one at a time.

    The first use starts the store. A block `async with store:` is not needed, but ends the store. Stores that share
    `blocks` refuse nested blocks like stores over one database.
    """

    def __init__(self, *, blocks: Blocks | None = None) -> None:
        self._lifetime = Lifetime(starts_by_itself=True)
        self._blocks = blocks or Blocks()
        self._accounts = _Accounts()
        self._writing = asyncio.Lock()
        self._view = AccountView(
            users=_UserReader(self._accounts),
            sessions=_SessionReader(self._accounts),
            api_keys=_ApiKeyReader(self._accounts),
        )

    async def __aenter__(self) -> Self:
        self._lifetime.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._lifetime.end()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AccountView]:
        self._lifetime.check()
        yield self._view

    @asynccontextmanager
    async def write(self, user_id: int) -> AsyncIterator[AccountWork]:
        accounts = self._accounts
        async with self._one_writer():
            account = accounts.by_id.get(user_id)
            if account is None or account.user is None:
                raise UserNotFound(user_id)
            block = _Block(accounts, account.user)
            try:
                yield AccountWork(
                    user_id=user_id,
                    users=_UserRepository(block),
                    sessions=_SessionRepository(block, user_id, accounts.session_ids),
                    refresh_tokens=_RefreshTokenRepository(block),
                    api_keys=_ApiKeyRepository(block, user_id, accounts.api_key_ids),
                )
            finally:
                block.end()
            block.commit()

    async def add_user(self, *, email: str, password_hash: str, at: datetime) -> User:
        at = utc_time("at", at)
        async with self._one_writer():
            user_id = next(self._accounts.user_ids)
            self._accounts.check_email(user_id, email)
            user = User(id=user_id, email=email, password_hash=password_hash, created_at=at, updated_at=at)
            self._accounts.put(_Account(user), user_id)
        return user

    @asynccontextmanager
    async def _one_writer(self) -> AsyncIterator[None]:
        self._lifetime.check()
        with self._blocks.entered():
            async with self._writing:
                yield


def _page_of(items: Iterable[T], *, skip: int, limit: int) -> Page[T]:
    listed = list(items)
    return Page(items=listed[skip : skip + limit], total=len(listed), skip=skip, limit=limit)
