"""Random histories of users."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Self, TypeAlias

from hypothesis import strategies as st

from tradingagents_conformance.examples import CREATED, FOREIGN_IDS, Row, exact, is_nearly, refused, says
from tradingagents_conformance.histories.blocks import (
    CUTS,
    TURNS,
    Block,
    Cut,
    Model,
    Overlap,
    Overlapping,
    Step,
    after_turns,
    overlapping,
    picked,
    possible,
)
from tradingagents_conformance.histories.exploration import Exploration
from tradingagents_conformance.histories.history import READS_MEANWHILE, History, operation
from tradingagents_conformance.histories.promises import BlockPromises, keeping, promise
from tradingagents_conformance.opening import OpenAccountStore
from tradingagents_core.domain.accounts import User
from tradingagents_core.errors import EmailTaken, TradingAgentsError, UserNotFound
from tradingagents_core.ports import AccountStore, AccountWork, UserReader, UserRepository


@dataclass
class AccountModel(Model):
    """The users that a store should contain."""

    users: dict[int, Row] = field(default_factory=dict)

    def user_id(self, pick: int) -> int:
        """The id of a user; for a negative pick, an id that no user has."""
        return picked(pick, sorted(self.users))

    def email_is_taken(self, email: str, *, by_another_than: int | None = None) -> bool:
        """Whether a user has this e-mail."""
        return any(row["email"] == email and row["id"] != by_another_than for row in self.users.values())

    def add(self, row: Row) -> None:
        """Add a new user."""
        with keeping(promise(AccountStore.add_user, "no other user ever had this id")):
            assert row["id"] not in self.users, f"the id {row['id']} was used before"
        with keeping(promise(AccountStore.add_user, "EmailTaken")):
            assert not self.email_is_taken(row["email"]), "two users have one e-mail"
        self.users[row["id"]] = row

    def seen(self, row_id: int) -> dict[str, str]:
        return exact(self.users[row_id])

    def take_over(self, later: Self, row_id: int) -> None:
        self.users[row_id] = later.users[row_id]

    def state(self) -> str:
        return repr([exact(self.users[key] | {"id": number}) for number, key in enumerate(sorted(self.users))])


AccountBlock: TypeAlias = Block[AccountWork, AccountModel]


class AccountStep(Step[AccountWork, AccountModel]):
    """An operation on a user."""

    port = UserRepository


def _chosen(user: int | None, block: AccountBlock) -> int:
    return block.row_id if user is None else block.model.user_id(user)


@dataclass(frozen=True)
class ReadUser(AccountStep):
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
class ChangeUser(AccountStep):
    """Change a user: the user of the block for None, otherwise another one, which is refused."""

    user: int | None
    changes: Row

    method = "replace"

    def text(self, block: AccountBlock) -> str:
        return f"replace({_arguments(self._changed(block))})"

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


def _arguments(row: Row) -> str:
    return ", ".join(f"{name}={value}" for name, value in exact(row).items())


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
_steps = st.lists(st.one_of(_changes, _changes, _reads), min_size=1, max_size=5)


class AccountHistory(History[AccountStore, AccountWork, AccountModel]):
    """Random blocks of a few users, and users who are added between and beside the blocks."""

    promises = BlockPromises.of(AccountStore, UserReader, UserRepository)

    def __init__(self, open_store: OpenAccountStore, exploration: Exploration) -> None:
        super().__init__(open_store, AccountModel(), exploration)

    async def fill(self) -> None:
        await self._add(_FIRST_USERS)

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

    async def keep_blocks(self, blocks: list[tuple[int, list[AccountStep]]]) -> None:
        """A normal end commits a block, unless its user does not exist or one of its steps is refused."""
        for user, steps in blocks:
            user_id = self.model.user_id(user)
            await (self.keep(user_id, steps) if user_id in self.model.users else self._open_block_of_nobody(user_id))
        await self._find()

    async def leave_a_block_with_an_exception(self, user: int, steps: list[AccountStep]) -> None:
        """An exception rolls a block back."""
        await self.fail(self.model.user_id(user), steps)

    async def catch_refusals(self, user: int, steps: list[AccountStep]) -> None:
        """A block that catches the error of a refused change keeps nothing."""
        await self.catch(self.model.user_id(user), steps)

    async def cancel_a_block(self, user: int, steps: list[AccountStep], cut: Cut) -> None:
        """A block whose caller is cancelled commits everything or nothing."""
        await self.cancel(self.model.user_id(user), steps, cut)

    async def overlap_blocks(self, blocks: list[Overlapping[AccountWork, AccountModel]], new: list[NewUser]) -> None:
        """Blocks of one user run one after another while users are added; readers see only committed data."""
        overlap = Overlap(self.model, self.model.users)
        of_users = [(self.model.user_id(block.row), block) for block in blocks]
        refused_emails: list[str] = []
        adding = [self._add_beside(each, max(self.model.users), refused_emails) for each in new]
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
                self._note(each, await self._ask_to_add(each), newest=max(self.model.users, default=None))

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
        if found is not None and found.id not in self.model.users:
            self._note(new, found, newest=max(self.model.users))

    async def _open_block_of_nobody(self, user_id: int) -> None:
        self.events.append(f"write({user_id})")
        self.promise = promise(AccountStore.write, "UserNotFound")
        with refused(UserNotFound(user_id)):
            async with self.store.write(user_id):
                raise AssertionError("a block of a user who does not exist was entered")

    async def _find(self) -> None:
        """Check that each user is found by id and by e-mail, and that other ids and e-mails find none."""
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

    async def _read_meanwhile(self, overlap: Overlap[AccountModel], new: Sequence[NewUser]) -> None:
        known = set(self.model.users)
        for _ in range(READS_MEANWHILE):
            async with self.store.read() as view:
                listed = await view.users.list()
            assert known <= {user.id for user in listed}
            with keeping(promise(UserReader.list, "oldest first")):
                ordered = sorted(listed, key=lambda user: user.id)
                assert list(listed) == ordered, "the users are not listed in the order of their ids"
            for user in listed:
                kept = overlap.seen(user.id) if user.id in known else [exact(each.row(user.id)) for each in new]
                with keeping(self.promises.committed_data):
                    assert exact(user) in kept, "a reader saw data that no block has committed"
            await asyncio.sleep(0)


OPERATIONS: Final = st.one_of(
    operation(
        AccountHistory.keep_blocks, blocks=st.lists(st.tuples(_users_and_nobody, _steps), min_size=1, max_size=3)
    ),
    operation(AccountHistory.leave_a_block_with_an_exception, user=_users, steps=_steps),
    operation(AccountHistory.catch_refusals, user=_users, steps=_steps),
    operation(AccountHistory.cancel_a_block, user=_users, steps=_steps, cut=CUTS),
    operation(
        AccountHistory.overlap_blocks,
        blocks=overlapping(st.sampled_from((0, 0, 0, 1)), _changes_but_of_emails),
        new=_new_users_at_once,
    ),
    operation(AccountHistory.add_users, new=st.lists(_new_users, min_size=1, max_size=3)),
    operation(AccountHistory.cancel_an_addition, new=_new_users, turns=TURNS),
)
