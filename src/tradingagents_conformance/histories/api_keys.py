"""Steps of random histories on the API keys of a user."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hypothesis import strategies as st

from tradingagents_conformance.examples import CREATED, Row, exact
from tradingagents_conformance.histories.account_model import AccountBlock, AccountStep, arguments, note_id
from tradingagents_conformance.histories.blocks import possible
from tradingagents_conformance.histories.promises import keeping, promise
from tradingagents_conformance.histories.sessions import moments
from tradingagents_core.domain.api_keys import ApiKey, ApiKeyContent
from tradingagents_core.domain.scopes import ALL_SCOPES
from tradingagents_core.domain.secrets import hash_of
from tradingagents_core.errors import ApiKeyNotFound, TradingAgentsError
from tradingagents_core.ports import ApiKeyRepository


class ApiKeyStep(AccountStep):
    """An operation on the API keys of the user."""

    port = ApiKeyRepository


@dataclass(frozen=True)
class OneApiKey(ApiKeyStep):
    """An operation on an API key of the user, or on another one, which is refused."""

    api_key: int

    def chosen(self, block: AccountBlock) -> int:
        """The id of the key."""
        return block.model.api_key_id(block.row_id, self.api_key)

    def text(self, block: AccountBlock) -> str:
        return f"api_keys.{self.method}({self.chosen(block)})"

    def reasons(self, block: AccountBlock) -> Sequence[TradingAgentsError]:
        return _reasons(block, self.chosen(block))


class ReadApiKey(OneApiKey):
    """Read a key."""

    method = "get"

    async def ask(self, block: AccountBlock) -> ApiKey:
        return await block.work.api_keys.get(self.chosen(block))

    def note(self, block: AccountBlock, answer: ApiKey) -> None:
        assert exact(answer) == exact(block.model.api_keys[self.chosen(block)])


class RevokeApiKey(OneApiKey):
    """Remove a key."""

    method = "remove"

    async def ask(self, block: AccountBlock) -> None:
        await block.work.api_keys.remove(self.chosen(block))

    def note(self, block: AccountBlock, answer: None) -> None:
        del block.model.api_keys[self.chosen(block)]


@dataclass(frozen=True)
class AddApiKey(ApiKeyStep):
    """Store a new key."""

    content: Row
    at: datetime

    method = "add"

    def text(self, block: AccountBlock) -> str:
        return f"api_keys.add({arguments(self.content)}, key_hash={self._hash(block)!r}, at={self.at.isoformat()})"

    def reasons(self, block: AccountBlock) -> Sequence[TradingAgentsError]:
        return []

    async def ask(self, block: AccountBlock) -> ApiKey:
        return await block.work.api_keys.add(
            ApiKeyContent(**self.content), prefix="ta_", key_hash=self._hash(block), at=self.at
        )

    def note(self, block: AccountBlock, answer: ApiKey) -> None:
        row = self.content | {
            "id": answer.id,
            "user_id": block.row_id,
            "prefix": "ta_",
            "key_hash": self._hash(block),
            "created_at": self.at,
            "last_used_at": None,
        }
        with keeping(promise(ApiKeyRepository.add, "greater than the id of every earlier")):
            note_id(block.model.users_of_api_keys, answer.id, block.row_id)
        assert exact(answer) == exact(row)
        block.model.api_keys[answer.id] = row

    def _hash(self, block: AccountBlock) -> str:
        # No other key has this hash.
        earlier = [user_id for user_id in block.model.users_of_api_keys.values() if user_id == block.row_id]
        return hash_of(f"{len(earlier)} of {block.row_id}")


@dataclass(frozen=True)
class UseApiKey(ApiKeyStep):
    """Change the last use of a key of the user, or of another key, which is refused."""

    api_key: int
    last_used_at: datetime | None
    is_of_another_user: bool
    """Whether the new state has another user, which is refused."""

    method = "replace"

    def text(self, block: AccountBlock) -> str:
        return f"api_keys.replace({arguments(self._changed(block))})"

    def reasons(self, block: AccountBlock) -> Sequence[TradingAgentsError]:
        api_key_id = self._changed(block)["id"]
        return [ApiKeyNotFound(api_key_id)] if self.is_of_another_user else _reasons(block, api_key_id)

    async def ask(self, block: AccountBlock) -> None:
        await block.work.api_keys.replace(ApiKey(**self._changed(block)))

    def note(self, block: AccountBlock, answer: None) -> None:
        changed = self._changed(block)
        block.model.api_keys[changed["id"]] = changed

    def _changed(self, block: AccountBlock) -> Row:
        api_key_id = possible(block.model.api_key_id(block.row_id, self.api_key))
        user_id = block.row_id + 1 if self.is_of_another_user else block.row_id
        return (
            _UNKNOWN
            | block.model.api_keys.get(api_key_id, {})
            | {
                "id": api_key_id,
                "user_id": user_id,
                "last_used_at": self.last_used_at,
            }
        )


@dataclass(frozen=True)
class CountApiKeys(ApiKeyStep):
    """Count the keys that have not expired."""

    now: datetime

    method = "count_live"

    def text(self, block: AccountBlock) -> str:
        return f"api_keys.count_live(now={self.now.isoformat()})"

    def reasons(self, block: AccountBlock) -> Sequence[TradingAgentsError]:
        return []

    async def ask(self, block: AccountBlock) -> int:
        return await block.work.api_keys.count_live(now=self.now)

    def note(self, block: AccountBlock, answer: int) -> None:
        assert answer == len([row for row in block.model.api_keys_of(block.row_id) if not _has_expired(row, self.now)])


@dataclass(frozen=True)
class ExpireApiKeys(ApiKeyStep):
    """Remove the keys that have expired."""

    before: datetime

    method = "remove_expired"

    def text(self, block: AccountBlock) -> str:
        return f"api_keys.remove_expired(before={self.before.isoformat()})"

    def reasons(self, block: AccountBlock) -> Sequence[TradingAgentsError]:
        return []

    async def ask(self, block: AccountBlock) -> None:
        await block.work.api_keys.remove_expired(before=self.before)

    def note(self, block: AccountBlock, answer: None) -> None:
        for row in block.model.api_keys_of(block.row_id):
            if _has_expired(row, self.before):
                del block.model.api_keys[row["id"]]


def _has_expired(row: Row, now: datetime) -> bool:
    return row["expires_at"] is not None and row["expires_at"] <= now


def _reasons(block: AccountBlock, api_key_id: int) -> Sequence[TradingAgentsError]:
    row = block.model.api_keys.get(api_key_id)
    return [] if row is not None and row["user_id"] == block.row_id else [ApiKeyNotFound(api_key_id)]


_UNKNOWN: Final[Row] = {
    "name": "unknown",
    "scopes": ALL_SCOPES,
    "expires_at": None,
    "prefix": "ta_",
    "key_hash": hash_of("unknown"),
    "created_at": CREATED,
}
"""The fields of a key that does not exist."""

_picks = st.sampled_from((0, 0, 0, 1, 1, 2, 3, -1))
_contents = st.fixed_dictionaries(
    {
        "name": st.sampled_from("ab"),
        "scopes": st.sampled_from((ALL_SCOPES, ALL_SCOPES[:1], ALL_SCOPES[1:])),
        "expires_at": st.none() | moments,
    }
)

API_KEY_STEPS: Final[st.SearchStrategy[AccountStep]] = st.one_of(
    st.builds(AddApiKey, content=_contents, at=moments),
    st.builds(AddApiKey, content=_contents, at=moments),
    st.builds(ReadApiKey, api_key=_picks),
    st.builds(
        UseApiKey,
        api_key=_picks,
        last_used_at=st.none() | moments,
        is_of_another_user=st.sampled_from((False, False, False, True)),
    ),
    st.builds(RevokeApiKey, api_key=_picks),
    st.builds(CountApiKeys, now=moments),
    st.builds(ExpireApiKeys, before=moments),
)
