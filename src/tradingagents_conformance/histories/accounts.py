"""Random histories of users, their sessions and their API keys."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, cast

from hypothesis import strategies as st

from tradingagents_conformance.examples import CREATED, FOREIGN_IDS, MOMENT, Row, exact, is_nearly, refused, says
from tradingagents_conformance.histories.account_model import AccountBlock, AccountModel, AccountStep, Seen, arguments
from tradingagents_conformance.histories.api_keys import API_KEY_STEPS, AddApiKey
from tradingagents_conformance.histories.blocks import (
    CUTS,
    TURNS,
    Cut,
    Overlap,
    Overlapping,
    after_turns,
    overlapping,
    possible,
)
from tradingagents_conformance.histories.exploration import Exploration
from tradingagents_conformance.histories.history import READS_MEANWHILE, History, operation
from tradingagents_conformance.histories.promises import BlockPromises, keeping, promise
from tradingagents_conformance.histories.sessions import (
    SESSION_STEPS,
    TOKENS,
    OpenSession,
    PutToken,
    moments,
    token_hash,
)
from tradingagents_conformance.opening import OpenAccountStore
from tradingagents_core.domain.accounts import User
from tradingagents_core.domain.scopes import ALL_SCOPES
from tradingagents_core.errors import EmailTaken, TradingAgentsError, UserNotFound
from tradingagents_core.ports import (
    AccountStore,
    AccountView,
    AccountWork,
    ApiKeyReader,
    SessionReader,
    UserReader,
    UserRepository,
)


class UserStep(AccountStep):
    """An operation on a user."""

    port = UserRepository


def _chosen(user: int | None, block: AccountBlock) -> int:
    return block.row_id if user is None else block.model.user_id(user)


@dataclass(frozen=True)
class ReadUser(UserStep):
    """Read a user: the user of the block for None, otherwise another one, which is refused."""

    user: int | None

    method = "get"

    def text(self, block: AccountBlock) -> str:
        return f"get({_chosen(self.user, block)})"

    def reasons(self, block: AccountBlock) -> Sequence[TradingAgentsError]:
        user_id = _chosen(self.user, block)
        return [] if user_id == block.row_id else [UserNotFound(user_id)]

    async def ask(self, block: AccountBlock) -> User:
        return await block.work.users.get(_chosen(self.user, block))

    def note(self, block: AccountBlock, answer: User) -> None:
        assert exact(answer) == exact(block.model.users[block.row_id])


@dataclass(frozen=True)
class ChangeUser(UserStep):
    """Change a user: the user of the block for None, otherwise another one, which is refused."""

    user: int | None
    changes: Row

    method = "replace"

    def text(self, block: AccountBlock) -> str:
        return f"replace({arguments(self._changed(block))})"

    def reasons(self, block: AccountBlock) -> Sequence[TradingAgentsError]:
        changed = self._changed(block)
        reasons: list[TradingAgentsError] = []
        if changed["id"] != block.row_id:
            reasons.append(UserNotFound(changed["id"]))
        if block.model.email_is_taken(changed["email"], by_another_than=changed["id"]):
            reasons.append(EmailTaken(changed["email"]))
        return reasons

    async def ask(self, block: AccountBlock) -> None:
        await block.work.users.replace(User(**self._changed(block)))

    def note(self, block: AccountBlock, answer: None) -> None:
        block.model.users[block.row_id] = self._changed(block)

    def _changed(self, block: AccountBlock) -> Row:
        user_id = possible(_chosen(self.user, block))
        return block.model.users.get(user_id, block.model.users[block.row_id]) | {"id": user_id} | self.changes


@dataclass(frozen=True)
class RemoveUser(UserStep):
    """Remove the user of the block for None, otherwise another one, which is refused. The last step of a block."""

    user: int | None

    method = "remove"

    def text(self, block: AccountBlock) -> str:
        return f"remove({_chosen(self.user, block)})"

    def reasons(self, block: AccountBlock) -> Sequence[TradingAgentsError]:
        user_id = _chosen(self.user, block)
        return [] if user_id == block.row_id else [UserNotFound(user_id)]

    async def ask(self, block: AccountBlock) -> None:
        await block.work.users.remove(_chosen(self.user, block))

    def note(self, block: AccountBlock, answer: None) -> None:
        block.model.remove_user(block.row_id)


@dataclass(frozen=True)
class NewUser:
    """A user to add."""

    email: str
    at: datetime

    @property
    def password_hash(self) -> str:
        """A hash that differs for each user."""
        return self.email[::-1]

    def row(self, user_id: int) -> Row:
        """The user as stored."""
        return {
            "id": user_id,
            "email": self.email,
            "password_hash": self.password_hash,
            "is_active": True,
            "created_at": self.at,
            "updated_at": self.at,
        }


# Few e-mails and moments, so that users collide.
EMAILS: Final = tuple(f"{name}@example.com" for name in ("ann", "bob", "cid", "dan", "eve", "fay", "guy"))

_FIRST_USERS: Final = [NewUser(email, CREATED) for email in EMAILS[:2]]

_FIRST_STEPS: Final[Sequence[AccountStep]] = [
    OpenSession(at=CREATED, expires_at=CREATED + timedelta(seconds=3)),
    PutToken(number=0, session=0, expires_at=CREATED + timedelta(seconds=2), used_at=None),
    AddApiKey(content={"name": "bot", "scopes": ALL_SCOPES, "expires_at": None}, at=CREATED),
]

_users = st.sampled_from((0, 0, 0, 1, 1, 2))
_users_and_nobody = st.sampled_from((0, 0, 0, 1, 1, 2, 0, 1, -1, -6))
_own_and_others = st.sampled_from((*[None] * 8, 0, 1, -1))
_moments = st.builds(lambda number: CREATED + timedelta(seconds=number, microseconds=number), st.integers(0, 2))
_emails = st.sampled_from(EMAILS)
_new_users = st.builds(NewUser, email=_emails, at=_moments)
_new_users_at_once = st.lists(_new_users, max_size=2) | st.builds(
    lambda email, times: [NewUser(email, at) for at in times], _emails, st.lists(_moments, min_size=2, max_size=3)
)
_hashes = st.sampled_from(("x", "y"))
_reads: st.SearchStrategy[AccountStep] = st.builds(ReadUser, user=_own_and_others)
_changes: st.SearchStrategy[AccountStep] = st.builds(
    ChangeUser,
    user=_own_and_others,
    changes=st.fixed_dictionaries(
        {"updated_at": _moments}, optional={"email": _emails, "password_hash": _hashes, "is_active": st.booleans()}
    ),
)
# The store decides which of two users gets an e-mail, and two users who swap e-mails would deadlock.
_changes_but_of_emails: st.SearchStrategy[AccountStep] = st.builds(
    ChangeUser,
    user=st.none(),
    changes=st.fixed_dictionaries(
        {"updated_at": _moments}, optional={"password_hash": _hashes, "is_active": st.booleans()}
    ),
)
_steps_of_users = st.one_of(_changes, _changes, _reads)
_removals: st.SearchStrategy[AccountStep] = st.builds(RemoveUser, user=_own_and_others)
_steps = st.builds(
    lambda steps, last: [*steps, *last],
    st.one_of(
        st.lists(_steps_of_users, min_size=1, max_size=5),
        st.lists(SESSION_STEPS, min_size=1, max_size=5),
        st.lists(_steps_of_users | SESSION_STEPS | API_KEY_STEPS, min_size=1, max_size=5),
        st.lists(API_KEY_STEPS, min_size=1, max_size=5),
    ),
    # Seldom, so that histories have users. Nothing follows a removal in its block.
    st.integers(0, 9).flatmap(lambda number: st.just([]) if number else st.tuples(_removals)),
)


@dataclass(frozen=True)
class PageRequest:
    """The arguments for reading a page of a user's sessions or API keys."""

    user: int
    """A pick among the users; a negative pick is an integer that is no user."""
    now: datetime
    skip: int
    limit: int


_pages = st.builds(PageRequest, user=_users_and_nobody, now=moments, skip=st.integers(0, 3), limit=st.integers(1, 3))
_BEFORE_ALL: Final = CREATED - MOMENT
"""A time at which no session has expired."""


class AccountHistory(History[AccountStore, AccountWork, AccountModel]):
    """Random blocks of a few users, and users who are added between and beside the blocks.

    Expiry follows the times in the calls, whatever the time is: that of one call may be earlier than that of the last.
    """

    promises = BlockPromises.of(AccountStore, UserReader, UserRepository)

    def __init__(self, open_store: OpenAccountStore, exploration: Exploration) -> None:
        super().__init__(open_store, AccountModel(), exploration)

    async def fill(self) -> None:
        await self._add(_FIRST_USERS)
        for user_id in sorted(self.model.users):
            await self.keep(user_id, _FIRST_STEPS)

    def write(self, row_id: int) -> AbstractAsyncContextManager[AccountWork]:
        return self.store.write(row_id)

    async def compare(self, model: AccountModel) -> None:
        async with self.store.read() as view:
            listed = await view.users.list()
        with keeping(self.promises.as_stored):
            stored = [model.users[user_id] for user_id in sorted(model.users)]
            assert not any(map(is_nearly, listed, stored)), "a user was changed"
        ids = [user.id for user in listed]
        if sorted(ids) == sorted(model.users):
            with keeping(promise(UserReader.list, "oldest first")):
                assert ids == sorted(ids), "the users are not listed in the order of their ids"
        assert [exact(user) for user in listed] == [exact(model.users[user_id]) for user_id in sorted(model.users)]
        async with self.store.read() as view:
            for user_id in model.user_ids:
                await _compare_pages(view, model, user_id, now=_BEFORE_ALL)
            await _compare_tokens(view, model)

    async def keep_blocks(self, blocks: list[tuple[int, list[AccountStep]]], page: PageRequest) -> None:
        """A normal end commits a block, unless its user does not exist or one of its steps is refused."""
        for user, steps in blocks:
            user_id = self.model.user_id(user)
            await (self.keep(user_id, steps) if user_id in self.model.users else self._open_block_of_nobody(user_id))
        await self._find(page)

    async def leave_a_block_with_an_exception(self, user: int, steps: list[AccountStep]) -> None:
        """An exception rolls a block back."""
        if self.model.users:
            await self.fail(self.model.user_id(user), steps)

    async def catch_refusals(self, user: int, steps: list[AccountStep]) -> None:
        """A block that catches the error of a refused change keeps nothing."""
        if self.model.users:
            await self.catch(self.model.user_id(user), steps)

    async def cancel_a_block(self, user: int, steps: list[AccountStep], cut: Cut) -> None:
        """A block whose caller is cancelled commits everything or nothing."""
        if self.model.users:
            await self.cancel(self.model.user_id(user), steps, cut)

    async def overlap_blocks(self, blocks: list[Overlapping[AccountWork, AccountModel]], new: list[NewUser]) -> None:
        """Blocks of one user run one after another while users are added; readers see only committed data."""
        overlap = Overlap(self.model, self.model.users)
        of_users = [(self.model.user_id(block.row), block) for block in blocks if self.model.users]
        refused_emails: list[str] = []
        newest = max(self.model.user_ids)
        adding = [self._add_beside(each, newest, refused_emails) for each in new]
        await self.overlap(overlap, of_users, self._read_meanwhile(overlap, new), *adding)
        for email in refused_emails:
            with keeping(promise(AccountStore.add_user, "EmailTaken")):
                assert self.model.email_is_taken(email), f"{email} was refused, but no user has it"
        await self.check(self.promises.locked)

    async def add_users(self, new: list[NewUser]) -> None:
        """A new user is stored, unless another user has the e-mail."""
        await self._add(new)
        await self.check(promise(AccountStore.add_user))

    async def cancel_an_addition(self, new: NewUser, turns: int) -> None:
        """A user whose addition is cancelled is stored as a whole or not at all."""
        await self._cancel_addition(new, turns)
        await self.check(self.promises.whole_or_undone)

    async def _add(self, new: Sequence[NewUser]) -> None:
        self.promise = promise(AccountStore.add_user)
        for each in new:
            self.exploration.steps += 1
            if self.model.email_is_taken(each.email):
                self.exploration.refusals += 1
                with refused(EmailTaken(each.email)):
                    await self._ask_to_add(each)
            else:
                self._note(each, await self._ask_to_add(each), newest=max(self.model.user_ids, default=None))

    async def _ask_to_add(self, new: NewUser) -> User:
        self.events.append(
            f"add_user(email={new.email!r}, password_hash={new.password_hash!r}, at={new.at.isoformat()})"
        )
        return await self.store.add_user(email=new.email, password_hash=new.password_hash, at=new.at)

    def _note(self, new: NewUser, answer: User, *, newest: int | None) -> None:
        with keeping(promise(AccountStore.add_user, "greater than the id of every earlier")):
            assert newest is None or answer.id > newest, "the id of a new user is not greater than all earlier ids"
        row = new.row(answer.id)
        assert exact(answer) == exact(row)
        self.model.add(row)

    async def _add_beside(self, new: NewUser, newest: int, refused_emails: list[str]) -> None:
        try:
            answer = await self._ask_to_add(new)
        except TradingAgentsError as refusal:
            if not says(refusal, EmailTaken(new.email)):
                raise
            refused_emails.append(new.email)
        else:
            self._note(new, answer, newest=newest)

    async def _cancel_addition(self, new: NewUser, turns: int) -> None:
        self.cancelled = True
        caller = asyncio.ensure_future(self._add([new]))
        after_turns(turns, caller.cancel)
        try:
            await asyncio.wait({caller})
        finally:
            caller.cancel()
        if not caller.cancelled():
            caller.result()
            return
        async with self.store.read() as view:
            found = await view.users.find_by_email(new.email)
        if found is not None and found.id not in self.model.user_ids:
            self._note(new, found, newest=max(self.model.user_ids))

    async def _open_block_of_nobody(self, user_id: int) -> None:
        self.events.append(f"write({user_id})")
        self.promise = promise(AccountStore.write, "UserNotFound")
        with refused(UserNotFound(user_id)):
            async with self.store.write(user_id):
                raise AssertionError("a block of a user who does not exist was entered")

    async def _find(self, page: PageRequest) -> None:
        """Check that all is found by ids, e-mails and hashes, and that other ids, e-mails and hashes find nothing."""
        self.events.append("read(): find and find_by_email")
        self.promise = promise(UserReader.find)
        async with self.store.read() as view:
            for user_id, row in self.model.users.items():
                for found in (await view.users.find(user_id), await view.users.find_by_email(row["email"])):
                    assert found is not None, f"a user of {row} is not found"
                    with keeping(self.promises.as_stored):
                        assert exact(found) == exact(row)
            for user_id in FOREIGN_IDS:
                assert await view.users.find(user_id) is None
            self.promise = promise(UserReader.find_by_email)
            for email in EMAILS:
                assert self.model.email_is_taken(email) or await view.users.find_by_email(email) is None
            await self._find_sessions(view)
            await self._find_api_keys(view)
            await _compare_pages(
                view, self.model, self.model.user_id(page.user), now=page.now, skip=page.skip, limit=page.limit
            )

    async def _find_sessions(self, view: AccountView) -> None:
        self.promise = promise(SessionReader.find)
        for session_id, user_id in self.model.users_of_sessions.items():
            found = await view.sessions.find(session_id)
            row = self.model.sessions.get(session_id)
            assert (found is None) == (row is None), f"session {session_id} should {'not ' * (row is None)}be found"
            if found is not None and row is not None:
                assert exact(found[0]) == exact(self.model.users[user_id])
                assert exact(found[1]) == exact(row)

    async def _find_api_keys(self, view: AccountView) -> None:
        for api_key_id, user_id in self.model.users_of_api_keys.items():
            self.promise = promise(ApiKeyReader.find)
            row = self.model.api_keys.get(api_key_id)
            found = await view.api_keys.find(api_key_id)
            assert (found is None) == (row is None), f"key {api_key_id} should {'not ' * (row is None)}be found"
            if row is not None:
                self.promise = promise(ApiKeyReader.find_by_hash)
                by_hash = await view.api_keys.find_by_hash(row["key_hash"])
                assert by_hash is not None, f"a key of {row} is not found"
                assert exact(by_hash[0]) == exact(self.model.users[user_id])
                assert exact(by_hash[1]) == exact(row)

    async def _read_meanwhile(self, overlap: Overlap[AccountModel], new: Sequence[NewUser]) -> None:
        known = set(self.model.users)
        session_ids = list(self.model.sessions)
        for _ in range(READS_MEANWHILE):
            async with self.store.read() as view:
                listed = await view.users.list()
                assert known <= {user.id for user in listed}
                with keeping(promise(UserReader.list, "oldest first")):
                    ordered = sorted(listed, key=lambda user: user.id)
                    assert list(listed) == ordered, "the users are not listed in the order of their ids"
                for user in listed:
                    kept = (
                        [seen.user for seen in _seen(overlap, user.id)]
                        if user.id in known
                        else [exact(each.row(user.id)) for each in new]
                    )
                    with keeping(self.promises.committed_data):
                        assert exact(user) in kept, "a reader saw data that no block has committed"
                for session_id in session_ids:
                    await self._find_meanwhile(view, overlap, session_id)
                for user_id in known:
                    await self._list_meanwhile(view, overlap, user_id)
            await asyncio.sleep(0)

    async def _find_meanwhile(self, view: AccountView, overlap: Overlap[AccountModel], session_id: int) -> None:
        found = await view.sessions.find(session_id)
        if found is not None:
            user, session = exact(found[0]), exact(found[1])
            with keeping(promise(SessionReader.find, "both of one moment")):
                assert any(user == seen.user and session in seen.sessions for seen in _seen(overlap, found[0].id)), (
                    "a reader found a session and a user that no block has committed together"
                )

    async def _list_meanwhile(self, view: AccountView, overlap: Overlap[AccountModel], user_id: int) -> None:
        sessions = await view.sessions.list(user_id=user_id, now=_BEFORE_ALL, skip=0, limit=1000)
        api_keys = await view.api_keys.list(user_id=user_id, skip=0, limit=1000)
        for port, page, lists in (
            (SessionReader, sessions, [seen.sessions for seen in _seen(overlap, user_id)]),
            (ApiKeyReader, api_keys, [seen.api_keys for seen in _seen(overlap, user_id)]),
        ):
            read = [exact(item) for item in page.items]
            with keeping(promise(port.list, "`total` counts")):
                assert page.total == len(read), "items and total are not of the same moment"
            with keeping(self.promises.committed_data):
                assert read in lists, "a reader saw data that no block has committed"


def _seen(overlap: Overlap[AccountModel], user_id: int) -> Sequence[Seen]:
    return cast(Sequence[Seen], overlap.seen(user_id))


async def _compare_pages(
    view: AccountView, model: AccountModel, user_id: int, *, now: datetime, skip: int = 0, limit: int = 1000
) -> None:
    """Check that a page of the user's live sessions and a page of the user's API keys match the model."""
    live = [row for row in model.sessions_of(user_id) if row["expires_at"] > now]
    sessions = await view.sessions.list(user_id=user_id, now=now, skip=skip, limit=limit)
    api_keys = await view.api_keys.list(user_id=user_id, skip=skip, limit=limit)
    for port, page, wanted in (
        (SessionReader, sessions, live),
        (ApiKeyReader, api_keys, model.api_keys_of(user_id)),
    ):
        with keeping(promise(port.list)):
            assert [exact(item) for item in page.items] == [exact(row) for row in wanted[skip:][:limit]]
            assert (page.skip, page.limit) == (skip, limit)
        with keeping(promise(port.list, "`total` counts")):
            assert page.total == len(wanted), "a page has a wrong total"


async def _compare_tokens(view: AccountView, model: AccountModel) -> None:
    """Check that the refresh tokens of all users, also of removed users, find their sessions, and nothing else."""
    for user_id in model.user_ids:
        for number in range(TOKENS):
            token = model.tokens.get(token_hash(user_id, number))
            found = await view.sessions.find_by_refresh_token(token_hash(user_id, number))
            with keeping(promise(SessionReader.find_by_refresh_token)):
                wanted = [] if token is None else [exact(model.sessions[token["session_id"]])]
                assert [exact(session) for session in [found] if session is not None] == wanted


OPERATIONS: Final = st.one_of(
    operation(
        AccountHistory.keep_blocks,
        blocks=st.lists(st.tuples(_users_and_nobody, _steps), min_size=1, max_size=3),
        page=_pages,
    ),
    operation(AccountHistory.leave_a_block_with_an_exception, user=_users, steps=_steps),
    # Only changes of users are refused with errors that may not be caught.
    operation(
        AccountHistory.catch_refusals, user=_users, steps=st.lists(_steps_of_users, min_size=1, max_size=5) | _steps
    ),
    operation(AccountHistory.cancel_a_block, user=_users, steps=_steps, cut=CUTS),
    operation(
        AccountHistory.overlap_blocks,
        blocks=overlapping(
            st.sampled_from((0, 0, 0, 1)),
            st.one_of(_changes_but_of_emails, _changes_but_of_emails, SESSION_STEPS, API_KEY_STEPS),
        ),
        new=_new_users_at_once,
    ),
    operation(AccountHistory.add_users, new=st.lists(_new_users, min_size=1, max_size=3)),
    operation(AccountHistory.cancel_an_addition, new=_new_users, turns=TURNS),
)
