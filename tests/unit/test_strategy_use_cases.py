import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from worlds import NO_ID, World, described, outcome

from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.page import Page
from tradingagents_core.domain.parameters import Parameters
from tradingagents_core.domain.strategies import Strategy, StrategyChanges, StrategyContent
from tradingagents_core.errors import (
    InvalidInput,
    StrategyNameTaken,
    StrategyNotFound,
    TradingAgentsError,
)
from tradingagents_core.use_cases import StrategyUseCases

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
                created = await outcome(do.strategies.create(caller=Caller(user_id=owner_id), content=content))
                self.ids += [created.id] if isinstance(created, Strategy) else []
                return created
            case Update(pick, sent):
                return await outcome(
                    do.strategies.update(caller=Caller(user_id=owner_id), strategy_id=self.id(pick), changes=sent)
                )
            case Delete(pick):
                return await outcome(do.strategies.delete(caller=Caller(user_id=owner_id), strategy_id=self.id(pick)))
            case Get(pick):
                return await outcome(do.strategies.get(caller=Caller(user_id=owner_id), strategy_id=self.id(pick)))
            case List(skip, limit, active_only):
                return await outcome(
                    do.strategies.list(caller=Caller(user_id=owner_id), skip=skip, limit=limit, active_only=active_only)
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
        await world.do.strategies.create(caller=Caller(user_id=ann.id), content=ALPHA)
        await world.do.strategies.create(caller=Caller(user_id=bob.id), content=ALPHA)
        with pytest.raises(StrategyNameTaken) as refusal:
            await world.do.strategies.create(caller=Caller(user_id=ann.id), content=ALPHA)
        assert refusal.value.name == "Alpha"

    asyncio.run(story())


@pytest.mark.parametrize("operation", ["get", "update", "delete"])
def test_a_strategy_of_another_is_answered_like_one_that_does_not_exist(world, operation):
    async def story() -> None:
        ann, bob = await world.new_user("ann@example.com"), await world.new_user("bob@example.com")
        theirs = await world.do.strategies.create(caller=Caller(user_id=bob.id), content=ALPHA)
        changes = {"changes": {"name": "Mine"}} if operation == "update" else {}
        for strategy_id in (theirs.id, NO_ID, 0, -1, 2**63, 10**30):
            with pytest.raises(StrategyNotFound) as refusal:
                await getattr(world.do.strategies, operation)(
                    caller=Caller(user_id=ann.id), strategy_id=strategy_id, **changes
                )
            assert (str(refusal.value), refusal.value.strategy_id) == ("Strategy not found", strategy_id)

    asyncio.run(story())


def test_an_owner_needs_no_account(world):
    async def story() -> None:
        caller = Caller(user_id=NO_ID)
        assert (await world.do.strategies.list(caller=caller)).total == 0
        stored = await world.do.strategies.create(caller=caller, content=ALPHA)
        assert (stored.owner_id, (await world.do.strategies.list(caller=caller)).items) == (NO_ID, [stored])

    asyncio.run(story())


@pytest.mark.parametrize("user_id", [0, -1, 2**63, 10**30])
def test_a_caller_has_an_id_that_a_user_can_have(user_id):
    with pytest.raises(InvalidInput) as refusal:
        Caller(user_id=user_id)
    assert refusal.value.field == "user_id"


def test_a_deleted_strategy_frees_its_name_but_not_its_id(world):
    async def story() -> None:
        ann = await world.new_user()
        first = await world.do.strategies.create(caller=Caller(user_id=ann.id), content=ALPHA)
        await world.do.strategies.delete(caller=Caller(user_id=ann.id), strategy_id=first.id)
        second = await world.do.strategies.create(caller=Caller(user_id=ann.id), content=ALPHA)
        assert second.id != first.id
        with pytest.raises(StrategyNotFound):
            await world.do.strategies.get(caller=Caller(user_id=ann.id), strategy_id=first.id)

    asyncio.run(story())


def test_an_update_that_names_another_owner_changes_nothing(world):
    async def story() -> None:
        ann, bob = await world.new_user("ann@example.com"), await world.new_user("bob@example.com")
        strategy = await world.do.strategies.create(caller=Caller(user_id=ann.id), content=ALPHA)
        before = await world.everything()
        with pytest.raises(TypeError):
            await world.do.strategies.update(
                caller=Caller(user_id=ann.id), strategy_id=strategy.id, changes={"name": "Beta", "owner_id": bob.id}
            )
        assert await world.everything() == before

    asyncio.run(story())


def test_an_update_that_breaks_a_rule_keeps_nothing_of_it(world):
    async def story() -> None:
        ann = await world.new_user()
        stored = await world.do.strategies.create(caller=Caller(user_id=ann.id), content=ALPHA)
        world.clock.move(timedelta(minutes=1))
        with pytest.raises(InvalidInput):
            await world.do.strategies.update(
                caller=Caller(user_id=ann.id),
                strategy_id=stored.id,
                changes={"is_active": False, "description": "\x00"},
            )
        assert await world.do.strategies.get(caller=Caller(user_id=ann.id), strategy_id=stored.id) == stored

    asyncio.run(story())


def test_a_page_holds_100_strategies_where_nothing_else_is_said(world):
    async def story() -> None:
        ann = await world.new_user()
        for number in range(101):
            await world.do.strategies.create(
                caller=Caller(user_id=ann.id), content=StrategyContent(name=f"Strategy {number}")
            )
        page = await world.do.strategies.list(caller=Caller(user_id=ann.id))
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
            await world.do.strategies.list(caller=Caller(user_id=1), **page)
        assert refusal.value.field == at_fault

    asyncio.run(story())


@pytest.mark.parametrize("page", [{"limit": 1}, {"limit": 1000}, {"skip": 10**30}])
def test_the_greatest_and_smallest_page_are_taken(world, page):
    assert asyncio.run(world.do.strategies.list(caller=Caller(user_id=1), **page)).items == []


CALLER = Caller(user_id=1)
WRONG = {
    "caller of get": ("get", {"caller": "me", "strategy_id": 1}, "caller"),
    "caller of list": ("list", {"caller": 1}, "caller"),
    "caller of create": ("create", {"caller": None, "content": ALPHA}, "caller"),
    "caller of update": ("update", {"caller": {"user_id": 1}, "strategy_id": 1, "changes": {}}, "caller"),
    "caller of delete": ("delete", {"caller": 1, "strategy_id": 1}, "caller"),
    "id of get": ("get", {"caller": CALLER, "strategy_id": "1"}, "strategy_id"),
    "id of update": ("update", {"caller": CALLER, "strategy_id": True, "changes": {}}, "strategy_id"),
    "id of delete": ("delete", {"caller": CALLER, "strategy_id": 1.0}, "strategy_id"),
    "skip": ("list", {"caller": CALLER, "skip": "0"}, "skip"),
    "limit": ("list", {"caller": CALLER, "limit": True}, "limit"),
    "active_only": ("list", {"caller": CALLER, "active_only": "no"}, "active_only"),
    "content": ("create", {"caller": CALLER, "content": {"name": "Alpha"}}, "content"),
    "changes": ("update", {"caller": CALLER, "strategy_id": 1, "changes": None}, "changes"),
    "name": ("update", {"caller": CALLER, "strategy_id": 1, "changes": {"name": 5}}, "name"),
    "description": ("update", {"caller": CALLER, "strategy_id": 1, "changes": {"description": "\x00"}}, "description"),
    "parameters": ("update", {"caller": CALLER, "strategy_id": 1, "changes": {"parameters": []}}, "parameters"),
    "is_active": ("update", {"caller": CALLER, "strategy_id": 1, "changes": {"is_active": "no"}}, "is_active"),
}


@pytest.mark.parametrize(("operation", "arguments", "field"), WRONG.values(), ids=WRONG)
def test_an_argument_of_another_type_is_refused_before_any_store_is_asked(new_clock, operation, arguments, field):
    without_store: Any = None
    use_cases = StrategyUseCases.over(store=without_store, clock=new_clock())
    with pytest.raises(InvalidInput) as refusal:
        asyncio.run(getattr(use_cases, operation)(**arguments))
    assert refusal.value.field == field


def test_a_strategy_is_created_and_changed_with_a_dict_of_parameters(world):
    async def story() -> None:
        content = StrategyContent(name="Alpha", parameters={"fast": 10})
        created = await world.do.strategies.create(caller=CALLER, content=content)
        changed = await world.do.strategies.update(
            caller=CALLER, strategy_id=created.id, changes={"parameters": {"fast": 20}}
        )
        assert (created.parameters, changed.parameters) == (Parameters({"fast": 10}), Parameters({"fast": 20}))

    asyncio.run(story())


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
        stored = await world.do.strategies.create(caller=Caller(user_id=ann.id), content=ALPHA)
        await asyncio.gather(
            *(
                world.do.strategies.update(
                    caller=Caller(user_id=ann.id), strategy_id=stored.id, changes={name: sent[name]}
                )
                for name in order
            )
        )
        assert await world.do.strategies.get(caller=Caller(user_id=ann.id), strategy_id=stored.id) == replace(
            stored, **sent
        )

    asyncio.run(story())


def test_of_overlapping_creates_of_one_name_exactly_one_wins(world):
    async def story() -> None:
        ann = await world.new_user()
        outcomes = await asyncio.gather(
            *(outcome(world.do.strategies.create(caller=Caller(user_id=ann.id), content=ALPHA)) for _ in range(5))
        )
        assert sorted(type(each).__name__ for each in outcomes) == ["Strategy"] + ["StrategyNameTaken"] * 4
        assert (await world.do.strategies.list(caller=Caller(user_id=ann.id))).total == 1

    asyncio.run(story())


def test_of_overlapping_renames_to_one_name_exactly_one_wins(world):
    async def story() -> None:
        ann = await world.new_user()
        ids = [
            (await world.do.strategies.create(caller=Caller(user_id=ann.id), content=StrategyContent(name=name))).id
            for name in "abcd"
        ]
        outcomes = await asyncio.gather(
            *(
                outcome(
                    world.do.strategies.update(
                        caller=Caller(user_id=ann.id), strategy_id=each, changes={"name": "Alpha"}
                    )
                )
                for each in ids
            )
        )
        page = await world.do.strategies.list(caller=Caller(user_id=ann.id))
        assert sorted(type(each).__name__ for each in outcomes) == ["Strategy"] + ["StrategyNameTaken"] * 3
        assert [strategy.name for strategy in page.items].count("Alpha") == 1

    asyncio.run(story())


def test_of_overlapping_deletes_of_one_strategy_exactly_one_finds_it(world):
    async def story() -> None:
        ann = await world.new_user()
        stored = await world.do.strategies.create(caller=Caller(user_id=ann.id), content=ALPHA)
        outcomes = await asyncio.gather(
            *(
                outcome(world.do.strategies.delete(caller=Caller(user_id=ann.id), strategy_id=stored.id))
                for _ in range(3)
            )
        )
        assert [each is None for each in outcomes].count(True) == 1

    asyncio.run(story())
