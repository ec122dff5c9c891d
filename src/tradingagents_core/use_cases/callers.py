"""Callers with an account: users with the token of a session, and bots with an API key."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from tradingagents_core.domain.accounts import User
from tradingagents_core.domain.api_keys import API_KEY_PREFIX, ApiKey
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.secrets import hash_of
from tradingagents_core.domain.sessions import USE_INTERVAL, Session
from tradingagents_core.errors import InvalidToken, Misuse, TradingAgentsError
from tradingagents_core.ports import AccountStore, Callers, Clock, TokenService

_log = logging.getLogger(__name__)


class AccountCallers(Callers):
    """Callers with an active account: one statement finds the user and the session or the API key of a credential.

    The last use of a session or key is stored at most once in `USE_INTERVAL`, and no caller waits for that.
    """

    def __init__(self, *, store: AccountStore, tokens: TokenService, clock: Clock) -> None:
        self._store = store
        self._tokens = tokens
        self._clock = clock
        self._unfinished: set[asyncio.Task[None]] = set()

    async def find(self, credential: str) -> Caller | None:
        if credential.startswith(API_KEY_PREFIX):
            return await self._find_by_api_key(credential)
        return await self._find_by_token(credential)

    async def forget(self, user_id: int) -> None:
        # `find` always reads the account.
        pass

    async def _find_by_token(self, token: str) -> Caller | None:
        try:
            claims = self._tokens.verify(token)
        except InvalidToken:
            return None
        async with self._store.read() as view:
            found = await view.sessions.find(claims.session_id)
        now = self._clock()
        if found is None or found[0].id != claims.user_id or not found[0].is_active or not found[1].is_live(now=now):
            return None
        user, session = found
        if now - session.last_used_at >= USE_INTERVAL:
            self._start(self._note_use_of_session(user, session))
        return Caller(user_id=user.id, session_id=session.id, expires_at=min(claims.expires_at, session.expires_at))

    async def _find_by_api_key(self, text: str) -> Caller | None:
        async with self._store.read() as view:
            found = await view.api_keys.find_by_hash(hash_of(text))
        now = self._clock()
        if found is None or not found[0].is_active or not found[1].is_live(now=now):
            return None
        user, api_key = found
        if api_key.last_used_at is None or now - api_key.last_used_at >= USE_INTERVAL:
            self._start(self._note_use_of_api_key(user, api_key))
        return Caller(user_id=user.id, scopes=api_key.scopes, api_key_id=api_key.id, expires_at=api_key.expires_at)

    def _start(self, write: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._try(write))
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)

    async def _try(self, write: Coroutine[Any, Any, None]) -> None:
        try:
            await write
        except (TradingAgentsError, Misuse) as error:
            # The session or key has ended, the database is unavailable, or the service is stopping.
            _log.debug("The last use of a credential was not stored: %s", error)

    async def _note_use_of_session(self, user: User, session: Session) -> None:
        async with self._store.write(user.id) as work:
            current = await work.sessions.get(session.id)
            now = self._clock()
            if now - current.last_used_at >= USE_INTERVAL:
                await work.sessions.replace(current.used(at=now))

    async def _note_use_of_api_key(self, user: User, api_key: ApiKey) -> None:
        async with self._store.write(user.id) as work:
            current = await work.api_keys.get(api_key.id)
            now = self._clock()
            if current.last_used_at is None or now - current.last_used_at >= USE_INTERVAL:
                await work.api_keys.replace(current.used(at=now))
