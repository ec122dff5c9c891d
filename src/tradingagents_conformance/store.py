"""What every store does, as tests."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar, cast

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tradingagents_conformance.examples import (
    CHANGED,
    CONTENTS,
    CREATED,
    FOREIGN_IDS,
    add_strategy,
    add_user,
    exact,
    names,
    refused,
    repeatable,
)
from tradingagents_conformance.histories import Exploration, Histories
from tradingagents_conformance.opening import OpenStore
from tradingagents_core.domain.parameters import INTEGER_MAX, Parameters
from tradingagents_core.domain.strategy import Strategy, StrategyContent
from tradingagents_core.domain.user import User
from tradingagents_core.errors import EmailTaken, StrategyNameTaken, StrategyNotFound, UserNotFound
from tradingagents_core.ports import Store

_log = logging.getLogger(__name__)


class _LeftOnPurpose(Exception):
    """Leaves a block."""


class StoreContract:
    """Every sentence of `StoreView`, `StoreWork` and `Store`.

    A subclass gives the fixture `open_store`, and may set the attributes below.
    """

    histories: ClassVar[int] = 25
    """How many random histories are tried. They are the same ones every time; a greater number tries more."""

    history_length: ClassVar[int] = 20
    """How many blocks, or groups of overlapping blocks, a history has at most."""

    a_while: ClassVar[float] = 0.2
    """Seconds for which a block is watched to see that it waits."""

    patience: ClassVar[float] = 30
    """Seconds after which a block counts as hanging."""

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
            by_id, by_email = await view.find_user(user.id), await view.find_user_by_email("ann@example.com")
        assert by_id is not None
        assert by_email is not None
        assert exact(by_id) == exact(by_email) == exact(user)
        assert (user.email, user.password_hash, user.is_active) == ("ann@example.com", "$argon2id$" + "x" * 300, True)
        assert (user.created_at, user.updated_at) == (CREATED, CREATED)

    @pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
    async def test_a_strategy_is_read_as_it_was_stored(self, store: Store, ann: User, content: StrategyContent) -> None:
        stored = await add_strategy(store, ann, content)

        async with store.read() as view:
            read = await view.get_strategy(owner_id=ann.id, strategy_id=stored.id)
        assert exact(read) == exact(stored) == _as_stored(content, stored.id, ann)

    async def test_times_come_back_aware_and_in_utc(self, store: Store, ann: User) -> None:
        strategy = await add_strategy(store, ann, "a")

        async with store.read() as view:
            user = await view.find_user(ann.id)
            read = [user, await view.get_strategy(owner_id=ann.id, strategy_id=strategy.id)]
        assert [(row.created_at.utcoffset(), row.updated_at.utcoffset()) for row in read if row is not None] == [
            (timedelta(0), timedelta(0)),
            (timedelta(0), timedelta(0)),
        ]

    async def test_microseconds_come_back(self, store: Store, ann: User) -> None:
        strategy = await add_strategy(store, ann, "a")

        async with store.read() as view:
            user = await view.find_user(ann.id)
            read = [user, await view.get_strategy(owner_id=ann.id, strategy_id=strategy.id)]
        assert [(row.created_at.microsecond, row.updated_at.microsecond) for row in read if row is not None] == [
            (CREATED.microsecond, CREATED.microsecond),
            (CREATED.microsecond, CREATED.microsecond),
        ]

    async def test_the_order_of_keys_comes_back(self, store: Store, ann: User) -> None:
        parameters = Parameters({"z": 1, "a": {"y": 1, "b": [{"q": 0, "c": 1}]}, "m": 2})
        strategy = await add_strategy(store, ann, StrategyContent(name="a", parameters=parameters))

        async with store.read() as view:
            read = await view.get_strategy(owner_id=ann.id, strategy_id=strategy.id)
        assert repr(read.parameters.to_dict()) == repr(parameters.to_dict())

    async def test_what_has_been_read_stays_as_it_is(self, store: Store, ann: User) -> None:
        strategy = await add_strategy(store, ann, "a")
        async with store.read() as view:
            users = await view.list_users()
            page = await view.list_strategies(owner_id=ann.id, skip=0, limit=10, active_only=False)
        async with store.write() as work:
            await work.lock_user(ann.id)
            own_users = await work.list_users()
            own_page = await work.list_strategies(owner_id=ann.id, skip=0, limit=10, active_only=False)
            await work.add_user(email="new@example.com", password_hash="hash", at=CREATED)
            await work.replace_user(ann.deactivated(at=CHANGED))
            await work.replace_strategy(strategy.changed(at=CHANGED, name="b"))
            await work.add_strategy(owner_id=ann.id, content=StrategyContent(name="a"), at=CREATED)
        async with store.read() as view:
            await view.list_users()
            await view.list_strategies(owner_id=ann.id, skip=0, limit=10, active_only=False)

        assert (list(users), list(own_users)) == ([ann], [ann])
        assert (list(page.items), list(own_page.items)) == ([strategy], [strategy])

    async def test_nobody_has_an_id_that_was_not_given(self, store: Store, ann: User) -> None:
        async with store.read() as view:
            found = {user_id: await view.find_user(user_id) for user_id in FOREIGN_IDS}
        assert found == dict.fromkeys(FOREIGN_IDS)

    async def test_an_email_finds_nobody_where_there_is_none(self, store: Store, ann: User) -> None:
        async with store.read() as view:
            assert await view.find_user_by_email("nobody@example.com") is None

    async def test_users_are_listed_oldest_first(self, store: Store) -> None:
        users = [await add_user(store, f"{name}@example.com") for name in ("c", "a", "b")]

        async with store.read() as view:
            assert list(await view.list_users()) == users

    async def test_an_id_that_was_not_given_is_no_strategy(self, store: Store, ann: User) -> None:
        await add_strategy(store, ann, "a")

        for strategy_id in FOREIGN_IDS:
            with refused(StrategyNotFound(strategy_id)):
                async with store.read() as view:
                    await view.get_strategy(owner_id=ann.id, strategy_id=strategy_id)

    async def test_another_owners_strategy_is_not_found(self, store: Store, ann: User, bob: User) -> None:
        strategy = await add_strategy(store, ann, "a")

        async with store.read() as view:
            with refused(StrategyNotFound(strategy.id)):
                await view.get_strategy(owner_id=bob.id, strategy_id=strategy.id)

    async def test_an_unknown_owner_has_no_strategy(self, store: Store, ann: User) -> None:
        strategy = await add_strategy(store, ann, "a")

        for owner_id in FOREIGN_IDS:
            with refused(StrategyNotFound(strategy.id)):
                async with store.read() as view:
                    await view.get_strategy(owner_id=owner_id, strategy_id=strategy.id)

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

    async def test_items_and_total_are_of_the_same_moment(self, store: Store, ann: User) -> None:
        async def add_some() -> None:
            for number in range(12):
                await add_strategy(store, ann, f"{number}")

        writer = asyncio.ensure_future(add_some())
        seen = []
        async with asyncio.timeout(self.patience):
            while not writer.done():
                async with store.read() as view:
                    page = await view.list_strategies(owner_id=ann.id, skip=0, limit=1000, active_only=False)
                seen.append((page.total, len(page.items)))
                await asyncio.sleep(0)
        await writer
        assert [(total, items) for total, items in seen if total != items] == []

    async def test_nobody_elses_strategies_are_in_a_list(self, store: Store, ann: User, bob: User) -> None:
        await add_strategy(store, ann, "a")
        await add_strategy(store, bob, "b")

        assert await names(store, ann) == ["a"]
        assert await names(store, bob) == ["b"]

    @pytest.mark.parametrize("active_only", [False, True])
    async def test_nobody_elses_strategies_are_counted(
        self, store: Store, ann: User, bob: User, *, active_only: bool
    ) -> None:
        await add_strategy(store, ann, "a")
        for name in ("b", "c"):
            await add_strategy(store, bob, name)

        async with store.read() as view:
            page = await view.list_strategies(owner_id=ann.id, skip=0, limit=10, active_only=active_only)
        assert page.total == 1

    async def test_an_unknown_owner_has_an_empty_list(self, store: Store, ann: User) -> None:
        await add_strategy(store, ann, "a")

        for owner_id in FOREIGN_IDS:
            async with store.read() as view:
                page = await view.list_strategies(owner_id=owner_id, skip=0, limit=10, active_only=False)
            assert (owner_id, list(page.items), page.total) == (owner_id, [], 0)

    # Changing users

    async def test_a_new_user_is_active_and_created_and_updated_at_the_given_time(self, store: Store) -> None:
        async with store.write() as work:
            user = await work.add_user(email="ann@example.com", password_hash="hash", at=CHANGED)

        assert (user.is_active, user.created_at, user.updated_at) == (True, CHANGED, CHANGED)

    async def test_ids_of_users_differ(self, store: Store, ann: User, bob: User) -> None:
        assert ann.id != bob.id

    async def test_an_email_belongs_to_one_user(self, store: Store, ann: User) -> None:
        with refused(EmailTaken(ann.email)):
            await add_user(store, ann.email)

        async with store.read() as view:
            assert list(await view.list_users()) == [ann]

    async def test_a_replaced_user_is_read_as_it_was_stored(self, store: Store, ann: User, bob: User) -> None:
        changed = replace(ann, email="a@example.com", password_hash="other", is_active=False, updated_at=CHANGED)
        async with store.write() as work:
            await work.lock_user(ann.id)
            await work.replace_user(changed)

        async with store.read() as view:
            assert [exact(user) for user in await view.list_users()] == [exact(changed), exact(bob)]

    async def test_a_replaced_user_is_found_by_the_new_email_only(self, store: Store, ann: User) -> None:
        changed = replace(ann, email="a@example.com")
        async with store.write() as work:
            await work.lock_user(ann.id)
            await work.replace_user(changed)

        async with store.read() as view:
            assert await view.find_user_by_email("a@example.com") == changed
            assert await view.find_user_by_email(ann.email) is None
        assert await add_user(store, ann.email) != ann

    async def test_replacing_a_user_who_does_not_exist_creates_none(self, store: Store, ann: User) -> None:
        for user_id in FOREIGN_IDS:
            with refused(UserNotFound(user_id)):
                async with store.write() as work:
                    await work.replace_user(replace(ann, id=user_id, email="new@example.com"))

        async with store.read() as view:
            assert list(await view.list_users()) == [ann]

    async def test_a_user_cannot_take_the_email_of_another(self, store: Store, ann: User, bob: User) -> None:
        with refused(EmailTaken(ann.email)):
            async with store.write() as work:
                await work.lock_user(bob.id)
                await work.replace_user(replace(bob, email=ann.email))

    async def test_a_user_keeps_their_own_email(self, store: Store, ann: User) -> None:
        changed = replace(ann, password_hash="other", updated_at=CHANGED)
        async with store.write() as work:
            await work.lock_user(ann.id)
            await work.replace_user(changed)

        async with store.read() as view:
            assert await view.find_user_by_email(ann.email) == changed

    async def test_nobodys_row_cannot_be_taken(self, store: Store, ann: User) -> None:
        for user_id in FOREIGN_IDS:
            with refused(UserNotFound(user_id)):
                async with store.write() as work:
                    await work.lock_user(user_id)

    # Changing strategies

    async def test_a_new_strategy_is_created_and_updated_at_the_given_time(self, store: Store, ann: User) -> None:
        async with store.write() as work:
            await work.lock_user(ann.id)
            strategy = await work.add_strategy(owner_id=ann.id, content=StrategyContent(name="a"), at=CHANGED)

        assert (strategy.created_at, strategy.updated_at) == (CHANGED, CHANGED)

    async def test_an_unknown_owner_gets_no_strategy(self, store: Store, ann: User) -> None:
        for owner_id in FOREIGN_IDS:
            with refused(UserNotFound(owner_id)):
                async with store.write() as work:
                    await work.add_strategy(owner_id=owner_id, content=StrategyContent(name="a"), at=CREATED)

    async def test_a_name_belongs_to_one_strategy_of_an_owner(self, store: Store, ann: User) -> None:
        await add_strategy(store, ann, "a")

        with refused(StrategyNameTaken("a")):
            await add_strategy(store, ann, "a")
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
        assert [exact(strategy) for strategy in page.items] == [exact(changed), exact(untouched)]

    async def test_replacing_a_strategy_that_does_not_exist_creates_none(self, store: Store, ann: User) -> None:
        strategy = await add_strategy(store, ann, "a")

        for strategy_id in FOREIGN_IDS:
            with refused(StrategyNotFound(strategy_id)):
                async with store.write() as work:
                    await work.lock_user(ann.id)
                    await work.replace_strategy(replace(strategy, id=strategy_id, name="b"))
        assert await names(store, ann) == ["a"]

    async def test_replacing_a_strategy_that_was_removed_creates_none(self, store: Store, ann: User) -> None:
        strategy = await add_strategy(store, ann, "a")
        await _remove(store, strategy)

        with refused(StrategyNotFound(strategy.id)):
            async with store.write() as work:
                await work.lock_user(ann.id)
                await work.replace_strategy(strategy)
        assert await names(store, ann) == []

    async def test_another_owners_strategy_cannot_be_replaced(self, store: Store, ann: User, bob: User) -> None:
        strategy = await add_strategy(store, ann, "a")

        with refused(StrategyNotFound(strategy.id)):
            async with store.write() as work:
                await work.lock_user(bob.id)
                await work.replace_strategy(replace(strategy, owner_id=bob.id, name="b"))
        assert (await names(store, ann), await names(store, bob)) == (["a"], [])

    async def test_a_strategy_cannot_take_the_name_of_another(self, store: Store, ann: User) -> None:
        await add_strategy(store, ann, "a")
        other = await add_strategy(store, ann, "b")

        with refused(StrategyNameTaken("a")):
            async with store.write() as work:
                await work.lock_user(ann.id)
                await work.replace_strategy(other.changed(at=CHANGED, name="a"))
        assert await names(store, ann) == ["a", "b"]

    async def test_a_strategy_may_take_the_name_that_another_owner_uses(
        self, store: Store, ann: User, bob: User
    ) -> None:
        await add_strategy(store, ann, "a")
        strategy = await add_strategy(store, bob, "b")
        async with store.write() as work:
            await work.lock_user(bob.id)
            await work.replace_strategy(strategy.changed(at=CHANGED, name="a"))

        assert (await names(store, ann), await names(store, bob)) == (["a"], ["a"])

    async def test_a_strategy_keeps_its_own_name(self, store: Store, ann: User) -> None:
        changed = (await add_strategy(store, ann, "a")).changed(at=CHANGED, description="changed")
        async with store.write() as work:
            await work.lock_user(ann.id)
            await work.replace_strategy(changed)

        async with store.read() as view:
            assert await view.get_strategy(owner_id=ann.id, strategy_id=changed.id) == changed

    async def test_a_name_that_was_given_up_is_free(self, store: Store, ann: User) -> None:
        strategy = await add_strategy(store, ann, "a")
        async with store.write() as work:
            await work.lock_user(ann.id)
            await work.replace_strategy(strategy.changed(at=CHANGED, name="b"))
            await work.add_strategy(owner_id=ann.id, content=StrategyContent(name="a"), at=CREATED)

        assert await names(store, ann) == ["b", "a"]

    async def test_a_removed_strategy_is_not_found(self, store: Store, ann: User) -> None:
        strategy = await add_strategy(store, ann, "a")
        await add_strategy(store, ann, "b")
        await _remove(store, strategy)

        assert await names(store, ann) == ["b"]
        async with store.read() as view:
            with refused(StrategyNotFound(strategy.id)):
                await view.get_strategy(owner_id=ann.id, strategy_id=strategy.id)

    async def test_a_removed_strategys_name_is_free_again(self, store: Store, ann: User) -> None:
        await _remove(store, await add_strategy(store, ann, "a"))
        await add_strategy(store, ann, "a")

        assert await names(store, ann) == ["a"]

    async def test_a_removed_strategys_id_is_never_given_again(self, store: Store, ann: User) -> None:
        removed = await add_strategy(store, ann, "a")
        await _remove(store, removed)

        assert (await add_strategy(store, ann, "b")).id > removed.id

    async def test_what_does_not_exist_cannot_be_removed(self, store: Store, ann: User) -> None:
        strategy = await add_strategy(store, ann, "a")

        for strategy_id in FOREIGN_IDS:
            with refused(StrategyNotFound(strategy_id)):
                await _remove(store, replace(strategy, id=strategy_id))
        assert await names(store, ann) == ["a"]

    async def test_another_owners_strategy_cannot_be_removed(self, store: Store, ann: User, bob: User) -> None:
        strategy = await add_strategy(store, ann, "a")

        with refused(StrategyNotFound(strategy.id)):
            await _remove(store, replace(strategy, owner_id=bob.id))
        assert await names(store, ann) == ["a"]

    async def test_a_strategy_is_removed_once(self, store: Store, ann: User) -> None:
        strategy = await add_strategy(store, ann, "a")
        await _remove(store, strategy)

        with refused(StrategyNotFound(strategy.id)):
            await _remove(store, strategy)

    # Blocks

    async def test_a_block_sees_its_own_changes_of_strategies(self, store: Store, ann: User) -> None:
        async with store.write() as work:
            await work.lock_user(ann.id)
            strategy = await work.add_strategy(owner_id=ann.id, content=StrategyContent(name="a"), at=CREATED)
            assert await work.get_strategy(owner_id=ann.id, strategy_id=strategy.id) == strategy
            changed = strategy.changed(at=CHANGED, name="b")
            await work.replace_strategy(changed)
            page = await work.list_strategies(owner_id=ann.id, skip=0, limit=10, active_only=False)
            assert (list(page.items), page.total) == ([changed], 1)
            await work.remove_strategy(owner_id=ann.id, strategy_id=strategy.id)
            page = await work.list_strategies(owner_id=ann.id, skip=0, limit=10, active_only=False)
            assert (list(page.items), page.total) == ([], 0)

    async def test_a_block_sees_its_own_changes_of_users(self, store: Store, ann: User) -> None:
        async with store.write() as work:
            await work.lock_user(ann.id)
            cid = await work.add_user(email="cid@example.com", password_hash="hash", at=CREATED)
            changed = replace(ann, email="a@example.com", updated_at=CHANGED)
            await work.replace_user(changed)
            assert list(await work.list_users()) == [changed, cid]
            assert await work.find_user(cid.id) == cid
            assert await work.find_user_by_email("a@example.com") == changed
            assert await work.find_user_by_email(ann.email) is None
            await work.lock_user(cid.id)

    async def test_everything_in_a_block_is_kept(self, store: Store) -> None:
        async with store.write() as work:
            cid = await work.add_user(email="cid@example.com", password_hash="hash", at=CREATED)
            await work.lock_user(cid.id)
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
        with refused(StrategyNameTaken("a")):
            async with store.write() as work:
                await work.lock_user(ann.id)
                await work.add_strategy(owner_id=ann.id, content=StrategyContent(name="b"), at=CREATED)
                await work.add_strategy(owner_id=ann.id, content=StrategyContent(name="a"), at=CREATED)

        assert await names(store, ann) == ["a"]

    async def test_a_reading_block_does_not_see_what_is_not_committed(self, store: Store, ann: User) -> None:
        async with store.write() as work:
            await work.lock_user(ann.id)
            await work.add_strategy(owner_id=ann.id, content=StrategyContent(name="a"), at=CREATED)
            await work.replace_user(ann.deactivated(at=CHANGED))
            assert await asyncio.wait_for(names(store, ann), self.patience) == []
            async with store.read() as view:
                assert await asyncio.wait_for(view.find_user(ann.id), self.patience) == ann

        assert await names(store, ann) == ["a"]

    async def test_a_reading_block_makes_no_writer_wait(self, store: Store, ann: User) -> None:
        async with store.read() as view:
            await view.find_user(ann.id)
            await asyncio.wait_for(add_strategy(store, ann, "a"), self.patience)

    async def test_a_reading_block_sees_nothing_of_a_block_that_fails(self, store: Store, ann: User) -> None:
        with pytest.raises(_LeftOnPurpose):
            async with store.write() as work:
                await work.lock_user(ann.id)
                await work.add_strategy(owner_id=ann.id, content=StrategyContent(name="a"), at=CREATED)
                raise _LeftOnPurpose

        assert await asyncio.wait_for(names(store, ann), self.patience) == []

    async def test_blocks_that_take_one_row_wait_for_each_other(self, store: Store, ann: User) -> None:
        async with store.write() as work:
            await work.lock_user(ann.id)
            later = asyncio.ensure_future(add_strategy(store, ann, "later"))
            await asyncio.wait({later}, timeout=self.a_while)
            assert not later.done()
            await work.add_strategy(owner_id=ann.id, content=StrategyContent(name="sooner"), at=CREATED)
        await asyncio.wait_for(later, self.patience)

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

        await asyncio.wait_for(asyncio.gather(*[count_one_up() for _ in range(12)]), self.patience)

        async with store.read() as view:
            counted = await view.get_strategy(owner_id=ann.id, strategy_id=strategy.id)
        assert counted.parameters == Parameters({"count": 12})

    async def test_of_overlapping_blocks_one_gets_the_name(self, store: Store, ann: User) -> None:
        attempts = [add_strategy(store, ann, "a") for _ in range(8)]
        outcomes = await asyncio.wait_for(asyncio.gather(*attempts, return_exceptions=True), self.patience)

        assert sum(isinstance(outcome, Strategy) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, StrategyNameTaken) for outcome in outcomes) == 7
        assert await names(store, ann) == ["a"]

    async def test_of_overlapping_blocks_one_gets_the_email(self, store: Store) -> None:
        attempts = [add_user(store, "cid@example.com") for _ in range(8)]
        outcomes = await asyncio.wait_for(asyncio.gather(*attempts, return_exceptions=True), self.patience)

        assert sum(isinstance(outcome, User) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, EmailTaken) for outcome in outcomes) == 7

    async def test_a_cancelled_caller_leaves_a_block_whole_or_undone_and_nothing_locked(
        self, store: Store, ann: User
    ) -> None:
        async def add_two(number: int) -> None:
            async with store.write() as work:
                await work.lock_user(ann.id)
                for half in ("first", "second"):
                    content = StrategyContent(name=f"{half} {number}")
                    await work.add_strategy(owner_id=ann.id, content=content, at=CREATED)

        kept: list[str] = []
        for number in range(12):
            caller = asyncio.ensure_future(add_two(number))
            for _ in range(number * number):
                await asyncio.sleep(0)
            caller.cancel()
            await asyncio.wait({caller}, timeout=self.patience)

            assert caller.done()
            now_kept = await asyncio.wait_for(names(store, ann), self.patience)
            assert now_kept in (kept, [*kept, f"first {number}", f"second {number}"])
            kept = now_kept
        await asyncio.wait_for(add_strategy(store, ann, "next"), self.patience)

    @pytest.mark.parametrize("done", [1, 2, 3])
    async def test_nothing_in_a_block_is_kept_that_is_cancelled_between_its_changes(
        self, store: Store, ann: User, done: int
    ) -> None:
        reached = asyncio.Event()

        async def add_some_and_wait() -> None:
            async with store.write() as work:
                await work.lock_user(ann.id)
                for number in range(done):
                    await work.add_strategy(owner_id=ann.id, content=StrategyContent(name=f"{number}"), at=CREATED)
                reached.set()
                await asyncio.Event().wait()

        caller = asyncio.ensure_future(add_some_and_wait())
        await asyncio.wait_for(reached.wait(), self.patience)
        caller.cancel()
        await asyncio.wait({caller}, timeout=self.patience)

        assert caller.cancelled()
        assert await asyncio.wait_for(names(store, ann), self.patience) == []

    async def test_a_block_cancelled_while_it_waits_leaves_nothing_locked(self, store: Store, ann: User) -> None:
        async with store.write() as work:
            await work.lock_user(ann.id)
            waiting = [asyncio.ensure_future(add_strategy(store, ann, name)) for name in ("a", "b", "c")]
            await asyncio.wait(waiting, timeout=self.a_while)
            waiting[0].cancel()
            waiting[2].cancel()
        await asyncio.wait(waiting, timeout=self.patience)

        assert [caller.done() for caller in waiting] == [True, True, True]
        assert await asyncio.wait_for(names(store, ann), self.patience) == ["b"]
        await asyncio.wait_for(add_strategy(store, ann, "next"), self.patience)

    async def test_many_cancelled_callers_leave_nothing_open(self, store: Store, ann: User) -> None:
        for _ in range(40):
            reader = asyncio.ensure_future(names(store, ann))
            writer = asyncio.ensure_future(add_strategy(store, ann, "a"))
            await asyncio.sleep(0)
            reader.cancel()
            writer.cancel()
            await asyncio.wait_for(asyncio.gather(reader, writer, return_exceptions=True), self.patience)

        await asyncio.wait_for(add_strategy(store, ann, "next"), self.patience)

    # Everything at once

    def test_random_histories_go_as_with_plain_dictionaries(self, open_store: OpenStore) -> None:
        exploration = Exploration(patience=self.patience)
        run_state_machine_as_test(
            # A factory will do (its docstring says so), though its annotation wants a class.
            cast(type[Histories], lambda: Histories(open_store, exploration)),
            settings=settings(repeatable(self.histories), stateful_step_count=self.history_length),
        )
        _log.info("Explored %s", exploration)


def _as_stored(content: StrategyContent, strategy_id: int, owner: User) -> dict[str, str]:
    return exact(
        Strategy(
            id=strategy_id,
            owner_id=owner.id,
            name=content.name,
            description=content.description,
            parameters=content.parameters,
            is_active=content.is_active,
            created_at=CREATED,
            updated_at=CREATED,
        )
    )


async def _remove(store: Store, strategy: Strategy) -> None:
    async with store.write() as work:
        await work.lock_user(strategy.owner_id)
        await work.remove_strategy(owner_id=strategy.owner_id, strategy_id=strategy.id)
