import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tradingagents_adapters.jwt_tokens import JwtTokenService
from tradingagents_adapters.login_queue import RoundRobinLoginQueue
from tradingagents_adapters.memory import MemoryLoginFailures, MemoryStore
from tradingagents_core.domain.login_throttle import LoginAttempt
from tradingagents_core.domain.page import Page
from tradingagents_core.domain.parameters import Parameters
from tradingagents_core.domain.strategy import Strategy, StrategyChanges, StrategyContent
from tradingagents_core.domain.user import User
from tradingagents_core.errors import (
    EmailTaken,
    InvalidCredentials,
    InvalidInput,
    InvalidToken,
    LoginTookTooLong,
    StoreUnavailable,
    StrategyNameTaken,
    StrategyNotFound,
    TradingAgentsError,
    UserNotFound,
)
from tradingagents_core.ports import Clock, PasswordHasher, StoreView, StoreWork
from tradingagents_core.use_cases import UseCases, authentication

PASSWORD = "SecurePassword123"
SOURCE = "203.0.113.7"
NEW_PASSWORD = "AnotherPassword456"
NO_ID = 1_000_000

Event = Callable[[], Awaitable[Any]]


class PlainPasswords(PasswordHasher):
    """Hashes that cost nothing and hide nothing: strength, salt and password as JSON."""

    def __init__(self) -> None:
        self.strength = 1
        self.verified: list[str | None] = []
        self.hashed: list[str] = []
        self.while_hashing: Event | None = None
        self.while_verifying: Event | None = None
        self._salts = count()

    async def hash(self, password: str) -> str:
        self.hashed.append(password)
        event, self.while_hashing = self.while_hashing, None
        await self._meet(event)
        return json.dumps([self.strength, next(self._salts), password])

    async def verify(self, *, password: str, password_hash: str | None) -> bool:
        self.verified.append(password_hash)
        event, self.while_verifying = self.while_verifying, None
        await self._meet(event)
        return password_hash is not None and json.loads(password_hash)[2] == password

    async def _meet(self, event: Event | None) -> None:
        # An event that waits for a block of the very caller would wait for ever.
        async with asyncio.timeout(5):
            if event:
                await event()

    def needs_rehash(self, password_hash: str) -> bool:
        return json.loads(password_hash)[0] < self.strength


class BusyStore(MemoryStore):
    """Lets other tasks run wherever a database would, and counts the blocks that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.open_blocks = 0

    @asynccontextmanager
    async def read(self) -> AsyncIterator[StoreView]:
        async with self._counted(), super().read() as view:
            yield view

    @asynccontextmanager
    async def write(self) -> AsyncIterator[StoreWork]:
        async with self._counted(), super().write() as work:
            await asyncio.sleep(0)
            yield work
            await asyncio.sleep(0)

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        self.open_blocks += 1
        try:
            await asyncio.sleep(0)
            yield
            await asyncio.sleep(0)
        finally:
            self.open_blocks -= 1


@dataclass
class World:
    clock: Any
    store: BusyStore = field(default_factory=BusyStore)
    passwords: PlainPasswords = field(default_factory=PlainPasswords)
    failures: MemoryLoginFailures = field(default_factory=MemoryLoginFailures)
    queue: RoundRobinLoginQueue = field(default_factory=lambda: RoundRobinLoginQueue(turns=1))

    def __post_init__(self) -> None:
        tokens = JwtTokenService(
            secret_key="k" * 32, algorithm="HS256", lifetime=timedelta(minutes=30), clock=self.clock
        )
        self.tokens = tokens
        self.do = UseCases.over(
            store=self.store,
            failures=self.failures,
            login_queue=self.queue,
            tokens=tokens,
            passwords=self.passwords,
            clock=self.clock,
        )

    async def new_user(self, email: str = "ann@example.com") -> User:
        return await self.do.create_user(email=email, password=PASSWORD)

    async def everything(self) -> tuple[Sequence[User], list[Page[Strategy]]]:
        users = await self.do.list_users()
        return users, [await self.do.list_strategies(owner_id=user.id, limit=1000) for user in users]

    async def user(self, email: str = "ann@example.com") -> User:
        async with self.store.read() as view:
            user = await view.find_user_by_email(email)
        assert user is not None
        return user


@pytest.fixture(scope="session")
def new_world(new_clock: Callable[[], Clock]) -> Callable[[], World]:
    return lambda: World(new_clock())


@pytest.fixture
def world(clock: Clock) -> World:
    return World(clock)


async def outcome(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except TradingAgentsError as error:
        return error


def described(outcome: Any) -> Any:
    """A form in which two refusals are equal when they say the same."""
    return (type(outcome), str(outcome), vars(outcome)) if isinstance(outcome, TradingAgentsError) else outcome


@pytest.mark.parametrize("name", [use_case.name for use_case in fields(UseCases)])
def test_a_use_case_stays_in_front_of_the_ports_that_it_was_made_for(world, name):
    use_case = getattr(world.do, name)
    with pytest.raises(FrozenInstanceError):
        use_case.store = MemoryStore()


# Strategies of two owners: whatever they do, in any order.


@dataclass(frozen=True)
class Create:
    content: StrategyContent


@dataclass(frozen=True)
class Update:
    pick: int
    changes: StrategyChanges


@dataclass(frozen=True)
class Delete:
    pick: int


@dataclass(frozen=True)
class Get:
    pick: int


@dataclass(frozen=True)
class List:
    skip: int
    limit: int
    active_only: bool


@dataclass(frozen=True)
class Step:
    owner: int
    act: Create | Update | Delete | Get | List
    seconds: int


names = st.sampled_from(["Alpha", "alpha", "Beta"])
descriptions = st.none() | st.sampled_from(["", "First", "Second"])
parameters = st.builds(
    Parameters, st.dictionaries(st.sampled_from("zya"), st.sampled_from([1, 1.0, True, None, [1], {"b": 0}]))
)
contents = st.builds(
    StrategyContent, name=names, description=descriptions, parameters=parameters, is_active=st.booleans()
)
changes = st.fixed_dictionaries(
    {}, optional={"name": names, "description": descriptions, "parameters": parameters, "is_active": st.booleans()}
)
picks = st.integers(0, 5)
scripts = st.lists(
    st.builds(
        Step,
        owner=st.integers(0, 1),
        act=st.one_of(
            st.builds(Create, contents),
            st.builds(Create, contents),
            st.builds(Update, picks, changes),
            st.builds(Delete, picks),
            st.builds(Get, picks),
            st.builds(List, st.integers(0, 3), st.integers(1, 3), st.booleans()),
        ),
        seconds=st.integers(-5, 5),
    ),
    # Left to itself, Hypothesis makes scripts of five steps, which seldom lead anywhere.
    min_size=10,
    max_size=20,
)

ALPHA, BETA = StrategyContent(name="Alpha"), StrategyContent(name="Beta")
# Each owner tries everything on the other's strategy, and every name clashes.
CLASHES = [
    Step(0, Create(ALPHA), 1),
    Step(1, Create(ALPHA), 1),
    Step(0, Create(ALPHA), 1),
    Step(0, Create(BETA), 1),
    *(Step(owner, Get(pick), 1) for owner in (0, 1) for pick in (0, 1)),
    *(Step(owner, Update(pick, {"name": "Beta"}), -3) for owner in (0, 1) for pick in (0, 1)),
    *(Step(owner, Delete(pick), 1) for owner in (0, 1) for pick in (1, 0)),
    *(Step(owner, List(0, 3, active_only=False), 1) for owner in (0, 1)),
]


@dataclass
class Play:
    """A script on its way: `picks` in it stand for ids that were ever given to a strategy of either owner."""

    world: World
    owners: list[int]
    ids: list[int] = field(default_factory=list)

    @classmethod
    async def begin(cls, world: World) -> "Play":
        return cls(world, [(await world.new_user(email)).id for email in ("ann@example.com", "bob@example.com")])

    def id(self, pick: int) -> int:
        return self.ids[pick % len(self.ids)] if self.ids else NO_ID

    async def perform(self, step: Step) -> Any:
        do, owner_id = self.world.do, self.owners[step.owner]
        self.world.clock.move(timedelta(seconds=step.seconds))
        match step.act:
            case Create(content):
                created = await outcome(do.create_strategy(owner_id=owner_id, content=content))
                self.ids += [created.id] if isinstance(created, Strategy) else []
                return created
            case Update(pick, sent):
                return await outcome(do.update_strategy(owner_id=owner_id, strategy_id=self.id(pick), changes=sent))
            case Delete(pick):
                return await outcome(do.delete_strategy(owner_id=owner_id, strategy_id=self.id(pick)))
            case Get(pick):
                return await outcome(do.get_strategy(owner_id=owner_id, strategy_id=self.id(pick)))
            case List(skip, limit, active_only):
                return await outcome(
                    do.list_strategies(owner_id=owner_id, skip=skip, limit=limit, active_only=active_only)
                )


class Ledger:
    """What one owner should find, kept in a plain dictionary."""

    def __init__(self, owner_id: int) -> None:
        self.owner_id = owner_id
        self.kept: dict[int, Strategy] = {}

    @property
    def items(self) -> list[Strategy]:
        return [self.kept[strategy_id] for strategy_id in sorted(self.kept)]

    def expect(self, step: Step, play: Play, result: Any) -> Any:
        """What the step should have come to; ids are taken from the result, because the store gives them."""
        now = play.world.clock()
        match step.act:
            case Create(content):
                expected = self._create(content, result, now)
            case List(skip, limit, active_only):
                found = [strategy for strategy in self.items if strategy.is_active or not active_only]
                expected = Page(items=found[skip : skip + limit], total=len(found), skip=skip, limit=limit)
            case Update(pick) | Delete(pick) | Get(pick) if play.id(pick) not in self.kept:
                expected = StrategyNotFound(play.id(pick))
            case Update(pick, sent):
                expected = self._update(self.kept[play.id(pick)], sent, now)
            case Delete(pick):
                del self.kept[play.id(pick)]
                expected = None
            case Get(pick):
                expected = self.kept[play.id(pick)]
        return expected

    def _create(self, content: StrategyContent, result: Any, now: datetime) -> Strategy | StrategyNameTaken:
        if self._has(content.name):
            return StrategyNameTaken(content.name)
        self.kept[result.id] = Strategy(
            id=result.id,
            owner_id=self.owner_id,
            name=content.name,
            description=content.description,
            parameters=content.parameters,
            is_active=content.is_active,
            created_at=now,
            updated_at=now,
        )
        return self.kept[result.id]

    def _update(self, before: Strategy, sent: StrategyChanges, now: datetime) -> Strategy | StrategyNameTaken:
        if "name" in sent and self._has(sent["name"], besides=before.id):
            return StrategyNameTaken(sent["name"])
        changed = replace(before, **sent)
        self.kept[before.id] = before if changed == before else replace(changed, updated_at=max(now, before.updated_at))
        return self.kept[before.id]

    def _has(self, name: str, besides: int = 0) -> bool:
        return any(strategy.name == name for strategy in self.kept.values() if strategy.id != besides)


@given(scripts)
@example(CLASHES)
def test_what_goes_in_comes_out(new_world, script):
    async def story() -> None:
        play = await Play.begin(new_world())
        ledgers = [Ledger(owner_id) for owner_id in play.owners]
        for step in script:
            result = await play.perform(step)
            assert described(result) == described(ledgers[step.owner].expect(step, play, result))
            _, pages = await play.world.everything()
            assert [page.items for page in pages] == [ledger.items for ledger in ledgers]

    asyncio.run(story())


@given(scripts)
@example(CLASHES)
def test_no_owner_reads_or_changes_what_is_the_others(new_world, script):
    async def story() -> None:
        play = await Play.begin(new_world())
        for step in script:
            _, before = await play.world.everything()
            result = await play.perform(step)
            _, after = await play.world.everything()
            seen = [result] if isinstance(result, Strategy) else getattr(result, "items", [])
            assert after[1 - step.owner] == before[1 - step.owner]
            assert {strategy.owner_id for strategy in seen} <= {play.owners[step.owner]}

    asyncio.run(story())


@given(scripts)
@example(CLASHES)
def test_a_refused_call_leaves_everything_as_it_was(new_world, script):
    async def story() -> None:
        play = await Play.begin(new_world())
        for step in script:
            before = await play.world.everything()
            result = await play.perform(step)
            if isinstance(result, TradingAgentsError):
                assert await play.world.everything() == before

    asyncio.run(story())


@given(scripts)
@example(CLASHES)
def test_an_id_is_never_given_twice(new_world, script):
    async def story() -> None:
        play = await Play.begin(new_world())
        for step in script:
            await play.perform(step)
        assert len(set(play.ids)) == len(play.ids)

    asyncio.run(story())


def test_a_name_belongs_to_one_strategy_of_an_owner(world):
    async def story() -> None:
        ann, bob = await world.new_user("ann@example.com"), await world.new_user("bob@example.com")
        await world.do.create_strategy(owner_id=ann.id, content=ALPHA)
        await world.do.create_strategy(owner_id=bob.id, content=ALPHA)
        with pytest.raises(StrategyNameTaken) as refusal:
            await world.do.create_strategy(owner_id=ann.id, content=ALPHA)
        assert refusal.value.name == "Alpha"

    asyncio.run(story())


@pytest.mark.parametrize("operation", ["get_strategy", "update_strategy", "delete_strategy"])
def test_a_strategy_of_another_is_answered_like_one_that_does_not_exist(world, operation):
    async def story() -> None:
        ann, bob = await world.new_user("ann@example.com"), await world.new_user("bob@example.com")
        theirs = await world.do.create_strategy(owner_id=bob.id, content=ALPHA)
        changes = {"changes": {"name": "Mine"}} if operation == "update_strategy" else {}
        for strategy_id in (theirs.id, NO_ID, 0, -1, 2**63, 10**30):
            with pytest.raises(StrategyNotFound) as refusal:
                await getattr(world.do, operation)(owner_id=ann.id, strategy_id=strategy_id, **changes)
            assert (str(refusal.value), refusal.value.strategy_id) == ("Strategy not found", strategy_id)

    asyncio.run(story())


def test_nobody_owns_strategies_who_does_not_exist(world):
    async def story() -> None:
        with pytest.raises(UserNotFound):
            await world.do.create_strategy(owner_id=NO_ID, content=ALPHA)
        assert (await world.do.list_strategies(owner_id=NO_ID)).total == 0

    asyncio.run(story())


def test_a_deleted_strategy_frees_its_name_but_not_its_id(world):
    async def story() -> None:
        ann = await world.new_user()
        first = await world.do.create_strategy(owner_id=ann.id, content=ALPHA)
        await world.do.delete_strategy(owner_id=ann.id, strategy_id=first.id)
        second = await world.do.create_strategy(owner_id=ann.id, content=ALPHA)
        assert second.id != first.id
        with pytest.raises(StrategyNotFound):
            await world.do.get_strategy(owner_id=ann.id, strategy_id=first.id)

    asyncio.run(story())


def test_an_update_that_names_another_owner_changes_nothing(world):
    async def story() -> None:
        ann, bob = await world.new_user("ann@example.com"), await world.new_user("bob@example.com")
        strategy = await world.do.create_strategy(owner_id=ann.id, content=ALPHA)
        before = await world.everything()
        with pytest.raises(TypeError):
            await world.do.update_strategy(
                owner_id=ann.id, strategy_id=strategy.id, changes={"name": "Beta", "owner_id": bob.id}
            )
        assert await world.everything() == before

    asyncio.run(story())


def test_an_update_that_breaks_a_rule_keeps_nothing_of_it(world):
    async def story() -> None:
        ann = await world.new_user()
        stored = await world.do.create_strategy(owner_id=ann.id, content=ALPHA)
        world.clock.move(timedelta(minutes=1))
        with pytest.raises(InvalidInput):
            await world.do.update_strategy(
                owner_id=ann.id, strategy_id=stored.id, changes={"is_active": False, "description": "\x00"}
            )
        assert await world.do.get_strategy(owner_id=ann.id, strategy_id=stored.id) == stored

    asyncio.run(story())


def test_a_page_holds_100_strategies_where_nothing_else_is_said(world):
    async def story() -> None:
        ann = await world.new_user()
        for number in range(101):
            await world.do.create_strategy(owner_id=ann.id, content=StrategyContent(name=f"Strategy {number}"))
        page = await world.do.list_strategies(owner_id=ann.id)
        assert [strategy.name for strategy in page.items] == [f"Strategy {number}" for number in range(100)]
        assert (page.total, page.skip, page.limit) == (101, 0, 100)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("page", "at_fault"),
    [({"skip": -1}, "skip"), ({"limit": 0}, "limit"), ({"limit": -1}, "limit"), ({"limit": 1001}, "limit")],
)
def test_a_page_starts_at_0_or_later_and_holds_1_to_1000(world, page, at_fault):
    async def story() -> None:
        with pytest.raises(InvalidInput) as refusal:
            await world.do.list_strategies(owner_id=1, **page)
        assert refusal.value.field == at_fault

    asyncio.run(story())


@pytest.mark.parametrize("page", [{"limit": 1}, {"limit": 1000}, {"skip": 10**30}])
def test_the_greatest_and_smallest_page_are_taken(world, page):
    assert asyncio.run(world.do.list_strategies(owner_id=1, **page)).items == []


# At the same time.


@given(st.permutations(["name", "description", "parameters", "is_active"]))
def test_overlapping_updates_of_one_strategy_lose_nothing(new_world, order):
    sent: dict[str, Any] = {
        "name": "Beta",
        "description": "Described",
        "parameters": Parameters({"new": 1}),
        "is_active": False,
    }

    async def story() -> None:
        world = new_world()
        ann = await world.new_user()
        stored = await world.do.create_strategy(owner_id=ann.id, content=ALPHA)
        await asyncio.gather(
            *(
                world.do.update_strategy(owner_id=ann.id, strategy_id=stored.id, changes={name: sent[name]})
                for name in order
            )
        )
        assert await world.do.get_strategy(owner_id=ann.id, strategy_id=stored.id) == replace(stored, **sent)

    asyncio.run(story())


def test_of_overlapping_creates_of_one_name_exactly_one_wins(world):
    async def story() -> None:
        ann = await world.new_user()
        outcomes = await asyncio.gather(
            *(outcome(world.do.create_strategy(owner_id=ann.id, content=ALPHA)) for _ in range(5))
        )
        assert sorted(type(each).__name__ for each in outcomes) == ["Strategy"] + ["StrategyNameTaken"] * 4
        assert (await world.do.list_strategies(owner_id=ann.id)).total == 1

    asyncio.run(story())


def test_of_overlapping_renames_to_one_name_exactly_one_wins(world):
    async def story() -> None:
        ann = await world.new_user()
        ids = [
            (await world.do.create_strategy(owner_id=ann.id, content=StrategyContent(name=name))).id for name in "abcd"
        ]
        outcomes = await asyncio.gather(
            *(
                outcome(world.do.update_strategy(owner_id=ann.id, strategy_id=each, changes={"name": "Alpha"}))
                for each in ids
            )
        )
        page = await world.do.list_strategies(owner_id=ann.id)
        assert sorted(type(each).__name__ for each in outcomes) == ["Strategy"] + ["StrategyNameTaken"] * 3
        assert [strategy.name for strategy in page.items].count("Alpha") == 1

    asyncio.run(story())


def test_of_overlapping_deletes_of_one_strategy_exactly_one_finds_it(world):
    async def story() -> None:
        ann = await world.new_user()
        stored = await world.do.create_strategy(owner_id=ann.id, content=ALPHA)
        outcomes = await asyncio.gather(
            *(outcome(world.do.delete_strategy(owner_id=ann.id, strategy_id=stored.id)) for _ in range(3))
        )
        assert [each is None for each in outcomes].count(True) == 1

    asyncio.run(story())


def test_of_overlapping_accounts_for_one_email_exactly_one_is_made(world):
    async def story() -> None:
        outcomes = await asyncio.gather(*(outcome(world.new_user(email)) for email in ("a@b", "A@b", "a@B", "A@B")))
        assert sorted(type(each).__name__ for each in outcomes) == ["EmailTaken"] * 3 + ["User"]
        assert [user.email for user in await world.do.list_users()] == ["a@b"]

    asyncio.run(story())


# Accounts.


def test_an_account_can_be_used_at_once(world):
    async def story() -> None:
        ann = await world.new_user("Ann@Example.COM")
        token = (await world.do.login(email="ann@example.com", password=PASSWORD, source=SOURCE)).access_token
        assert await world.do.identify_user(token=token) == ann
        assert (ann.email, ann.is_active) == ("ann@example.com", True)
        assert (ann.created_at, ann.updated_at) == (world.clock(), world.clock())

    asyncio.run(story())


def test_an_email_belongs_to_one_account_whatever_its_case(world):
    async def story() -> None:
        await world.new_user("ann@example.com")
        before = await world.everything()
        with pytest.raises(EmailTaken) as refusal:
            await world.new_user("ANN@Example.com")
        assert refusal.value.email == "ann@example.com"
        assert await world.everything() == before

    asyncio.run(story())


def test_another_password_of_nobody_is_refused_before_any_password_is_hashed(world):
    async def story() -> None:
        with pytest.raises(UserNotFound):
            await world.do.set_password(email="nobody@example.com", password=NEW_PASSWORD)
        assert world.passwords.hashed == []

    asyncio.run(story())


def test_an_email_that_is_taken_is_refused_before_any_password_is_hashed(world):
    async def story() -> None:
        await world.new_user("ann@example.com")
        with pytest.raises(EmailTaken):
            await world.new_user("ann@example.com")
        assert world.passwords.hashed == [PASSWORD]

    asyncio.run(story())


@pytest.mark.parametrize(("email", "password"), [("ann", PASSWORD), ("ann@example.com", "short"), ("", "")])
def test_an_account_that_breaks_a_rule_is_not_made(world, email, password):
    async def story() -> None:
        with pytest.raises(InvalidInput):
            await world.do.create_user(email=email, password=password)
        assert await world.do.list_users() == []

    asyncio.run(story())


def test_accounts_are_listed_oldest_first(world):
    async def story() -> None:
        users = [await world.new_user(email) for email in ("zoe@example.com", "ann@example.com", "mia@example.com")]
        await world.do.deactivate_user(email="zoe@example.com")
        assert [user.id for user in await world.do.list_users()] == [user.id for user in users]

    asyncio.run(story())


def test_another_password_replaces_the_first(world):
    async def story() -> None:
        await world.new_user("ann@example.com")
        await world.do.set_password(email="ANN@example.com", password=NEW_PASSWORD)
        with pytest.raises(InvalidCredentials):
            await world.do.login(email="ann@example.com", password=PASSWORD, source=SOURCE)
        assert await world.do.login(email="ann@example.com", password=NEW_PASSWORD, source=SOURCE)

    asyncio.run(story())


def test_another_password_changes_nothing_else_even_when_the_account_is_switched_off_meanwhile(world):
    async def story() -> None:
        ann = await world.new_user()
        world.passwords.while_hashing = lambda: world.do.deactivate_user(email=ann.email)
        changed = await world.do.set_password(email=ann.email, password=NEW_PASSWORD)
        assert changed == await world.user()
        assert changed == replace(ann, is_active=False, password_hash=changed.password_hash)

    asyncio.run(story())


def test_a_password_that_breaks_a_rule_is_not_set(world):
    async def story() -> None:
        ann = await world.new_user()
        with pytest.raises(InvalidInput):
            await world.do.set_password(email=ann.email, password="x" * 7)
        assert await world.user() == ann

    asyncio.run(story())


@pytest.mark.parametrize(
    ("operation", "more"),
    [("set_password", {"password": NEW_PASSWORD}), ("activate_user", {}), ("deactivate_user", {})],
)
@pytest.mark.parametrize("text", ["", "ann", "\x00@example.com", "ann@\ud800", "x" * 255 + "@example.com"])
def test_a_store_is_not_asked_for_what_is_no_email(world, operation, more, text):
    """Some databases cannot take every text: a refusal of theirs would say that they are broken."""
    asked = []

    async def find(email: str) -> None:
        asked.append(email)

    class Asked(BusyStore):
        @asynccontextmanager
        async def _noting(self, block: AbstractAsyncContextManager[Any]) -> AsyncIterator[Any]:
            async with block as view:
                view.find_user_by_email = find
                yield view

        def read(self):
            return self._noting(super().read())

        def write(self):
            return self._noting(super().write())

    async def story() -> None:
        with pytest.raises(UserNotFound):
            await getattr(World(world.clock, Asked()).do, operation)(email=text, **more)

    asyncio.run(story())
    assert asked == []


@pytest.mark.parametrize(
    ("operation", "more"),
    [("set_password", {"password": NEW_PASSWORD}), ("activate_user", {}), ("deactivate_user", {})],
)
def test_the_account_of_an_unknown_email_is_not_found(world, operation, more):
    async def story() -> None:
        await world.new_user("ann@example.com")
        before = await world.everything()
        with pytest.raises(UserNotFound) as refusal:
            await getattr(world.do, operation)(email="nobody@example.com", **more)
        assert refusal.value.user == "nobody@example.com"
        assert await world.everything() == before

    asyncio.run(story())


# Who is calling.


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("nobody@example.com", PASSWORD),
        ("no address", PASSWORD),
        ("", ""),
        ("ann@example.com\x00", PASSWORD),
        ("\ud800@example.com", PASSWORD),
        ("ann@example.com", "wrong password"),
        ("ann@example.com", ""),
        ("ann@example.com", PASSWORD + "x"),
        ("ann@example.com", PASSWORD[:-1]),
        ("ann@example.com", PASSWORD.lower()),
        ("ann@example.com", "\ud800"),
        ("inactive@example.com", PASSWORD),
        ("inactive@example.com", "wrong password"),
    ],
)
def test_every_refused_login_is_the_same_error_after_the_same_work(world, email, password):
    async def story() -> None:
        await world.new_user("ann@example.com")
        await world.new_user("inactive@example.com")
        await world.do.deactivate_user(email="inactive@example.com")
        world.passwords.hashed.clear()
        with pytest.raises(InvalidCredentials) as refusal:
            await world.do.login(email=email, password=password, source=SOURCE)
        assert str(refusal.value) == "Incorrect e-mail or password"
        assert len(world.passwords.verified) == 1
        assert world.passwords.hashed == []

    asyncio.run(story())


@pytest.mark.parametrize("email", ["nobody@example.com", "no address"])
def test_the_password_of_an_unknown_user_is_verified_against_nobodys_hash(world, email):
    async def story() -> None:
        with pytest.raises(InvalidCredentials):
            await world.do.login(email=email, password=PASSWORD, source=SOURCE)
        assert world.passwords.verified == [None]

    asyncio.run(story())


@pytest.mark.parametrize("email", ["ann@example.com", "Ann@EXAMPLE.com"])
def test_a_login_takes_one_verification_and_no_new_hash(world, email):
    async def story() -> None:
        ann = await world.new_user("ann@example.com")
        world.passwords.hashed.clear()
        claims = world.tokens.verify((await world.do.login(email=email, password=PASSWORD, source=SOURCE)).access_token)
        assert claims.user_id == ann.id
        assert world.passwords.verified == [ann.password_hash]
        assert world.passwords.hashed == []
        assert await world.user() == ann

    asyncio.run(story())


def test_a_password_is_the_same_from_every_keyboard(world):
    async def story() -> None:
        await world.do.create_user(email="ann@example.com", password="caf\u00e9 au lait")
        assert await world.do.login(email="ann@example.com", password="cafe\u0301 au lait", source=SOURCE)

    asyncio.run(story())


def test_a_login_replaces_a_weak_hash(world):
    async def story() -> None:
        ann = await world.new_user()
        world.passwords.strength = 2
        world.clock.move(timedelta(minutes=1))
        await world.do.login(email=ann.email, password=PASSWORD, source=SOURCE)
        changed = await world.user()
        assert changed == replace(ann, password_hash=changed.password_hash, updated_at=world.clock())
        assert not world.passwords.needs_rehash(changed.password_hash)
        assert await world.do.login(email=ann.email, password=PASSWORD, source=SOURCE)

    asyncio.run(story())


def test_a_refused_login_replaces_no_hash(world):
    async def story() -> None:
        ann = await world.new_user()
        world.passwords.strength = 2
        with pytest.raises(InvalidCredentials):
            await world.do.login(email=ann.email, password="wrong password", source=SOURCE)
        assert await world.user() == ann

    asyncio.run(story())


@pytest.mark.parametrize("while_what", ["while_verifying", "while_hashing"])
def test_a_password_that_was_replaced_meanwhile_is_refused_and_stays_replaced(world, while_what):
    async def story() -> None:
        ann = await world.new_user()
        world.passwords.strength = 2
        setattr(world.passwords, while_what, lambda: world.do.set_password(email=ann.email, password=NEW_PASSWORD))
        with pytest.raises(InvalidCredentials):
            await world.do.login(email=ann.email, password=PASSWORD, source=SOURCE)
        assert await world.do.login(email=ann.email, password=NEW_PASSWORD, source=SOURCE)
        with pytest.raises(InvalidCredentials):
            await world.do.login(email=ann.email, password=PASSWORD, source=SOURCE)

    asyncio.run(story())


@pytest.mark.parametrize("while_what", ["while_verifying", "while_hashing"])
def test_an_account_that_was_switched_off_meanwhile_is_refused_and_stays_off(world, while_what):
    async def story() -> None:
        ann = await world.new_user()
        world.passwords.strength = 2
        setattr(world.passwords, while_what, lambda: world.do.deactivate_user(email=ann.email))
        with pytest.raises(InvalidCredentials):
            await world.do.login(email=ann.email, password=PASSWORD, source=SOURCE)
        assert (await world.user()).is_active is False

    asyncio.run(story())


@pytest.mark.parametrize("while_what", ["while_verifying", "while_hashing"])
def test_a_hash_that_another_login_has_renewed_meanwhile_lets_its_user_in(world, while_what):
    async def story() -> None:
        ann = await world.new_user()
        world.passwords.strength = 2
        in_another_process = replace(world.do.login, queue=RoundRobinLoginQueue(turns=1))
        log_in = partial(in_another_process, email=ann.email, password=PASSWORD, source=SOURCE)
        setattr(world.passwords, while_what, log_in)
        assert await world.do.login(email=ann.email, password=PASSWORD, source=SOURCE)
        assert not world.passwords.needs_rehash((await world.user()).password_hash)

    asyncio.run(story())


def test_an_old_password_is_refused_that_was_replaced_while_its_login_waited_for_a_turn(world):
    async def story() -> None:
        ann = await world.new_user()
        turn = world.queue.turn(LoginAttempt.of(email="bob@example.com", source="198.51.100.1"), failures=0)
        async with turn:
            waiting = asyncio.create_task(world.do.login(email=ann.email, password=PASSWORD, source=SOURCE))
            # Let it come to the queue, which it does in fewer steps.
            for _ in range(20):
                await asyncio.sleep(0)
            assert world.queue.under_way(LoginAttempt.of(email=ann.email, source=SOURCE).keys)
            await world.do.set_password(email=ann.email, password=NEW_PASSWORD)
        with pytest.raises(InvalidCredentials):
            await waiting

    asyncio.run(story())


# Logins while nothing can be written.


@pytest.mark.parametrize("what", ["clear", "write"])
def test_a_right_password_is_let_in_though_nothing_can_be_written(world, caplog, monkeypatch, what):
    async def story() -> None:
        ann = await world.new_user()
        with pytest.raises(InvalidCredentials):
            await world.do.login(email=ann.email, password="wrong password", source=SOURCE)
        world.passwords.strength = 2

        def refuse_to_write() -> None:
            raise StoreUnavailable(reason="the disk is full")

        async def refuse_to_clear(_: Sequence[str]) -> None:
            refuse_to_write()

        if what == "clear":
            monkeypatch.setattr(world.failures, "clear", refuse_to_clear)
        else:
            monkeypatch.setattr(world.store, "write", refuse_to_write)
        assert await world.do.login(email=ann.email, password=PASSWORD, source=SOURCE)

    caplog.set_level(logging.WARNING)
    asyncio.run(story())
    assert [record.getMessage() for record in caplog.records if "the disk is full" in record.getMessage()] == [
        f"Login of user 1: could not write {what_is_lost}: The database is not available at the moment; try again"
        " shortly (the disk is full)"
        for what_is_lost in [{"clear": "the failed logins", "write": "the renewed password hash"}[what]]
    ]


def test_a_right_password_does_not_wait_for_slow_writes_which_go_on_after_the_answer(world, caplog, monkeypatch):
    monkeypatch.setattr(authentication, "WRITE_SECONDS", 0.05)

    async def story() -> None:
        ann = await world.new_user()
        world.passwords.strength = 2
        async with world.store.write():
            # Nobody else writes meanwhile.
            assert await world.do.login(email=ann.email, password=PASSWORD, source=SOURCE)
            assert world.passwords.needs_rehash((await world.user()).password_hash)
        (task,) = world.do.login._unfinished
        await task
        assert not world.passwords.needs_rehash((await world.user()).password_hash)

    asyncio.run(story())
    assert "Login of user 1: the database is slow; the user is let in meanwhile" in caplog.messages


@pytest.mark.parametrize("where", ["find", "add", "read", "verify"])
def test_a_login_that_is_not_decided_in_time_is_refused_and_leaves_nothing_behind(world, monkeypatch, where):
    monkeypatch.setattr(authentication, "DECISION_SECONDS", 0.05)
    attempt = LoginAttempt.of(email="ann@example.com", source=SOURCE)

    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    @asynccontextmanager
    async def never_read() -> AsyncIterator[StoreView]:
        await never()
        yield world.store

    async def story() -> None:
        await world.new_user()
        with monkeypatch.context() as patch:
            if where == "read":
                patch.setattr(world.store, "read", never_read)
            elif where == "verify":
                patch.setattr(world.passwords, "verify", never)
            else:
                patch.setattr(world.failures, where, never)
            if where == "add":
                # The clock steps back after a failure, which is then counted anew before anything else.
                await MemoryLoginFailures.add(world.failures, attempt.keys, at=world.clock() + timedelta(days=1))
            with pytest.raises(LoginTookTooLong):
                await world.do.login(email="ann@example.com", password=PASSWORD, source=SOURCE)
        assert world.queue.under_way(attempt.keys) == {}
        assert await world.do.login(email="ann@example.com", password=PASSWORD, source=SOURCE)

    asyncio.run(story())


def test_no_block_of_the_store_is_open_while_a_password_is_hashed_or_verified(world):
    async def story() -> None:
        open_blocks = []

        async def look() -> None:
            open_blocks.append(world.store.open_blocks)

        world.passwords.while_hashing = look
        ann = await world.new_user()
        world.passwords.while_hashing = look
        await world.do.set_password(email=ann.email, password=PASSWORD)
        world.passwords.strength = 2
        world.passwords.while_hashing = world.passwords.while_verifying = look
        await world.do.login(email=ann.email, password=PASSWORD, source=SOURCE)
        assert open_blocks == [0, 0, 0, 0]

    asyncio.run(story())


def test_the_queue_is_told_of_logins_that_have_succeeded_and_of_no_others(world, monkeypatch):
    async def story() -> None:
        ann = await world.new_user()
        noted: list[LoginAttempt] = []
        monkeypatch.setattr(world.queue, "note_success", noted.append)
        with pytest.raises(InvalidCredentials):
            await world.do.login(email=ann.email, password="wrong password", source=SOURCE)
        assert noted == []
        await world.do.login(email=ann.email, password=PASSWORD, source=SOURCE)
        assert noted == [LoginAttempt.of(email=ann.email, source=SOURCE)]

    asyncio.run(story())


def test_the_token_of_a_user_who_is_switched_off_is_refused_at_once(world):
    async def story() -> None:
        ann = await world.new_user()
        token = (await world.do.login(email=ann.email, password=PASSWORD, source=SOURCE)).access_token
        await world.do.deactivate_user(email=ann.email)
        with pytest.raises(InvalidToken):
            await world.do.identify_user(token=token)

    asyncio.run(story())


def test_a_user_who_is_switched_on_again_can_log_in_and_use_the_token_of_before(world):
    async def story() -> None:
        ann = await world.new_user()
        token = (await world.do.login(email=ann.email, password=PASSWORD, source=SOURCE)).access_token
        await world.do.deactivate_user(email=ann.email)
        await world.do.activate_user(email="ANN@example.com")
        assert await world.do.identify_user(token=token) == ann
        assert await world.do.login(email=ann.email, password=PASSWORD, source=SOURCE)

    asyncio.run(story())


def test_a_token_leads_to_the_user_as_stored_now(world):
    async def story() -> None:
        await world.new_user("zoe@example.com")
        ann = await world.new_user("ann@example.com")
        token = (await world.do.login(email=ann.email, password=PASSWORD, source=SOURCE)).access_token
        changed = await world.do.set_password(email=ann.email, password=NEW_PASSWORD)
        assert await world.do.identify_user(token=token) == changed

    asyncio.run(story())


def test_a_token_of_a_user_who_is_gone_is_refused(world):
    with pytest.raises(InvalidToken):
        asyncio.run(world.do.identify_user(token=world.tokens.issue(user_id=NO_ID)))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "\ud800", "x" * 10_000])
def test_what_is_no_token_identifies_nobody(world, token):
    async def story() -> None:
        await world.new_user()
        with pytest.raises(InvalidToken):
            await world.do.identify_user(token=token)

    asyncio.run(story())


def test_a_token_expires(world):
    async def story() -> None:
        ann = await world.new_user()
        token = (await world.do.login(email=ann.email, password=PASSWORD, source=SOURCE)).access_token
        world.clock.move(timedelta(minutes=30))
        with pytest.raises(InvalidToken):
            await world.do.identify_user(token=token)

    asyncio.run(story())
