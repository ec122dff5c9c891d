"""What a store of accounts should contain, and the steps of blocks of a user."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self, TypeAlias

from tradingagents_conformance.examples import Row, exact
from tradingagents_conformance.histories.blocks import Block, Model, Step, picked
from tradingagents_conformance.histories.promises import keeping, promise
from tradingagents_core.ports import AccountStore, AccountWork

Exact: TypeAlias = dict[str, str]
"""The fields of a stored object as texts."""


@dataclass(frozen=True)
class Seen:
    """An account as a reader may see it."""

    user: Exact | None
    """None for a user who was removed."""
    sessions: Sequence[Exact]
    api_keys: Sequence[Exact]


@dataclass
class AccountModel(Model):
    """The users, sessions, refresh tokens and API keys that a store should contain."""

    users: dict[int, Row] = field(default_factory=dict)
    sessions: dict[int, Row] = field(default_factory=dict)
    tokens: dict[str, Row] = field(default_factory=dict)
    """The refresh tokens by their hashes."""
    api_keys: dict[int, Row] = field(default_factory=dict)
    user_ids: list[int] = field(default_factory=list)
    """The ids of all users, removed ones included, oldest first."""
    users_of_sessions: dict[int, int] = field(default_factory=dict)
    """The user of each session, removed ones included."""
    users_of_api_keys: dict[int, int] = field(default_factory=dict)
    """The user of each API key, removed ones included."""

    def user_id(self, pick: int) -> int:
        """The id of a user; for a negative pick, an id that no user has."""
        return picked(pick, sorted(self.users))

    def session_id(self, user_id: int, pick: int) -> int:
        """The id of a session; for a negative pick, an id that was never used. The user's sessions come first."""
        return _own_first(self.sessions, self.users_of_sessions, user_id, pick)

    def api_key_id(self, user_id: int, pick: int) -> int:
        """The id of an API key; for a negative pick, an id that was never used. The user's keys come first."""
        return _own_first(self.api_keys, self.users_of_api_keys, user_id, pick)

    def email_is_taken(self, email: str, *, by_another_than: int | None = None) -> bool:
        """Whether a user has this e-mail."""
        return any(row["email"] == email and row["id"] != by_another_than for row in self.users.values())

    def sessions_of(self, user_id: int) -> list[Row]:
        """The sessions of a user in the order of their list, expired ones included."""
        return _of_user(self.sessions, user_id)

    def api_keys_of(self, user_id: int) -> list[Row]:
        """The API keys of a user in the order of their list."""
        return _of_user(self.api_keys, user_id)

    def tokens_of(self, user_id: int) -> list[Row]:
        """The refresh tokens of a user."""
        return [row for row in self.tokens.values() if self.users_of_sessions[row["session_id"]] == user_id]

    def add(self, row: Row) -> None:
        """Add a new user."""
        with keeping(promise(AccountStore.add_user, "no other user ever had this id")):
            assert row["id"] not in self.user_ids, f"the id {row['id']} was used before"
        with keeping(promise(AccountStore.add_user, "EmailTaken")):
            assert not self.email_is_taken(row["email"]), "two users have one e-mail"
        self.user_ids.append(row["id"])
        self.users[row["id"]] = row

    def end_sessions(self, session_ids: Sequence[int]) -> None:
        """Remove sessions, and their refresh tokens."""
        for session_id in session_ids:
            del self.sessions[session_id]
        for token_hash in [key for key, row in self.tokens.items() if row["session_id"] not in self.sessions]:
            del self.tokens[token_hash]

    def remove_user(self, user_id: int) -> None:
        """Remove a user, and all that belongs to the user."""
        del self.users[user_id]
        self.end_sessions([row["id"] for row in self.sessions_of(user_id)])
        for row in self.api_keys_of(user_id):
            del self.api_keys[row["id"]]

    def seen(self, row_id: int) -> Seen:
        return Seen(
            user=exact(self.users[row_id]) if row_id in self.users else None,
            sessions=[exact(row) for row in self.sessions_of(row_id)],
            api_keys=[exact(row) for row in self.api_keys_of(row_id)],
        )

    def take_over(self, later: Self, row_id: int) -> None:
        self.users[row_id] = later.users[row_id]
        self.end_sessions([row["id"] for row in self.sessions_of(row_id)])
        self.sessions |= {row["id"]: row for row in later.sessions_of(row_id)}
        self.tokens |= {row["token_hash"]: row for row in later.tokens_of(row_id)}
        for row in self.api_keys_of(row_id):
            del self.api_keys[row["id"]]
        self.api_keys |= {row["id"]: row for row in later.api_keys_of(row_id)}
        for mine, theirs in (
            (self.users_of_sessions, later.users_of_sessions),
            (self.users_of_api_keys, later.users_of_api_keys),
        ):
            for new_id, user_id in theirs.items():
                if user_id == row_id and mine.get(new_id) != user_id:
                    note_id(mine, new_id, user_id)

    def state(self) -> str:
        users, sessions = sorted(self.users), sorted(self.sessions)
        names = {"user_id": users, "session_id": sessions}
        rows = [*map(self.users.get, users), *map(self.sessions.get, sessions), *self.tokens.values()]
        rows += [self.api_keys[key] for key in sorted(self.api_keys)]
        return repr(
            [
                exact(
                    {
                        name: names[name].index(value) if name in names else value
                        for name, value in (row or {}).items()
                        if name != "id"
                    }
                )
                for row in rows
            ]
        )


AccountBlock: TypeAlias = Block[AccountWork, AccountModel]


class AccountStep(Step[AccountWork, AccountModel]):
    """An operation on the account of a user."""


def note_id(users: dict[int, int], new_id: int, user_id: int) -> None:
    """Note the id of a new session or API key of a user."""
    assert new_id not in users, f"the id {new_id} was used before"
    earlier = [key for key, owner in users.items() if owner == user_id]
    assert new_id > max(earlier, default=new_id - 1), "the id is not greater than all earlier ids of this user"
    users[new_id] = user_id


def arguments(row: Row) -> str:
    """The arguments of a call with these values."""
    return ", ".join(f"{name}={value}" for name, value in exact(row).items())


def _own_first(rows: dict[int, Row], users: dict[int, int], user_id: int, pick: int) -> int:
    owned = [row["id"] for row in _of_user(rows, user_id)]
    return picked(pick, owned + [key for key in users if key not in owned])


def _of_user(rows: dict[int, Row], user_id: int) -> list[Row]:
    return [rows[key] for key in sorted(rows) if rows[key]["user_id"] == user_id]
