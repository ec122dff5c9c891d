"""Storage of API keys."""

from abc import ABC, abstractmethod
from datetime import datetime

from tradingagents_core.domain.accounts import User
from tradingagents_core.domain.api_keys import ApiKey, ApiKeyContent
from tradingagents_core.domain.page import Page


class ApiKeyReader(ABC):
    """Reads committed API keys, exactly as they were stored, microseconds included."""

    @abstractmethod
    async def find(self, api_key_id: int) -> ApiKey | None:
        """The key with this id, also where the key has expired; None for any integer that is no key's id."""

    @abstractmethod
    async def find_by_hash(self, key_hash: str) -> tuple[User, ApiKey] | None:
        """The key with this hash and its user, both of one moment, also where the key has expired.

        None for other hashes.
        """

    @abstractmethod
    async def list(self, *, user_id: int, skip: int, limit: int) -> Page[ApiKey]:
        """A page of this user's keys, oldest first (by id), expired keys included.

        `total` counts the whole list without paging. The list is empty for any integer that is no user's id.
        """


class ApiKeyRepository(ABC):
    """The API keys of the user whose row a writing block has locked; reads see the block's own changes."""

    @abstractmethod
    async def get(self, api_key_id: int) -> ApiKey:
        """One key of this user, also where the key has expired.

        Raises:
            ApiKeyNotFound: this user has no key with this id.
        """

    @abstractmethod
    async def count_live(self, *, now: datetime) -> int:
        """How many keys of this user have not expired `now`."""

    @abstractmethod
    async def add(self, content: ApiKeyContent, *, prefix: str, key_hash: str, at: datetime) -> ApiKey:
        """Store a new key, created `at` and never used.

        The id is greater than the id of every earlier key of this user, removed keys included, and no other key ever
        had this id. There may be gaps between ids. No other key has this hash.
        """

    @abstractmethod
    async def replace(self, api_key: ApiKey) -> None:
        """Store this state of a key in place of the one with the same id.

        Raises:
            ApiKeyNotFound: the user of the block has no key with this id, or `api_key` has another user.
        """

    @abstractmethod
    async def remove(self, api_key_id: int) -> None:
        """Remove a key. Its id is never used again.

        Raises:
            ApiKeyNotFound: this user has no key with this id.
        """

    @abstractmethod
    async def remove_expired(self, *, before: datetime) -> None:
        """Remove the keys of this user that expired at this time or earlier."""
