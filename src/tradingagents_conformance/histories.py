"""Random histories of blocks, compared with plain dictionaries that share no code with any store.

A block is a list of steps and a way to end: kept, left with an exception, or cut off by a cancelled caller; some blocks
overlap. What each step answers or refuses, and what the store holds after each block, has to be what the dictionaries
say.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tradingagents_conformance.examples import CREATED, FOREIGN_IDS, Row, exact, says
from tradingagents_conformance.opening import OpenStore
from tradingagents_core.domain.parameters import INTEGER_MAX, INTEGER_MIN, JsonValue, Parameters
from tradingagents_core.domain.strategy import Strategy, StrategyContent
from tradingagents_core.domain.user import User
from tradingagents_core.errors import (
    EmailTaken,
    StrategyNameTaken,
    StrategyNotFound,
    TradingAgentsError,
    UserNotFound,
)
from tradingagents_core.ports import Store, StoreView, StoreWork

PATIENCE_AFTER_A_HANG: Final = 0.2
"""Seconds that a block gets while Hypothesis looks for a shorter history that hangs, too."""

READS_MEANWHILE: Final = 2
"""How often an owner's list is read while blocks overlap."""


@dataclass(kw_only=True)
class Exploration:
    """What a run of many histories has tried so far."""

    patience: float
    """Seconds after which a block counts as hanging."""

    histories: int = 0
    blocks: int = 0
    steps: int = 0
    refusals: int = 0
    states: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        return (
            f"{self.histories} histories, {self.blocks} blocks, {self.steps} steps ({self.refusals} refused), "
            f"{len(self.states)} different states"
        )


@dataclass
class Book:
    """What a store should hold, and every id that it has given."""

    users: dict[int, Row] = field(default_factory=dict)
    strategies: dict[int, Row] = field(default_factory=dict)
    user_ids: list[int] = field(default_factory=list)
    strategy_ids: dict[int, int] = field(default_factory=dict)
    """The owner of each strategy that there ever was."""

    def user_id(self, pick: int) -> int:
        """An id that was given to a user, or for a negative pick one that never was."""
        return _picked(pick, self.user_ids)

    def ids(self, owner: int, strategy: int) -> tuple[int, int]:
        """The ids of an owner and a strategy; for a negative pick one that was never given.

        The owner's strategies are picked first, then those of others and those that are removed by now.
        """
        owner_id = self.user_id(owner)
        owned = [row["id"] for row in self.owned(owner_id)]
        return owner_id, _picked(strategy, owned + [key for key in self.strategy_ids if key not in owned])

    def find(self, owner_id: int, strategy_id: int) -> Row | None:
        """The strategy, if it is this owner's."""
        row = self.strategies.get(strategy_id)
        return row if row is not None and row["owner_id"] == owner_id else None

    def owned(self, owner_id: int, *, active_only: bool = False) -> list[Row]:
        """An owner's strategies in the order of their list."""
        rows = [self.strategies[key] for key in sorted(self.strategies)]
        return [row for row in rows if row["owner_id"] == owner_id and (row["is_active"] or not active_only)]

    def name_is_taken(self, owner_id: int, name: str, *, by_another_than: int | None = None) -> bool:
        """Whether the owner has such a name already."""
        return any(row["name"] == name and row["id"] != by_another_than for row in self.owned(owner_id))

    def email_is_taken(self, email: str, *, by_another_than: int | None = None) -> bool:
        """Whether a user has this e-mail already."""
        return any(row["email"] == email and row["id"] != by_another_than for row in self.users.values())

    def take_over(self, later: "Book", owner_id: int) -> None:
        """Take over an owner's strategies from a later copy of this book."""
        for strategy_id in [key for key, row in self.strategies.items() if row["owner_id"] == owner_id]:
            del self.strategies[strategy_id]
        self.strategies |= {row["id"]: row for row in later.owned(owner_id)}
        for strategy_id, owner in later.strategy_ids.items():
            if owner == owner_id and strategy_id not in self.strategy_ids:
                assert_never_given(strategy_id, self.strategy_ids)
                self.strategy_ids[strategy_id] = owner

    def state(self) -> str:
        """A text that two books share when they hold the same, whatever ids their stores gave."""
        users = {user_id: number for number, user_id in enumerate(self.user_ids)}
        people = [exact(self.users[user_id] | {"id": users[user_id]}) for user_id in sorted(self.users)]
        things = [
            exact(self.strategies[key] | {"id": number, "owner_id": users[self.strategies[key]["owner_id"]]})
            for number, key in enumerate(sorted(self.strategies))
        ]
        return repr((people, things))


def _picked(pick: int, given: Sequence[int]) -> int:
    return given[pick % len(given)] if given and pick >= 0 else FOREIGN_IDS[pick % len(FOREIGN_IDS)]


def assert_never_given(new_id: int, given: Sequence[int] | dict[int, int]) -> None:
    """A new id is one that was not given before."""
    assert new_id not in given, f"the id {new_id} was given before"


class Block:
    """A writing block that is open, and the book as it will be once the block is kept."""

    def __init__(self, work: StoreWork, book: Book) -> None:
        self.work = work
        self.book = book
        self._taken: set[int] = set()

    async def take_row(self, user_id: int) -> None:
        """Take a user's row, once."""
        if user_id in self._taken:
            return
        await self.work.lock_user(user_id)
        assert user_id in self.book.users, f"the row of user {user_id} was taken, who does not exist"
        user = await self.work.find_user(user_id)
        assert user is not None
        assert exact(user) == exact(self.book.users[user_id])
        self._taken.add(user_id)

    def has_row_of(self, user_id: int) -> None:
        """Note that a user's row has been taken."""
        self._taken.add(user_id)


class Step(ABC):
    """Something asked of a block."""

    def reasons(self, book: Book) -> Sequence[TradingAgentsError]:
        """Why the block has to refuse it; where there are several reasons, any of them will do."""
        return ()

    @abstractmethod
    async def ask(self, block: Block) -> Any:
        """Ask for it; the answer goes to `note`."""

    def note(self, book: Book, answer: Any) -> None:  # noqa: B027
        """Check the answer, and note in the book what has changed; a step that only reads notes nothing."""


@dataclass(frozen=True)
class ChangeOfStrategies(Step):
    """A step that changes one owner's strategies."""

    owner: int

    def reasons(self, book: Book) -> Sequence[TradingAgentsError]:
        owner_id = book.user_id(self.owner)
        return self.reasons_within(book, owner_id) if owner_id in book.users else [UserNotFound(owner_id)]

    @abstractmethod
    def reasons_within(self, book: Book, owner_id: int) -> Sequence[TradingAgentsError]:
        """Why a block has to refuse it to an owner who exists."""


@dataclass(frozen=True)
class AddUser(Step):
    """Store a new user."""

    email: str
    at: datetime

    def reasons(self, book: Book) -> Sequence[TradingAgentsError]:
        return [EmailTaken(self.email)] if book.email_is_taken(self.email) else []

    async def ask(self, block: Block) -> User:
        return await block.work.add_user(email=self.email, password_hash=self.email[::-1], at=self.at)

    def note(self, book: Book, answer: User) -> None:
        assert_never_given(answer.id, book.user_ids)
        assert answer.id > max(book.user_ids, default=answer.id - 1), "the newest user is not last in the order of ids"
        row = {
            "id": answer.id,
            "email": self.email,
            "password_hash": self.email[::-1],
            "is_active": True,
            "created_at": self.at,
            "updated_at": self.at,
        }
        assert exact(answer) == exact(row)
        book.user_ids.append(answer.id)
        book.users[answer.id] = row


@dataclass(frozen=True)
class ChangeUser(Step):
    """Replace a user by one with other fields."""

    user: int
    changes: Row

    def reasons(self, book: Book) -> Sequence[TradingAgentsError]:
        user_id = book.user_id(self.user)
        if user_id not in book.users:
            return [UserNotFound(user_id)]
        email = self._changed(book)["email"]
        return [EmailTaken(email)] if book.email_is_taken(email, by_another_than=user_id) else []

    async def ask(self, block: Block) -> None:
        await block.take_row(block.book.user_id(self.user))
        await block.work.replace_user(User(**self._changed(block.book)))

    def note(self, book: Book, answer: None) -> None:
        book.users[book.user_id(self.user)] = self._changed(book)

    def _changed(self, book: Book) -> Row:
        return book.users[book.user_id(self.user)] | self.changes


@dataclass(frozen=True)
class AddStrategy(ChangeOfStrategies):
    """Store a new strategy."""

    content: Row
    at: datetime

    def reasons_within(self, book: Book, owner_id: int) -> Sequence[TradingAgentsError]:
        name = self.content["name"]
        return [StrategyNameTaken(name)] if book.name_is_taken(owner_id, name) else []

    async def ask(self, block: Block) -> Strategy:
        owner_id = block.book.user_id(self.owner)
        await block.take_row(owner_id)
        content = StrategyContent(**self.content | {"parameters": Parameters(self.content["parameters"])})
        return await block.work.add_strategy(owner_id=owner_id, content=content, at=self.at)

    def note(self, book: Book, answer: Strategy) -> None:
        owner_id = book.user_id(self.owner)
        assert_never_given(answer.id, book.strategy_ids)
        earlier = [key for key, owner in book.strategy_ids.items() if owner == owner_id]
        assert answer.id > max(earlier, default=answer.id - 1), "the newest strategy is not last in the order of ids"
        row = deepcopy(self.content) | {
            "id": answer.id,
            "owner_id": owner_id,
            "created_at": self.at,
            "updated_at": self.at,
        }
        assert exact(answer) == exact(row)
        book.strategy_ids[answer.id] = owner_id
        book.strategies[answer.id] = row


@dataclass(frozen=True)
class ChangeStrategy(ChangeOfStrategies):
    """Replace an owner's strategy, or what is not the owner's, by one with another content."""

    strategy: int
    content: Row
    at: datetime

    def reasons_within(self, book: Book, owner_id: int) -> Sequence[TradingAgentsError]:
        strategy_id, name = book.ids(self.owner, self.strategy)[1], self.content["name"]
        reasons: list[TradingAgentsError] = []
        if book.find(owner_id, strategy_id) is None:
            reasons.append(StrategyNotFound(strategy_id))
        if book.name_is_taken(owner_id, name, by_another_than=strategy_id):
            reasons.append(StrategyNameTaken(name))
        return reasons

    async def ask(self, block: Block) -> None:
        changed = self._changed(block.book)
        await block.take_row(changed["owner_id"])
        await block.work.replace_strategy(Strategy(**changed | {"parameters": Parameters(changed["parameters"])}))

    def note(self, book: Book, answer: None) -> None:
        changed = self._changed(book)
        book.strategies[changed["id"]] = changed

    def _changed(self, book: Book) -> Row:
        owner_id, strategy_id = book.ids(self.owner, self.strategy)
        return deepcopy(self.content) | {
            "id": strategy_id,
            "owner_id": owner_id,
            "created_at": book.strategies.get(strategy_id, {}).get("created_at", self.at),
            "updated_at": self.at,
        }


@dataclass(frozen=True)
class RemoveStrategy(ChangeOfStrategies):
    """Remove an owner's strategy, or what is not the owner's."""

    strategy: int

    def reasons_within(self, book: Book, owner_id: int) -> Sequence[TradingAgentsError]:
        strategy_id = book.ids(self.owner, self.strategy)[1]
        return [] if book.find(owner_id, strategy_id) else [StrategyNotFound(strategy_id)]

    async def ask(self, block: Block) -> None:
        owner_id, strategy_id = block.book.ids(self.owner, self.strategy)
        await block.take_row(owner_id)
        await block.work.remove_strategy(owner_id=owner_id, strategy_id=strategy_id)

    def note(self, book: Book, answer: None) -> None:
        del book.strategies[book.ids(self.owner, self.strategy)[1]]


@dataclass(frozen=True)
class ReadStrategy(Step):
    """Read an owner's strategy, or what is not the owner's."""

    owner: int
    strategy: int

    def reasons(self, book: Book) -> Sequence[TradingAgentsError]:
        owner_id, strategy_id = book.ids(self.owner, self.strategy)
        return [] if book.find(owner_id, strategy_id) else [StrategyNotFound(strategy_id)]

    async def ask(self, block: Block) -> Strategy:
        owner_id, strategy_id = block.book.ids(self.owner, self.strategy)
        return await block.work.get_strategy(owner_id=owner_id, strategy_id=strategy_id)

    def note(self, book: Book, answer: Strategy) -> None:
        assert exact(answer) == exact(book.strategies[book.ids(self.owner, self.strategy)[1]])


@dataclass(frozen=True)
class ReadPage(Step):
    """Read a page of an owner's strategies."""

    owner: int
    skip: int
    limit: int
    active_only: bool

    async def ask(self, block: Block) -> None:
        await assert_page(block.work, block.book, block.book.user_id(self.owner), self)


@dataclass(frozen=True)
class ReadUsers(Step):
    """Read all users."""

    async def ask(self, block: Block) -> None:
        await assert_users(block.work, block.book)
        await assert_users_are_found(block.work, block.book)


async def assert_page(view: StoreView, book: Book, owner_id: int, page: ReadPage) -> None:
    """A page holds what the book says."""
    read = await view.list_strategies(owner_id=owner_id, skip=page.skip, limit=page.limit, active_only=page.active_only)
    listed = book.owned(owner_id, active_only=page.active_only)
    assert [exact(item) for item in read.items] == [exact(row) for row in listed[page.skip :][: page.limit]]
    assert (read.total, read.skip, read.limit) == (len(listed), page.skip, page.limit)


async def assert_users(view: StoreView, book: Book) -> None:
    """All users are listed as the book says."""
    rows = [exact(book.users[user_id]) for user_id in sorted(book.users)]
    assert [exact(user) for user in await view.list_users()] == rows


async def assert_users_are_found(view: StoreView, book: Book) -> None:
    """Each user is found by id and by e-mail, and nobody by others."""
    for user_id, row in book.users.items():
        for found in (await view.find_user(user_id), await view.find_user_by_email(row["email"])):
            assert found is not None
            assert exact(found) == exact(row)
    for user_id in FOREIGN_IDS:
        assert await view.find_user(user_id) is None
    for email in EMAILS:
        assert book.email_is_taken(email) or await view.find_user_by_email(email) is None


@dataclass(frozen=True)
class Cut:
    """When the caller of a block is cancelled: some turns of the event loop after the block has come so far.

    0 is before it is opened, 1 before its first step, and so on; one more than its steps is when it is about to end. A
    greater number begins anew at 0.
    """

    after: int
    turns: int


class Ending(Enum):
    """How a block ends that is not cancelled."""

    KEPT = "kept"
    FAILING = "failing"


@dataclass(frozen=True)
class Overlapping:
    """A block of one owner that others overlap."""

    owner: int
    steps: list[ChangeOfStrategies]
    ending: Ending
    cancelled_after_turns: int | None


class _Failure(Exception):
    """Leaves a block."""


class Attempt:
    """How far a block has come."""

    def __init__(self) -> None:
        self.refused = False
        self.at_its_end = False


# Few names, e-mails and moments, so that they clash.
EMAILS: Final = tuple(f"{name}@example.com" for name in ("ann", "bob", "cid", "dan", "eve", "fay", "guy"))
NAMES: Final = ("c", "a", "A", "b", " b", "ü", "u\u0308", *"defghijk")

_FIRST_STEPS: Final = (
    *(AddUser(email, CREATED) for email in EMAILS[:2]),
    *(
        AddStrategy(
            owner, {"name": name, "description": None, "parameters": {"n": 1}, "is_active": name != "b"}, CREATED
        )
        for owner, names in enumerate(("aAb", "ab"))
        for name in names
    ),
)

_moments = st.builds(lambda number: CREATED + timedelta(seconds=number, microseconds=number), st.integers(0, 2))
_owners = st.sampled_from((0, 0, 0, 1, 1, 2, 0, 1, 0, -1))
_picks = st.sampled_from((0, 0, 0, 1, 1, 2, 0, 1, 0, 3, 4, -1))
_emails = st.sampled_from(EMAILS)
_texts = st.characters(exclude_categories=["Cs"])
_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-1, 1)
    | st.integers(INTEGER_MIN, INTEGER_MAX)
    | st.sampled_from((0.0, -0.0, 1.0))
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(_texts, max_size=5)
)
_keys = st.text(_texts, max_size=2)
_json: st.SearchStrategy[JsonValue] = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3), max_leaves=4
)
_contents = st.fixed_dictionaries(
    {
        "name": st.sampled_from(NAMES),
        "description": st.none()
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
        "parameters": st.dictionaries(_keys, _json, max_size=3),
        "is_active": st.booleans(),
    }
)
_user_changes = st.fixed_dictionaries(
    {"updated_at": _moments},
    optional={"email": _emails, "password_hash": st.sampled_from(["x", "y"]), "is_active": st.booleans()},
)
_changes_of_strategies: st.SearchStrategy[ChangeOfStrategies] = st.one_of(
    st.builds(AddStrategy, owner=_owners, content=_contents, at=_moments),
    st.builds(AddStrategy, owner=_owners, content=_contents, at=_moments),
    st.builds(ChangeStrategy, owner=_owners, strategy=_picks, content=_contents, at=_moments),
    st.builds(RemoveStrategy, owner=_owners, strategy=_picks),
)
_steps: st.SearchStrategy[Step] = st.one_of(
    _changes_of_strategies,
    st.builds(ReadPage, owner=_owners, skip=st.integers(0, 4), limit=st.integers(1, 4), active_only=st.booleans()),
    st.builds(ReadStrategy, owner=_owners, strategy=_picks),
    st.builds(ReadUsers),
    st.builds(ChangeUser, user=_owners, changes=_user_changes),
    st.builds(AddUser, email=_emails, at=_moments),
)
_blocks = st.lists(_steps, min_size=2, max_size=5)
_turns = st.integers(0, 3) | st.integers(0, 40)
_overlapping = st.builds(
    Overlapping,
    owner=st.sampled_from((0, 0, 0, 1)),
    steps=st.lists(_changes_of_strategies, min_size=1, max_size=3),
    ending=st.sampled_from((Ending.KEPT, Ending.KEPT, Ending.FAILING)),
    cancelled_after_turns=st.none() | st.none() | _turns,
)


class Histories(RuleBasedStateMachine):
    """Random blocks over a fresh store."""

    def __init__(self, open_store: OpenStore, exploration: Exploration) -> None:
        super().__init__()
        self._exploration = exploration
        self._open_store = open_store
        self._book = Book()
        self._loop = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._store: Store

    @initialize()
    def open_a_store_with_two_owners(self) -> None:
        """Two owners with strategies are there from the start."""
        self._exploration.histories += 1
        self._run(self._open())
        self._run(self._keep(_FIRST_STEPS))

    def teardown(self) -> None:
        """Close the store."""
        with self._loop:
            self._run(self._stack.aclose())

    @rule(blocks=st.lists(_blocks, min_size=1, max_size=3))
    def keep_blocks(self, blocks: list[list[Step]]) -> None:
        """A block that is left normally keeps everything, unless one of its steps is refused."""
        for number, steps in enumerate(blocks):
            if number:
                self.the_store_holds_what_the_booksays()
            self._run(self._keep(steps))

    @rule(steps=_blocks)
    def leave_a_block_with_an_exception(self, steps: list[Step]) -> None:
        """A block that is left with an exception keeps nothing."""
        self._run(self._fail(steps))

    @rule(steps=_blocks, cut=st.builds(Cut, after=st.integers(0, 6), turns=_turns))
    def cancel_a_block(self, steps: list[Step], cut: Cut) -> None:
        """A block whose caller is cancelled keeps everything or nothing."""
        self._run(self._cancel(steps, cut))

    @rule(blocks=st.lists(_overlapping, min_size=2, max_size=4))
    def overlap_blocks(self, blocks: list[Overlapping]) -> None:
        """Blocks that take one row run one after another, and readers see only what is whole."""
        self._run(self._overlap(blocks))

    @invariant()
    def the_store_holds_what_the_booksays(self) -> None:
        """All users and every owner's strategies are there, and nothing else."""
        self._exploration.states.add(self._book.state())
        self._run(self._compare(self._book))

    def _run(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            self._loop.run(asyncio.wait_for(work, self._exploration.patience))
        except TimeoutError as hang:
            self._exploration.patience = min(self._exploration.patience, PATIENCE_AFTER_A_HANG)
            raise AssertionError("a block hangs") from hang

    async def _open(self) -> None:
        self._store = await self._stack.enter_async_context(self._open_store())

    async def _keep(self, steps: Sequence[Step]) -> None:
        attempt, book = Attempt(), deepcopy(self._book)
        try:
            await self._attempt(attempt, book, steps)
        except TradingAgentsError:
            if not attempt.refused:
                raise
        else:
            self._book = book

    async def _fail(self, steps: Sequence[Step]) -> None:
        attempt = Attempt()
        try:
            await self._attempt(attempt, deepcopy(self._book), steps, ending=Ending.FAILING)
        except _Failure:
            return
        except TradingAgentsError:
            if not attempt.refused:
                raise
        else:
            raise AssertionError("the exception that left a block did not come out of it")

    async def _cancel(self, steps: Sequence[Step], cut: Cut) -> None:
        attempt, book = Attempt(), deepcopy(self._book)
        caller = asyncio.ensure_future(self._attempt(attempt, book, steps, cut=cut))
        try:
            await asyncio.wait({caller})
        finally:
            caller.cancel()
        if caller.cancelled():
            # Cancelled in a step, nothing may be there. Cancelled at its end, the block may have been kept or not.
            if attempt.at_its_end and await self._holds(book):
                self._book = book
        elif not (caller.exception() and attempt.refused):
            caller.result()
            self._book = book

    async def _attempt(
        self,
        attempt: Attempt,
        book: Book,
        steps: Sequence[Step],
        *,
        ending: Ending = Ending.KEPT,
        cut: Cut | None = None,
    ) -> None:
        self._exploration.blocks += 1
        _cancel_if_due(cut, 0, steps)
        async with self._store.write() as work:
            block = Block(work, book)
            for number, step in enumerate(steps, 1):
                _cancel_if_due(cut, number, steps)
                # So that a caller can be cancelled between the steps of a store that never waits.
                await asyncio.sleep(0)
                await self._take(step, block, attempt)
            _cancel_if_due(cut, len(steps) + 1, steps)
            attempt.at_its_end = True
            if ending is Ending.FAILING:
                raise _Failure

    async def _take(self, step: Step, block: Block, attempt: Attempt) -> None:
        self._exploration.steps += 1
        reasons = step.reasons(block.book)
        try:
            answer = await step.ask(block)
        except TradingAgentsError as refusal:
            if not any(says(refusal, reason) for reason in reasons):
                message = f"{step} was refused with {refusal!r}, and should have been with {reasons or 'nothing'}"
                raise AssertionError(message) from refusal
            attempt.refused = True
            self._exploration.refusals += 1
            raise
        assert not reasons, f"{step} was not refused, and should have been with {reasons!r}"
        step.note(block.book, answer)

    async def _overlap(self, blocks: Sequence[Overlapping]) -> None:
        overlap = Overlap(self._book)
        callers = [asyncio.ensure_future(self._attempt_overlapping(overlap, block)) for block in blocks]
        reader = asyncio.ensure_future(self._read_meanwhile(overlap, self._book.user_ids[0]))
        try:
            await asyncio.wait({reader, *callers})
        finally:
            for task in (reader, *callers):
                task.cancel()
        for error in [task.exception() for task in (reader, *callers) if not task.cancelled()]:
            if error is not None:
                raise error

    async def _attempt_overlapping(self, overlap: "Overlap", overlapping: Overlapping) -> None:
        self._exploration.blocks += 1
        attempt = Attempt()
        if overlapping.cancelled_after_turns is not None:
            _cancel_later(asyncio.current_task(), overlapping.cancelled_after_turns, attempt)
        owner_id = self._book.user_id(overlapping.owner)
        try:
            async with self._store.write() as work:
                await work.lock_user(owner_id)
                with overlap.alone_with(owner_id) as alone:
                    block = Block(work, deepcopy(self._book))
                    block.has_row_of(owner_id)
                    for step in (replace(step, owner=overlapping.owner) for step in overlapping.steps):
                        # Others get a turn between any two steps: nothing but the row keeps them apart.
                        await asyncio.sleep(0)
                        if step.reasons(block.book):
                            # A refusal may undo the block, and free the row, before we hear of it.
                            alone.close()
                        await self._take(step, block, attempt)
                    if overlapping.ending is Ending.FAILING:
                        raise _Failure
                    attempt.at_its_end = True
                    overlap.note(block.book, owner_id)
        except _Failure:
            return
        except TradingAgentsError:
            if not attempt.refused:
                raise

    async def _read_meanwhile(self, overlap: "Overlap", owner_id: int) -> None:
        for _ in range(READS_MEANWHILE):
            async with self._store.read() as view:
                page = await view.list_strategies(owner_id=owner_id, skip=0, limit=1000, active_only=False)
            read = [exact(strategy) for strategy in page.items]
            assert page.total == len(read), "items and total are not of the same moment"
            assert read in overlap.lists(owner_id), "a reader saw what no block has kept"
            await asyncio.sleep(0)

    async def _holds(self, book: Book) -> bool:
        try:
            await self._compare(book)
        except AssertionError:
            return False
        return True

    async def _compare(self, book: Book) -> None:
        async with self._store.read() as view:
            await assert_users(view, book)
            for user_id in book.users:
                await assert_page(view, book, user_id, _EVERYTHING)


_EVERYTHING: Final = ReadPage(owner=0, skip=0, limit=1000, active_only=False)


class Overlap:
    """What blocks do while they overlap, and what their owners' lists may hold meanwhile."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._held: set[int] = set()
        self._lists = {user_id: [_listed(book, user_id)] for user_id in book.users}

    @contextmanager
    def alone_with(self, owner_id: int) -> Iterator[ExitStack]:
        """A block within which no other block may take the owner's row, unless what it gives is closed before."""
        assert owner_id not in self._held, "two blocks have taken one row at the same time"
        self._held.add(owner_id)
        with ExitStack() as alone:
            alone.callback(self._held.remove, owner_id)
            yield alone

    def note(self, book: Book, owner_id: int) -> None:
        """Note what a block is about to keep; the next one of this owner builds on it."""
        self._book.take_over(book, owner_id)
        self._lists[owner_id].append(_listed(book, owner_id))

    def lists(self, owner_id: int) -> list[list[dict[str, str]]]:
        """What the owner's list has been, from before the first block on."""
        return self._lists[owner_id]


def _listed(book: Book, owner_id: int) -> list[dict[str, str]]:
    return [exact(row) for row in book.owned(owner_id)]


def _cancel_if_due(cut: Cut | None, reached: int, steps: Sequence[Step]) -> None:
    if cut is not None and cut.after % (len(steps) + 2) == reached:
        _cancel_later(asyncio.current_task(), cut.turns)


def _cancel_later(task: "asyncio.Task[Any] | None", turns: int, attempt: Attempt | None = None) -> None:
    """Cancel a task after some turns of the event loop, unless it has ended or its attempt has come to its end."""
    if task is None or task.done() or (attempt is not None and attempt.at_its_end):
        return
    if turns:
        asyncio.get_running_loop().call_soon(_cancel_later, task, turns - 1, attempt)
    else:
        task.cancel()
