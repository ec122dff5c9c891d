"""Sessions of users: to see them, and to end one that somebody else may have."""

from dataclasses import dataclass
from typing import Protocol, Self

from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.page import PAGE_LIMIT_DEFAULT, Page, check_page
from tradingagents_core.domain.plain_types import instance_of, plain_int
from tradingagents_core.domain.sessions import Session
from tradingagents_core.errors import SessionNotFound, UserNotFound
from tradingagents_core.ports import AccountStore, Callers, Clock
from tradingagents_core.use_cases.accounts import find_user


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSessions:
    """Read a page of the caller's live sessions, oldest first.

    Raises:
        InvalidInput: the caller is not a `Caller`; `skip` or `limit` is no integer or out of range.
        NotForApiKeys: the caller has an API key.
        StoreUnavailable: the store is unavailable or busy.
    """

    store: AccountStore
    clock: Clock

    async def __call__(self, *, caller: Caller, skip: int = 0, limit: int = PAGE_LIMIT_DEFAULT) -> Page[Session]:
        instance_of(Caller, "caller", caller).check_is_no_api_key()
        skip, limit = check_page(skip, limit)
        async with self.store.read() as view:
            return await view.sessions.list(user_id=caller.user_id, now=self.clock(), skip=skip, limit=limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSession:
    """End one of the caller's sessions: its tokens are refused from now on.

    Raises:
        InvalidInput: the caller is not a `Caller`, or the id is not an integer.
        NotForApiKeys: the caller has an API key.
        SessionNotFound: the caller's user has no live session with this id.
        StoreUnavailable: the store is unavailable or busy; the session may or may not have ended.
    """

    store: AccountStore
    callers: Callers
    clock: Clock

    async def __call__(self, *, caller: Caller, session_id: int) -> None:
        instance_of(Caller, "caller", caller).check_is_no_api_key()
        session_id = plain_int("session_id", session_id)
        try:
            async with self.store.write(caller.user_id) as work:
                session = await work.sessions.get(session_id)
                if not session.is_live(now=self.clock()):
                    raise SessionNotFound(session_id)
                await work.sessions.remove(session_id)
        except UserNotFound:
            raise SessionNotFound(session_id) from None
        finally:
            await self.callers.forget(caller.user_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndAllSessions:
    """End all sessions of the user with this e-mail, and return how many there were.

    Raises:
        InvalidInput: the e-mail is not text.
        UserNotFound: no user has this e-mail.
        StoreUnavailable: the store is unavailable or busy; the sessions may or may not have ended.
    """

    store: AccountStore
    callers: Callers
    clock: Clock

    async def __call__(self, *, email: str) -> int:
        user = await find_user(self.store, email)
        try:
            async with self.store.write(user.id) as work:
                await work.sessions.remove_expired(now=self.clock())
                return await work.sessions.remove_all()
        finally:
            await self.callers.forget(user.id)


class ListSessionsCall(Protocol):
    """How `ListSessions` is called."""

    async def __call__(self, *, caller: Caller, skip: int = 0, limit: int = PAGE_LIMIT_DEFAULT) -> Page[Session]: ...


class EndSessionCall(Protocol):
    """How `EndSession` is called."""

    async def __call__(self, *, caller: Caller, session_id: int) -> None: ...


class EndAllSessionsCall(Protocol):
    """How `EndAllSessions` is called."""

    async def __call__(self, *, email: str) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUseCases:
    """What users and operators do with sessions. Each field can be another function with the same parameters."""

    list: ListSessionsCall
    end: EndSessionCall
    end_all: EndAllSessionsCall

    @classmethod
    def over(cls, *, store: AccountStore, callers: Callers, clock: Clock) -> Self:
        """The use cases over these adapters."""
        return cls(
            list=ListSessions(store=store, clock=clock),
            end=EndSession(store=store, callers=callers, clock=clock),
            end_all=EndAllSessions(store=store, callers=callers, clock=clock),
        )
