"""What every store does, as tests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from typing import Final, TypeAlias

import pytest

from tradingagents_conformance.examples import CHANGED, CONTENTS, CREATED, FOREIGN_IDS, add_strategy, add_user, names
from tradingagents_core.domain.parameters import INTEGER_MAX, Parameters
from tradingagents_core.domain.strategy import Strategy, StrategyContent
from tradingagents_core.domain.user import User
from tradingagents_core.errors import EmailTaken, StrategyNameTaken, StrategyNotFound, UserNotFound
from tradingagents_core.ports import Store

OpenStore: TypeAlias = Callable[[], AbstractAsyncContextManager[Store]]
"""Opens a fresh, empty store, and closes it when the block ends."""

A_WHILE: Final = 0.2
"""Seconds for which a block is watched to see that it waits."""

PATIENCE: Final = 30
"""Seconds after which a block that waits counts as hanging."""


class _LeftOnPurpose(Exception):
    """Leaves a block."""


class StoreContract:
    """Every sentence of `StoreView`, `StoreWork` and `Store`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def open_store(self) -> OpenStore:
        """To be given by the author of the store."""
        raise NotImplementedError("a subclass of StoreContract gives the fixture open_store")

    @pytest.fixture
    async def store(self, open_store: OpenStore) -> AsyncIterator[Store]:
        async with open_store() as store:
            yield store

    @pytest.fixture
    async def ann(self, store: Store) -> User:
        return await add_user(store, "ann@example.com")

    @pytest.fixture
    async def bob(self, store: Store) -> User:
        return await add_user(store, "bob@example.com")

    # Reading

    async def test_a_user_is_read_as_it_was_stored(self, store: Store) -> None:
        user = await add_user(store, "ann@example.com", password_hash="$argon2id$" + "x" * 300)

        async with store.read() as view:
            assert await view.find_user(user.id) == user
            assert await view.find_user_by_email("ann@example.com") == user
        assert (user.email, user.password_hash, user.is_active) == ("ann@example.com", "$argon2id$" + "x" * 300, True)
        assert (user.created_at, user.updated_at) == (CREATED, CREATED)

    @pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
    async def test_a_strategy_is_read_as_it_was_stored(self, store: Store, ann: User, content: StrategyContent) -> None:
        stored = await add_strategy(store, ann, content)

        async with store.read() as view:
            read = await view.get_strategy(owner_id=ann.id, strategy_id=stored.id)
        assert read == stored
        assert (read.name, read.description, read.is_active) == (content.name, content.description, content.is_active)
        assert read.parameters == content.parameters
        assert (read.owner_id, read.created_at, read.updated_at) == (ann.id, CREATED, CREATED)

    async def test_times_come_back_aware_and_in_utc(self, store: Store, ann: User) -> None:
        async with store.read() as view:
            read = await view.find_user(ann.id)
        assert read is not None
        assert (read.created_at.utcoffset(), read.updated_at.utcoffset()) == (timedelta(0), timedelta(0))

    @pytest.mark.parametrize("user_id", FOREIGN_IDS)
    async def test_nobody_has_an_id_that_was_not_given(self, store: Store, ann: User, user_id: int) -> None:
        async with store.read() as view:
            assert await view.find_user(user_id) is None

    async def test_an_email_finds_nobody_where_there_is_none(self, store: Store, ann: User) -> None:
        async with store.read() as view:
            assert await view.find_user_by_email("nobody@example.com") is None

    async def test_users_are_listed_oldest_first(self, store: Store) -> None:
        users = [await add_user(store, f"{name}@example.com") for name in ("c", "a", "b")]

        async with store.read() as view:
            assert list(await view.list_users()) == users

    @pytest.mark.parametrize("strategy_id", FOREIGN_IDS)
    async def test_an_id_that_was_not_given_is_no_strategy(self, store: Store, ann: User, strategy_id: int) -> None:
        await add_strategy(store, ann, "a")

        async with store.read() as view:
            with pytest.raises(StrategyNotFound) as refusal:
                await view.get_strategy(owner_id=ann.id, strategy_id=strategy_id)
        assert refusal.value.strategy_id == strategy_id

    async def test_another_owners_strategy_is_not_found(self, store: Store, ann: User, bob: User) -> None:
        strategy = await add_strategy(store, ann, "a")

        async with store.read() as view:
            with pytest.raises(StrategyNotFound):
                await view.get_strategy(owner_id=bob.id, strategy_id=strategy.id)

    async def test_strategies_are_listed_oldest_first(self, store: Store, ann: User) -> None:
        for name in ("c", "a", "b"):
            await add_strategy(store, ann, name)

        assert await names(store, ann) == ["c", "a", "b"]

    async def test_a_change_does_not_move_a_strategy_in_the_list(self, store: Store, ann: User) -> None:
        first = await add_strategy(store, ann, "a")
        await add_strategy(store, ann, "b")
        async with store.write() as work:
            await work.lock_user(ann.id)
            await work.replace_strategy(first.changed(at=CHANGED, name="z"))

        assert await names(store, ann) == ["z", "b"]

    @pytest.mark.parametrize(
        ("skip", "limit", "listed"),
        [(0, 2, "ab"), (1, 2, "bc"), (4, 2, "e"), (5, 2, ""), (0, 1000, "abcde"), (INTEGER_MAX + 1, 1, "")],
    )
    async def test_a_page_holds_at_most_limit_strategies_after_the_first_skip(
        self, store: Store, ann: User, skip: int, limit: int, listed: str
    ) -> None:
        for name in "abcde":
            await add_strategy(store, ann, name)

        async with store.read() as view:
            page = await view.list_strategies(owner_id=ann.id, skip=skip, limit=limit, active_only=False)
        assert [strategy.name for strategy in page.items] == list(listed)
        assert (page.total, page.skip, page.limit) == (5, skip, limit)

    @pytest.mark.parametrize("skip", [0, 1, 9])
    async def test_the_total_counts_what_the_list_holds_under_its_filter(
        self, store: Store, ann: User, bob: User, skip: int
    ) -> None:
        for name, is_active in (("a", True), ("b", False), ("c", True), ("d", True)):
            await add_strategy(store, ann, StrategyContent(name=name, is_active=is_active))
        await add_strategy(store, bob, "a")

        async with store.read() as view:
            page = await view.list_strategies(owner_id=ann.id, skip=skip, limit=2, active_only=True)
        assert [strategy.name for strategy in page.items] == ["a", "c", "d"][skip : skip + 2]
        assert page.total == 3

    async def test_nobody_elses_strategies_are_in_a_list(self, store: Store, ann: User, bob: User) -> None:
        await add_strategy(store, ann, "a")
        await add_strategy(store, bob, "b")

        assert await names(store, ann) == ["a"]
        assert await names(store, bob) == ["b"]

    @pytest.mark.parametrize("owner_id", FOREIGN_IDS)
    async def test_an_unknown_owner_has_an_empty_list(self, store: Store, ann: User, owner_id: int) -> None:
        await add_strategy(store, ann, "a")

        async with store.read() as view:
            page = await view.list_strategies(owner_id=owner_id, skip=0, limit=10, active_only=False)
        assert (list(page.items), page.total) == ([], 0)

    # Changing users

    async def test_ids_of_users_differ(self, store: Store, ann: User, bob: User) -> None:
        assert ann.id != bob.id

    async def test_an_email_belongs_to_one_user(self, store: Store, ann: User) -> None:
        with pytest.raises(EmailTaken):
            await add_user(store, ann.email)

        async with store.read() as view:
            assert list(await view.list_users()) == [ann]

    async def test_a_replaced_user_is_read_as_it_was_stored(self, store: Store, ann: User, bob: User) -> None:
        changed = replace(ann, email="a@example.com", password_hash="other", is_active=False, updated_at=CHANGED)
        async with store.write() as work:
            await work.lock_user(ann.id)
            await work.replace_user(changed)

        async with store.read() as view:
            assert list(await view.list_users()) == [changed, bob]

    async def test_replacing_a_user_who_does_not_exist_creates_none(self, store: Store, ann: User) -> None:
        with pytest.raises(UserNotFound):
            async with store.write() as work:
                await work.replace_user(replace(ann, id=ann.id + 1000, email="new@example.com"))

        async with store.read() as view:
            assert list(await view.list_users()) == [ann]

    async def test_a_user_cannot_take_the_email_of_another(self, store: Store, ann: User, bob: User) -> None:
        with pytest.raises(EmailTaken):
            async with store.write() as work:
                await work.lock_user(bob.id)
                await work.replace_user(replace(bob, email=ann.email))

    @pytest.mark.parametrize("user_id", FOREIGN_IDS)
    async def test_nobodys_row_cannot_be_taken(self, store: Store, ann: User, user_id: int) -> None:
        with pytest.raises(UserNotFound):
            async with store.write() as work:
                await work.lock_user(user_id)

    async def test_taking_a_row_reads_the_user(self, store: Store, ann: User) -> None:
        async with store.write() as work:
            assert await work.lock_user(ann.id) == ann

    # Changing strategies

    async def test_an_unknown_owner_gets_no_strategy(self, store: Store) -> None:
        with pytest.raises(UserNotFound):
            async with store.write() as work:
                await work.add_strategy(owner_id=10**6, content=StrategyContent(name="a"), at=CREATED)

    async def test_a_name_belongs_to_one_strategy_of_an_owner(self, store: Store, ann: User) -> None:
        await add_strategy(store, ann, "a")

        with pytest.raises(StrategyNameTaken) as refusal:
            await add_strategy(store, ann, "a")
        assert refusal.value.name == "a"
        assert await names(store, ann) == ["a"]

    @pytest.mark.parametrize("name", ["A", "a ", " a", "á", "a\u0301"])
    async def test_names_are_compared_character_by_character(self, store: Store, ann: User, name: str) -> None:
        await add_strategy(store, ann, "a")
        await add_strategy(store, ann, name)

        assert await names(store, ann) == ["a", name]

    async def test_two_owners_may_use_one_name(self, store: Store, ann: User, bob: User) -> None:
        await add_strategy(store, ann, "a")
        await add_strategy(store, bob, "a")

        assert (await names(store, ann), await names(store, bob)) == (["a"], ["a"])

    @pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
    async def test_a_replaced_strategy_is_read_as_it_was_stored(
        self, store: Store, ann: User, content: StrategyContent
    ) -> None:
        before = await add_strategy(store, ann, StrategyContent(name="before", description="before"))
        untouched = await add_strategy(store, ann, "untouched")
        changed = before.changed(
            at=CHANGED,
            name=content.name,
            description=content.description,
            parameters=content.parameters,
            is_active=content.is_active,
        )
        async with store.write() as work:
            await work.lock_user(ann.id)
            await work.replace_strategy(changed)

        async with store.read() as view:
            page = await view.list_strategies(owner_id=ann.id, skip=0, limit=10, active_only=False)
        assert list(page.items) == [changed, untouched]

    async def test_replacing_a_strategy_that_does_not_exist_creates_none(self, store: Store, ann: User) -> None:
        strategy = await add_strategy(store, ann, "a")

        with pytest.raises(StrategyNotFound):
            async with store.write() as work:
                await work.lock_user(ann.id)
                await work.replace_strategy(replace(strategy, id=strategy.id + 1000, name="b"))
        assert await names(store, ann) == ["a"]

    async def test_another_owners_strategy_cannot_be_replaced(self, store: Store, ann: User, bob: User) -> None:
        strategy = await add_strategy(store, ann, "a")

        with pytest.raises(StrategyNotFound):
            async with store.write() as work:
                await work.lock_user(bob.id)
                await work.replace_strategy(replace(strategy, owner_id=bob.id, name="b"))
        assert (await names(store, ann), await names(store, bob)) == (["a"], [])

    async def test_a_strategy_cannot_take_the_name_of_another(self, store: Store, ann: User) -> None:
        await add_strategy(store, ann, "a")
        other = await add_strategy(store, ann, "b")

        with pytest.raises(StrategyNameTaken):
            async with store.write() as work:
                await work.lock_user(ann.id)
                await work.replace_strategy(other.changed(at=CHANGED, name="a"))
        assert await names(store, ann) == ["a", "b"]

    async def test_a_removed_strategy_is_not_found(self, store: Store, ann: User) -> None:
        strategy = await add_strategy(store, ann, "a")
        await add_strategy(store, ann, "b")
        await _remove(store, strategy)

        assert await names(store, ann) == ["b"]
        async with store.read() as view:
            with pytest.raises(StrategyNotFound):
                await view.get_strategy(owner_id=ann.id, strategy_id=strategy.id)

    async def test_a_removed_strategys_name_is_free_again(self, store: Store, ann: User) -> None:
        await _remove(store, await add_strategy(store, ann, "a"))
        await add_strategy(store, ann, "a")

        assert await names(store, ann) == ["a"]

    async def test_a_removed_strategys_id_is_never_given_again(self, store: Store, ann: User) -> None:
        removed = await add_strategy(store, ann, "a")
        await _remove(store, removed)

        assert (await add_strategy(store, ann, "b")).id > removed.id

    async def test_another_owners_strategy_cannot_be_removed(self, store: Store, ann: User, bob: User) -> None:
        strategy = await add_strategy(store, ann, "a")

        with pytest.raises(StrategyNotFound):
            await _remove(store, replace(strategy, owner_id=bob.id))
        assert await names(store, ann) == ["a"]

    async def test_a_strategy_is_removed_once(self, store: Store, ann: User) -> None:
        strategy = await add_strategy(store, ann, "a")
        await _remove(store, strategy)

        with pytest.raises(StrategyNotFound):
            await _remove(store, strategy)

    # Blocks

    async def test_a_block_sees_its_own_changes(self, store: Store, ann: User) -> None:
        async with store.write() as work:
            await work.lock_user(ann.id)
            strategy = await work.add_strategy(owner_id=ann.id, content=StrategyContent(name="a"), at=CREATED)
            assert await work.get_strategy(owner_id=ann.id, strategy_id=strategy.id) == strategy
            await work.remove_strategy(owner_id=ann.id, strategy_id=strategy.id)
            page = await work.list_strategies(owner_id=ann.id, skip=0, limit=10, active_only=False)
            assert (list(page.items), page.total) == ([], 0)

    async def test_everything_in_a_block_is_kept(self, store: Store) -> None:
        async with store.write() as work:
            cid = await work.add_user(email="cid@example.com", password_hash="hash", at=CREATED)
            for name in ("a", "b"):
                await work.add_strategy(owner_id=cid.id, content=StrategyContent(name=name), at=CREATED)

        assert await names(store, cid) == ["a", "b"]

    async def test_nothing_in_a_block_is_kept_that_an_exception_leaves(self, store: Store, ann: User) -> None:
        kept = await add_strategy(store, ann, "kept")
        removed = await add_strategy(store, ann, "removed")
        with pytest.raises(_LeftOnPurpose):
            async with store.write() as work:
                await work.lock_user(ann.id)
                await work.add_strategy(owner_id=ann.id, content=StrategyContent(name="new"), at=CREATED)
                await work.replace_strategy(kept.changed(at=CHANGED, name="changed"))
                await work.remove_strategy(owner_id=ann.id, strategy_id=removed.id)
                await work.replace_user(ann.deactivated(at=CHANGED))
                await work.add_user(email="new@example.com", password_hash="hash", at=CREATED)
                raise _LeftOnPurpose

        async with store.read() as view:
            page = await view.list_strategies(owner_id=ann.id, skip=0, limit=10, active_only=False)
            assert list(page.items) == [kept, removed]
            assert list(await view.list_users()) == [ann]

    async def test_nothing_in_a_block_is_kept_that_a_refusal_leaves(self, store: Store, ann: User) -> None:
        await add_strategy(store, ann, "a")
        with pytest.raises(StrategyNameTaken):
            async with store.write() as work:
                await work.lock_user(ann.id)
                await work.add_strategy(owner_id=ann.id, content=StrategyContent(name="b"), at=CREATED)
                await work.add_strategy(owner_id=ann.id, content=StrategyContent(name="a"), at=CREATED)

        assert await names(store, ann) == ["a"]

    async def test_a_reading_block_does_not_see_what_is_not_committed(self, store: Store, ann: User) -> None:
        async with store.write() as work:
            await work.lock_user(ann.id)
            await work.add_strategy(owner_id=ann.id, content=StrategyContent(name="a"), at=CREATED)
            assert await asyncio.wait_for(names(store, ann), PATIENCE) == []

        assert await names(store, ann) == ["a"]

    async def test_a_reading_block_makes_no_writer_wait(self, store: Store, ann: User) -> None:
        async with store.read() as view:
            await view.find_user(ann.id)
            await asyncio.wait_for(add_strategy(store, ann, "a"), PATIENCE)

    async def test_blocks_that_take_one_row_wait_for_each_other(self, store: Store, ann: User) -> None:
        async with store.write() as work:
            await work.lock_user(ann.id)
            later = asyncio.ensure_future(add_strategy(store, ann, "later"))
            await asyncio.wait({later}, timeout=A_WHILE)
            assert not later.done()
            await work.add_strategy(owner_id=ann.id, content=StrategyContent(name="sooner"), at=CREATED)
        await asyncio.wait_for(later, PATIENCE)

        assert await names(store, ann) == ["sooner", "later"]

    async def test_no_change_is_lost_between_overlapping_blocks(self, store: Store, ann: User) -> None:
        strategy = await add_strategy(store, ann, StrategyContent(name="a", parameters=Parameters({"count": 0})))

        async def count_one_up() -> None:
            async with store.write() as work:
                await work.lock_user(ann.id)
                current = await work.get_strategy(owner_id=ann.id, strategy_id=strategy.id)
                await asyncio.sleep(0)
                count = current.parameters.to_dict()["count"]
                assert isinstance(count, int)
                await work.replace_strategy(current.changed(at=CHANGED, parameters=Parameters({"count": count + 1})))

        await asyncio.wait_for(asyncio.gather(*[count_one_up() for _ in range(12)]), PATIENCE)

        async with store.read() as view:
            counted = await view.get_strategy(owner_id=ann.id, strategy_id=strategy.id)
        assert counted.parameters == Parameters({"count": 12})

    async def test_of_overlapping_blocks_one_gets_the_name(self, store: Store, ann: User) -> None:
        attempts = [add_strategy(store, ann, "a") for _ in range(8)]
        outcomes = await asyncio.wait_for(asyncio.gather(*attempts, return_exceptions=True), PATIENCE)

        assert sum(isinstance(outcome, Strategy) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, StrategyNameTaken) for outcome in outcomes) == 7
        assert await names(store, ann) == ["a"]

    async def test_of_overlapping_blocks_one_gets_the_email(self, store: Store) -> None:
        attempts = [add_user(store, "cid@example.com") for _ in range(8)]
        outcomes = await asyncio.wait_for(asyncio.gather(*attempts, return_exceptions=True), PATIENCE)

        assert sum(isinstance(outcome, User) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, EmailTaken) for outcome in outcomes) == 7

    @pytest.mark.parametrize("steps", range(12))
    async def test_a_cancelled_caller_leaves_a_block_whole_or_undone_and_nothing_locked(
        self, store: Store, ann: User, steps: int
    ) -> None:
        async def add_two() -> None:
            async with store.write() as work:
                await work.lock_user(ann.id)
                for name in ("a", "b"):
                    await work.add_strategy(owner_id=ann.id, content=StrategyContent(name=name), at=CREATED)

        caller = asyncio.ensure_future(add_two())
        for _ in range(steps * steps):
            await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait({caller}, timeout=PATIENCE)

        assert caller.done()
        assert await asyncio.wait_for(names(store, ann), PATIENCE) in ([], ["a", "b"])
        await asyncio.wait_for(add_strategy(store, ann, "next"), PATIENCE)

    async def test_many_cancelled_callers_leave_nothing_open(self, store: Store, ann: User) -> None:
        for _ in range(40):
            reader = asyncio.ensure_future(names(store, ann))
            writer = asyncio.ensure_future(add_strategy(store, ann, "a"))
            await asyncio.sleep(0)
            reader.cancel()
            writer.cancel()
            await asyncio.wait_for(asyncio.gather(reader, writer, return_exceptions=True), PATIENCE)

        await asyncio.wait_for(add_strategy(store, ann, "next"), PATIENCE)


async def _remove(store: Store, strategy: Strategy) -> None:
    async with store.write() as work:
        await work.lock_user(strategy.owner_id)
        await work.remove_strategy(owner_id=strategy.owner_id, strategy_id=strategy.id)
