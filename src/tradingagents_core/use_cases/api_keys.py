"""API keys of users, for their bots."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol, Self

from tradingagents_core.domain.api_keys import (
    API_KEY_PREFIX,
    API_KEYS_MAX,
    SHOWN_LENGTH,
    ApiKey,
    ApiKeyContent,
    NewApiKey,
)
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.page import PAGE_LIMIT_DEFAULT, Page, check_page
from tradingagents_core.domain.plain_types import instance_of, plain_int
from tradingagents_core.domain.secrets import hash_of, new_secret
from tradingagents_core.errors import ApiKeyNotFound, InvalidInput, TooManyApiKeys, UserNotFound
from tradingagents_core.ports import AccountStore, Callers, Clock

EXPIRED_SHOWN_FOR: Final = timedelta(days=30)
"""How long an expired key is still listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateApiKey:
    """Make a new API key for the caller's user. The answer is the only place where the whole key stands.

    Raises:
        InvalidInput: the caller is not a `Caller`; the content is not an `ApiKeyContent`; the key would have expired
            already.
        NotForApiKeys: the caller has an API key.
        TooManyApiKeys: the user has `API_KEYS_MAX` live keys.
        UserNotFound: the caller's user has no account in the store.
        StoreUnavailable: the store is unavailable or busy; the key may or may not have been stored.
    """

    store: AccountStore
    clock: Clock

    async def __call__(self, *, caller: Caller, content: ApiKeyContent) -> NewApiKey:
        instance_of(Caller, "caller", caller).check_is_no_api_key()
        instance_of(ApiKeyContent, "content", content)
        text = new_secret(API_KEY_PREFIX)
        async with self.store.write(caller.user_id) as work:
            now = self.clock()
            if content.expires_at is not None and content.expires_at <= now:
                raise InvalidInput(field="expires_at", rule="future", message="should be in the future")
            await work.api_keys.remove_expired(before=now - EXPIRED_SHOWN_FOR)
            if await work.api_keys.count_live(now=now) >= API_KEYS_MAX:
                raise TooManyApiKeys(API_KEYS_MAX)
            api_key = await work.api_keys.add(content, prefix=text[:SHOWN_LENGTH], key_hash=hash_of(text), at=now)
        return NewApiKey(api_key=api_key, text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListApiKeys:
    """Read a page of the API keys of the caller's user, oldest first.

    Raises:
        InvalidInput: the caller is not a `Caller`; `skip` or `limit` is no integer or out of range.
        NotForApiKeys: the caller has an API key.
        StoreUnavailable: the store is unavailable or busy.
    """

    store: AccountStore

    async def __call__(self, *, caller: Caller, skip: int = 0, limit: int = PAGE_LIMIT_DEFAULT) -> Page[ApiKey]:
        instance_of(Caller, "caller", caller).check_is_no_api_key()
        skip, limit = check_page(skip, limit)
        async with self.store.read() as view:
            return await view.api_keys.list(user_id=caller.user_id, skip=skip, limit=limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeApiKey:
    """Revoke one of the API keys of the caller's user: the key is refused from now on.

    Raises:
        InvalidInput: the caller is not a `Caller`, or the id is not an integer.
        NotForApiKeys: the caller has an API key.
        ApiKeyNotFound: the caller's user has no key with this id.
        StoreUnavailable: the store is unavailable or busy; the key may or may not have been revoked.
    """

    store: AccountStore
    callers: Callers

    async def __call__(self, *, caller: Caller, api_key_id: int) -> None:
        instance_of(Caller, "caller", caller).check_is_no_api_key()
        await _revoke(self.store, self.callers, caller.user_id, plain_int("api_key_id", api_key_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeAnyApiKey:
    """Revoke an API key of whichever user, for operators.

    Raises:
        InvalidInput: the id is not an integer.
        ApiKeyNotFound: no key has this id.
        StoreUnavailable: the store is unavailable or busy; the key may or may not have been revoked.
    """

    store: AccountStore
    callers: Callers

    async def __call__(self, *, api_key_id: int) -> None:
        api_key_id = plain_int("api_key_id", api_key_id)
        async with self.store.read() as view:
            api_key = await view.api_keys.find(api_key_id)
        if api_key is None:
            raise ApiKeyNotFound(api_key_id)
        await _revoke(self.store, self.callers, api_key.user_id, api_key_id)


async def _revoke(store: AccountStore, callers: Callers, user_id: int, api_key_id: int) -> None:
    try:
        async with store.write(user_id) as work:
            await work.api_keys.remove(api_key_id)
    except UserNotFound:
        raise ApiKeyNotFound(api_key_id) from None
    finally:
        await callers.forget(user_id)


class CreateApiKeyCall(Protocol):
    """How `CreateApiKey` is called."""

    async def __call__(self, *, caller: Caller, content: ApiKeyContent) -> NewApiKey: ...


class ListApiKeysCall(Protocol):
    """How `ListApiKeys` is called."""

    async def __call__(self, *, caller: Caller, skip: int = 0, limit: int = PAGE_LIMIT_DEFAULT) -> Page[ApiKey]: ...


class RevokeApiKeyCall(Protocol):
    """How `RevokeApiKey` is called."""

    async def __call__(self, *, caller: Caller, api_key_id: int) -> None: ...


class RevokeAnyApiKeyCall(Protocol):
    """How `RevokeAnyApiKey` is called."""

    async def __call__(self, *, api_key_id: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyUseCases:
    """What users and operators do with API keys. Each field can be another function with the same parameters."""

    create: CreateApiKeyCall
    list: ListApiKeysCall
    revoke: RevokeApiKeyCall
    revoke_any: RevokeAnyApiKeyCall

    @classmethod
    def over(cls, *, store: AccountStore, callers: Callers, clock: Clock) -> Self:
        """The use cases over these adapters."""
        return cls(
            create=CreateApiKey(store=store, clock=clock),
            list=ListApiKeys(store=store),
            revoke=RevokeApiKey(store=store, callers=callers),
            revoke_any=RevokeAnyApiKey(store=store, callers=callers),
        )
