"""The contract of stores of strategies, as tests."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar, Final

import pytest

from tradingagents_conformance.blocks import BlocksContract, patiently
from tradingagents_conformance.examples import (
    CHANGED,
    CONTENTS,
    CREATED,
    FOREIGN_IDS,
    UNUSED_IDS,
    add_strategy,
    exact,
    names,
    refused,
    settle,
)
from tradingagents_conformance.histories.blocks import LeftOnPurpose
from tradingagents_conformance.histories.exploration import Exploration
from tradingagents_conformance.histories.search import explore
from tradingagents_conformance.histories.strategies import OPERATIONS, StrategyHistory
from tradingagents_conformance.opening import OpenStrategyStore
from tradingagents_core.domain.parameters import INTEGER_MAX, Parameters
from tradingagents_core.domain.strategies import Strategy, StrategyContent
from tradingagents_core.errors import BlockFailed, NestedBlock, StoreUnavailable, StrategyNameTaken, StrategyNotFound
from tradingagents_core.ports import StrategyStore

ANN: Final = 1009
BOB: Final = 4
"""Two owners. A store does not know them before they own a strategy."""

PAGES: Final = [(0, 2, "ab"), (1, 2, "bc"), (4, 2, "e"), (5, 2, ""), (0, 1000, "abcde"), (INTEGER_MAX + 1, 1, "")]
"""Arguments `skip` and `limit` for a list of the strategies a to e, and the strategies on the page."""

_log = logging.getLogger(__name__)


class StrategyStoreContract(BlocksContract):
    """Every sentence of `StrategyReader`, `StrategyRepository` and `StrategyStore`.

    A subclass defines the fixture `open_store`, and may set the attributes of `BlocksContract` and the one below.
    """

    one_writer_at_a_time: ClassVar[bool] = False
    """Whether the store allows one writer at a time, such as SQLite: then owners wait for each other, too."""

    @pytest.fixture
    def open_store(self) -> OpenStrategyStore:
        """Defined by the author of the store."""
        raise NotImplementedError("a subclass of StrategyStoreContract has to define the fixture open_store")

    @pytest.fixture
    async def store(self, open_store: OpenStrategyStore) -> AsyncIterator[StrategyStore]:
        async with open_store() as store:
            yield store

    # Reading

    @pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
    async def test_a_strategy_is_read_as_it_was_stored(self, store: StrategyStore, content: StrategyContent) -> None:
        stored = await add_strategy(store, ANN, content)

        async with store.read() as view:
            read = await view.strategies.get(owner_id=ANN, strategy_id=stored.id)
        assert exact(read) == exact(stored) == _as_stored(content, stored.id)

    async def test_times_come_back_aware_and_in_utc(self, store: StrategyStore) -> None:
        strategy = await add_strategy(store, ANN, "a")

        async with store.read() as view:
            read = await view.strategies.get(owner_id=ANN, strategy_id=strategy.id)
        assert (read.created_at.utcoffset(), read.updated_at.utcoffset()) == (timedelta(0), timedelta(0))

    async def test_microseconds_come_back(self, store: StrategyStore) -> None:
        strategy = await add_strategy(store, ANN, "a")

        async with store.read() as view:
            read = await view.strategies.get(owner_id=ANN, strategy_id=strategy.id)
        assert (read.created_at.microsecond, read.updated_at.microsecond) == (CREATED.microsecond, CREATED.microsecond)

    async def test_the_order_of_keys_comes_back(self, store: StrategyStore) -> None:
        parameters = Parameters({"z": 1, "a": {"y": 1, "b": [{"q": 0, "c": 1}]}, "m": 2})
        strategy = await add_strategy(store, ANN, StrategyContent(name="a", parameters=parameters))

        async with store.read() as view:
            read = await view.strategies.get(owner_id=ANN, strategy_id=strategy.id)
        assert repr(read.parameters.to_dict()) == repr(parameters.to_dict())

    async def test_a_list_that_was_read_does_not_change(self, store: StrategyStore) -> None:
        strategy = await add_strategy(store, ANN, "a")
        async with store.read() as view:
            page = await view.strategies.list(owner_id=ANN, skip=0, limit=10, active_only=False)
        async with store.write(ANN) as work:
            await work.strategies.replace(strategy.changed(at=CHANGED, name="b"))
            await work.strategies.add(StrategyContent(name="a"), at=CREATED)
        async with store.read() as view:
            await view.strategies.list(owner_id=ANN, skip=0, limit=10, active_only=False)

        assert list(page.items) == [strategy]

    async def test_an_unknown_id_finds_no_strategy(self, store: StrategyStore) -> None:
        await add_strategy(store, ANN, "a")

        for strategy_id in FOREIGN_IDS:
            with refused(StrategyNotFound(strategy_id)):
                async with store.read() as view:
                    await view.strategies.get(owner_id=ANN, strategy_id=strategy_id)

    async def test_another_owners_strategy_is_not_found(self, store: StrategyStore) -> None:
        strategy = await add_strategy(store, ANN, "a")

        async with store.read() as view:
            with refused(StrategyNotFound(strategy.id)):
                await view.strategies.get(owner_id=BOB, strategy_id=strategy.id)

    async def test_an_unknown_owner_has_no_strategy(self, store: StrategyStore) -> None:
        strategy = await add_strategy(store, ANN, "a")

        for owner_id in FOREIGN_IDS:
            with refused(StrategyNotFound(strategy.id)):
                async with store.read() as view:
                    await view.strategies.get(owner_id=owner_id, strategy_id=strategy.id)

    async def test_strategies_are_listed_oldest_first(self, store: StrategyStore) -> None:
        for name in ("c", "a", "b"):
            await add_strategy(store, ANN, name)

        assert await names(store, ANN) == ["c", "a", "b"]

    async def test_a_change_does_not_move_a_strategy_in_the_list(self, store: StrategyStore) -> None:
        first = await add_strategy(store, ANN, "a")
        await add_strategy(store, ANN, "b")
        async with store.write(ANN) as work:
            await work.strategies.replace(first.changed(at=CHANGED, name="z"))

        assert await names(store, ANN) == ["z", "b"]

    @pytest.mark.parametrize(
        ("skip", "limit", "listed"),
        PAGES,
    )
    async def test_a_page_holds_at_most_limit_strategies_after_the_first_skip(
        self, store: StrategyStore, skip: int, limit: int, listed: str
    ) -> None:
        for name in "abcde":
            await add_strategy(store, ANN, name)

        async with store.read() as view:
            page = await view.strategies.list(owner_id=ANN, skip=skip, limit=limit, active_only=False)
        assert [strategy.name for strategy in page.items] == list(listed)
        assert (page.total, page.skip, page.limit) == (5, skip, limit)

    @pytest.mark.parametrize("skip", [0, 1, 9])
    async def test_the_total_counts_what_the_list_holds_under_its_filter(self, store: StrategyStore, skip: int) -> None:
        for name, is_active in (("a", True), ("b", False), ("c", True), ("d", True)):
            await add_strategy(store, ANN, StrategyContent(name=name, is_active=is_active))
        await add_strategy(store, BOB, "a")

        async with store.read() as view:
            page = await view.strategies.list(owner_id=ANN, skip=skip, limit=2, active_only=True)
        assert [strategy.name for strategy in page.items] == ["a", "c", "d"][skip : skip + 2]
        assert page.total == 3

    async def test_the_total_follows_every_change(self, store: StrategyStore) -> None:
        first = await add_strategy(store, ANN, "a")
        await add_strategy(store, ANN, StrategyContent(name="b", is_active=False))
        assert await _totals(store, ANN) == (2, 1)
        async with store.write(ANN) as work:
            await work.strategies.replace(first.changed(at=CHANGED, is_active=False))
        assert await _totals(store, ANN) == (2, 0)
        async with store.write(ANN) as work:
            await work.strategies.replace(first.changed(at=CHANGED, name="c"))
        assert await _totals(store, ANN) == (2, 1)
        await _remove(store, first)
        assert await _totals(store, ANN) == (1, 0)

    async def test_items_and_total_are_of_the_same_moment(self, store: StrategyStore) -> None:
        async def add_some() -> None:
            for number in range(12):
                await add_strategy(store, ANN, f"{number}")

        writer = asyncio.ensure_future(add_some())
        seen = []
        async with asyncio.timeout(self.patience):
            while not writer.done():
                async with store.read() as view:
                    page = await view.strategies.list(owner_id=ANN, skip=0, limit=1000, active_only=False)
                seen.append((page.total, len(page.items)))
                await asyncio.sleep(0)
        await writer
        assert [(total, items) for total, items in seen if total != items] == []

    async def test_strategies_of_other_owners_are_not_listed(self, store: StrategyStore) -> None:
        await add_strategy(store, ANN, "a")
        await add_strategy(store, BOB, "b")

        assert await names(store, ANN) == ["a"]
        assert await names(store, BOB) == ["b"]

    @pytest.mark.parametrize("active_only", [False, True])
    async def test_strategies_of_other_owners_are_not_counted(self, store: StrategyStore, *, active_only: bool) -> None:
        await add_strategy(store, ANN, "a")
        for name in ("b", "c"):
            await add_strategy(store, BOB, name)

        async with store.read() as view:
            page = await view.strategies.list(owner_id=ANN, skip=0, limit=10, active_only=active_only)
        assert page.total == 1

    async def test_an_unknown_owner_has_an_empty_list(self, store: StrategyStore) -> None:
        await add_strategy(store, ANN, "a")

        for owner_id in FOREIGN_IDS:
            async with store.read() as view:
                page = await view.strategies.list(owner_id=owner_id, skip=0, limit=10, active_only=False)
            assert (owner_id, list(page.items), page.total) == (owner_id, [], 0)

    # Owners

    @pytest.mark.parametrize("owner_id", [1, 2**31, INTEGER_MAX])
    async def test_an_owner_exists_as_soon_as_it_owns_something(self, store: StrategyStore, owner_id: int) -> None:
        await add_strategy(store, ANN, "a")
        strategy = await add_strategy(store, owner_id, "a")

        assert strategy.owner_id == owner_id
        assert await names(store, owner_id) == ["a"]
        async with store.read() as view:
            assert await view.strategies.get(owner_id=owner_id, strategy_id=strategy.id) == strategy

    async def test_a_block_that_adds_nothing_leaves_no_trace_of_a_new_owner(self, store: StrategyStore) -> None:
        async with store.write(ANN):
            pass

        assert (await names(store, ANN), await _totals(store, ANN)) == ([], (0, 0))

    async def test_a_block_that_refuses_leaves_no_trace_of_a_new_owner(self, store: StrategyStore) -> None:
        with refused(StrategyNameTaken("a")):
            async with store.write(ANN) as work:
                await work.strategies.add(StrategyContent(name="a"), at=CREATED)
                await work.strategies.add(StrategyContent(name="a"), at=CREATED)
        assert (await names(store, ANN), await _totals(store, ANN)) == ([], (0, 0))

        await add_strategy(store, ANN, "a")
        assert (await names(store, ANN), await _totals(store, ANN)) == (["a"], (1, 1))

    async def test_first_blocks_of_an_owner_at_once_are_all_kept(self, store: StrategyStore) -> None:
        async def add(name: str) -> None:
            async with store.write(ANN) as work:
                await asyncio.sleep(0)
                await work.strategies.add(StrategyContent(name=name), at=CREATED)

        await asyncio.wait_for(asyncio.gather(add("a"), add("b")), self.patience)

        assert (sorted(await names(store, ANN)), await _totals(store, ANN)) == (["a", "b"], (2, 2))

    async def test_blocks_wait_for_the_first_block_of_an_owner(self, store: StrategyStore) -> None:
        async with store.write(ANN) as work:
            later = asyncio.ensure_future(add_strategy(store, ANN, "later"))
            await asyncio.wait({later}, timeout=self.a_while)
            assert not later.done()
            await work.strategies.add(StrategyContent(name="sooner"), at=CREATED)
        await asyncio.wait_for(later, self.patience)

        assert await names(store, ANN) == ["sooner", "later"]

    # Changing strategies

    async def test_a_new_strategy_is_created_and_updated_at_the_given_time(self, store: StrategyStore) -> None:
        async with store.write(ANN) as work:
            strategy = await work.strategies.add(StrategyContent(name="a"), at=CHANGED)

        assert (strategy.created_at, strategy.updated_at) == (CHANGED, CHANGED)

    async def test_a_new_strategys_id_is_greater_than_every_earlier_one_of_its_owner(
        self, store: StrategyStore
    ) -> None:
        ids = [(await add_strategy(store, owner_id, name)).id for name in "abc" for owner_id in (ANN, BOB)]

        assert (ids[0::2], ids[1::2]) == (sorted(ids[0::2]), sorted(ids[1::2]))
        assert len(set(ids)) == len(ids)

    async def test_a_name_belongs_to_one_strategy_of_an_owner(self, store: StrategyStore) -> None:
        await add_strategy(store, ANN, "a")

        with refused(StrategyNameTaken("a")):
            await add_strategy(store, ANN, "a")
        assert await names(store, ANN) == ["a"]

    @pytest.mark.parametrize("name", ["A", "a ", " a", "á", "a\u0301"])
    async def test_names_are_compared_character_by_character(self, store: StrategyStore, name: str) -> None:
        await add_strategy(store, ANN, "a")
        await add_strategy(store, ANN, name)

        assert await names(store, ANN) == ["a", name]

    async def test_two_owners_may_use_one_name(self, store: StrategyStore) -> None:
        await add_strategy(store, ANN, "a")
        await add_strategy(store, BOB, "a")

        assert (await names(store, ANN), await names(store, BOB)) == (["a"], ["a"])

    @pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
    async def test_a_replaced_strategy_is_read_as_it_was_stored(
        self, store: StrategyStore, content: StrategyContent
    ) -> None:
        before = await add_strategy(store, ANN, StrategyContent(name="before", description="before"))
        untouched = await add_strategy(store, ANN, "untouched")
        changed = before.changed(
            at=CHANGED,
            name=content.name,
            description=content.description,
            parameters=content.parameters,
            is_active=content.is_active,
        )
        async with store.write(ANN) as work:
            await work.strategies.replace(changed)

        async with store.read() as view:
            page = await view.strategies.list(owner_id=ANN, skip=0, limit=10, active_only=False)
        assert [exact(strategy) for strategy in page.items] == [exact(changed), exact(untouched)]

    async def test_replacing_a_strategy_that_does_not_exist_creates_none(self, store: StrategyStore) -> None:
        strategy = await add_strategy(store, ANN, "a")

        for strategy_id in UNUSED_IDS:
            with refused(StrategyNotFound(strategy_id)):
                async with store.write(ANN) as work:
                    await work.strategies.replace(replace(strategy, id=strategy_id, name="b"))
        assert await names(store, ANN) == ["a"]

    async def test_replacing_a_strategy_that_was_removed_creates_none(self, store: StrategyStore) -> None:
        strategy = await add_strategy(store, ANN, "a")
        await _remove(store, strategy)

        with refused(StrategyNotFound(strategy.id)):
            async with store.write(ANN) as work:
                await work.strategies.replace(strategy)
        assert await names(store, ANN) == []

    async def test_another_owners_strategy_cannot_be_replaced(self, store: StrategyStore) -> None:
        strategy = await add_strategy(store, ANN, "a")

        for owner_id in (ANN, BOB):
            with refused(StrategyNotFound(strategy.id)):
                async with store.write(BOB) as work:
                    await work.strategies.replace(replace(strategy, owner_id=owner_id, name="b"))
        assert (await names(store, ANN), await names(store, BOB)) == (["a"], [])

    async def test_a_strategy_cannot_be_given_to_another_owner(self, store: StrategyStore) -> None:
        strategy = await add_strategy(store, ANN, "a")

        with refused(StrategyNotFound(strategy.id)):
            async with store.write(ANN) as work:
                await work.strategies.replace(replace(strategy, owner_id=BOB))
        assert (await names(store, ANN), await names(store, BOB)) == (["a"], [])

    async def test_a_strategy_cannot_take_the_name_of_another(self, store: StrategyStore) -> None:
        await add_strategy(store, ANN, "a")
        other = await add_strategy(store, ANN, "b")

        with refused(StrategyNameTaken("a")):
            async with store.write(ANN) as work:
                await work.strategies.replace(other.changed(at=CHANGED, name="a"))
        assert await names(store, ANN) == ["a", "b"]

    async def test_a_strategy_may_take_the_name_that_another_owner_uses(self, store: StrategyStore) -> None:
        await add_strategy(store, ANN, "a")
        strategy = await add_strategy(store, BOB, "b")
        async with store.write(BOB) as work:
            await work.strategies.replace(strategy.changed(at=CHANGED, name="a"))

        assert (await names(store, ANN), await names(store, BOB)) == (["a"], ["a"])

    async def test_a_strategy_keeps_its_own_name(self, store: StrategyStore) -> None:
        changed = (await add_strategy(store, ANN, "a")).changed(at=CHANGED, description="changed")
        async with store.write(ANN) as work:
            await work.strategies.replace(changed)

        async with store.read() as view:
            assert await view.strategies.get(owner_id=ANN, strategy_id=changed.id) == changed

    async def test_a_former_name_is_free(self, store: StrategyStore) -> None:
        strategy = await add_strategy(store, ANN, "a")
        async with store.write(ANN) as work:
            await work.strategies.replace(strategy.changed(at=CHANGED, name="b"))
            await work.strategies.add(StrategyContent(name="a"), at=CREATED)

        assert await names(store, ANN) == ["b", "a"]

    async def test_a_removed_strategy_is_not_found(self, store: StrategyStore) -> None:
        strategy = await add_strategy(store, ANN, "a")
        await add_strategy(store, ANN, "b")
        await _remove(store, strategy)

        assert await names(store, ANN) == ["b"]
        async with store.read() as view:
            with refused(StrategyNotFound(strategy.id)):
                await view.strategies.get(owner_id=ANN, strategy_id=strategy.id)

    async def test_a_removed_strategys_name_is_free_again(self, store: StrategyStore) -> None:
        await _remove(store, await add_strategy(store, ANN, "a"))
        await add_strategy(store, ANN, "a")

        assert await names(store, ANN) == ["a"]

    async def test_a_removed_strategys_id_is_never_given_again(self, store: StrategyStore) -> None:
        removed = await add_strategy(store, ANN, "a")
        await _remove(store, removed)

        assert (await add_strategy(store, ANN, "b")).id > removed.id

    @patiently
    async def test_ids_grow_also_after_a_block_that_was_rolled_back(self, store: StrategyStore) -> None:
        removed = await add_strategy(store, ANN, "a")
        await _remove(store, removed)
        for _ in range(3):
            with pytest.raises(LeftOnPurpose):
                await _write_and_fail(store, ANN)

        first = await add_strategy(store, ANN, "b")
        with pytest.raises(LeftOnPurpose):
            await _write_and_fail(store, ANN)
        assert removed.id < first.id < (await add_strategy(store, ANN, "c")).id

    async def test_a_strategy_that_does_not_exist_cannot_be_removed(self, store: StrategyStore) -> None:
        await add_strategy(store, ANN, "a")

        for strategy_id in FOREIGN_IDS:
            with refused(StrategyNotFound(strategy_id)):
                async with store.write(ANN) as work:
                    await work.strategies.remove(strategy_id)
        assert await names(store, ANN) == ["a"]

    async def test_another_owners_strategy_cannot_be_removed(self, store: StrategyStore) -> None:
        strategy = await add_strategy(store, ANN, "a")

        with refused(StrategyNotFound(strategy.id)):
            await _remove(store, replace(strategy, owner_id=BOB))
        assert await names(store, ANN) == ["a"]

    async def test_a_strategy_is_removed_once(self, store: StrategyStore) -> None:
        strategy = await add_strategy(store, ANN, "a")
        await _remove(store, strategy)

        with refused(StrategyNotFound(strategy.id)):
            await _remove(store, strategy)

    async def test_all_strategies_of_an_owner_are_removed_at_once(self, store: StrategyStore) -> None:
        removed = [await add_strategy(store, ANN, content) for content in CONTENTS.values()]
        await add_strategy(store, BOB, "a")
        async with store.write(ANN) as work:
            await work.strategies.remove_all()
            assert (await work.strategies.list(skip=0, limit=10, active_only=False)).total == 0

        for active_only in (False, True):
            async with store.read() as view:
                page = await view.strategies.list(owner_id=ANN, skip=0, limit=10, active_only=active_only)
            assert (list(page.items), page.total) == ([], 0)
        async with store.read() as view:
            with refused(StrategyNotFound(removed[0].id)):
                await view.strategies.get(owner_id=ANN, strategy_id=removed[0].id)
        assert await names(store, BOB) == ["a"]

    async def test_the_names_of_strategies_that_were_removed_at_once_are_free_again(self, store: StrategyStore) -> None:
        async with store.write(ANN) as work:
            for _ in range(2):
                await work.strategies.add(StrategyContent(name="a"), at=CREATED)
                await work.strategies.remove_all()
        await add_strategy(store, ANN, "a")

        assert await names(store, ANN) == ["a"]

    async def test_the_ids_of_strategies_that_were_removed_at_once_are_never_given_again(
        self, store: StrategyStore
    ) -> None:
        removed = [await add_strategy(store, ANN, name) for name in "ab"]
        async with store.write(ANN) as work:
            await work.strategies.remove_all()

        assert (await add_strategy(store, ANN, "a")).id > removed[-1].id

    async def test_an_owner_without_strategies_has_none_to_remove(self, store: StrategyStore) -> None:
        async with store.write(ANN) as work:
            await work.strategies.remove_all()
            await work.strategies.add(StrategyContent(name="a"), at=CREATED)

        assert await names(store, ANN) == ["a"]

    # Blocks

    @pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
    async def test_a_block_reads_a_strategy_as_it_was_stored(
        self, store: StrategyStore, content: StrategyContent
    ) -> None:
        stored = await add_strategy(store, ANN, content)

        async with store.write(ANN) as work:
            assert exact(await work.strategies.get(stored.id)) == exact(stored)

    async def test_a_block_sees_its_own_changes(self, store: StrategyStore) -> None:
        async with store.write(ANN) as work:
            strategy = await work.strategies.add(StrategyContent(name="a"), at=CREATED)
            assert await work.strategies.get(strategy.id) == strategy
            changed = strategy.changed(at=CHANGED, name="b")
            await work.strategies.replace(changed)
            assert await work.strategies.get(strategy.id) == changed
            again = await work.strategies.add(StrategyContent(name="a"), at=CREATED)
            await work.strategies.remove(strategy.id)
            await work.strategies.replace(again.changed(at=CHANGED, name="b"))

        assert await names(store, ANN) == ["b"]

    async def test_a_block_lists_its_own_changes(self, store: StrategyStore) -> None:
        changed, removed, last = [await add_strategy(store, ANN, name) for name in ("changed", "removed", "last")]
        async with store.write(ANN) as work:
            changed = changed.changed(at=CHANGED, name="z")
            await work.strategies.replace(changed)
            await work.strategies.remove(removed.id)
            new = await work.strategies.add(StrategyContent(name="a"), at=CREATED)
            page = await work.strategies.list(skip=0, limit=10, active_only=False)
            assert [exact(strategy) for strategy in page.items] == [exact(each) for each in (changed, last, new)]
            assert page.total == 3

    @pytest.mark.parametrize(("skip", "limit", "listed"), PAGES)
    async def test_a_page_in_a_block_holds_at_most_limit_strategies_after_the_first_skip(
        self, store: StrategyStore, skip: int, limit: int, listed: str
    ) -> None:
        for name in "abc":
            await add_strategy(store, ANN, name)

        async with store.write(ANN) as work:
            for name in "de":
                await work.strategies.add(StrategyContent(name=name), at=CREATED)
            page = await work.strategies.list(skip=skip, limit=limit, active_only=False)
        assert [strategy.name for strategy in page.items] == list(listed)
        assert (page.total, page.skip, page.limit) == (5, skip, limit)

    async def test_the_total_in_a_block_counts_what_the_list_holds_under_its_filter(self, store: StrategyStore) -> None:
        for name, is_active in (("a", True), ("b", False)):
            await add_strategy(store, ANN, StrategyContent(name=name, is_active=is_active))

        async with store.write(ANN) as work:
            for name, is_active in (("c", True), ("d", False)):
                await work.strategies.add(StrategyContent(name=name, is_active=is_active), at=CREATED)
            page = await work.strategies.list(skip=1, limit=10, active_only=True)
        assert ([strategy.name for strategy in page.items], page.total) == (["c"], 2)

    async def test_a_block_lists_no_strategy_of_another_owner(self, store: StrategyStore) -> None:
        await add_strategy(store, BOB, "a")

        async with store.write(ANN) as work:
            page = await work.strategies.list(skip=0, limit=10, active_only=False)
        assert (list(page.items), page.total) == ([], 0)

    async def test_a_block_says_whose_it_is(self, store: StrategyStore) -> None:
        async with store.write(ANN) as work:
            assert work.owner_id == ANN

    async def test_a_block_does_not_find_a_strategy_that_it_has_removed(self, store: StrategyStore) -> None:
        strategy = await add_strategy(store, ANN, "a")

        with refused(StrategyNotFound(strategy.id)):
            async with store.write(ANN) as work:
                await work.strategies.remove(strategy.id)
                await work.strategies.get(strategy.id)

    async def test_a_block_finds_no_strategy_by_an_unknown_id(self, store: StrategyStore) -> None:
        await add_strategy(store, ANN, "a")

        for strategy_id in FOREIGN_IDS:
            with refused(StrategyNotFound(strategy_id)):
                async with store.write(ANN) as work:
                    await work.strategies.get(strategy_id)

    async def test_a_block_does_not_find_another_owners_strategy(self, store: StrategyStore) -> None:
        strategy = await add_strategy(store, ANN, "a")

        with refused(StrategyNotFound(strategy.id)):
            async with store.write(BOB) as work:
                await work.strategies.get(strategy.id)

    async def test_a_block_commits_all_its_changes(self, store: StrategyStore) -> None:
        changed = await add_strategy(store, ANN, "changed")
        removed = await add_strategy(store, ANN, "removed")
        async with store.write(ANN) as work:
            for name in ("a", "b"):
                await work.strategies.add(StrategyContent(name=name), at=CREATED)
            await work.strategies.replace(changed.changed(at=CHANGED, name="c"))
            await work.strategies.remove(removed.id)

        assert await names(store, ANN) == ["c", "a", "b"]

    async def test_an_exception_rolls_a_block_back(self, store: StrategyStore) -> None:
        kept = await add_strategy(store, ANN, "kept")
        removed = await add_strategy(store, ANN, "removed")
        with pytest.raises(LeftOnPurpose):
            async with store.write(ANN) as work:
                await work.strategies.add(StrategyContent(name="new"), at=CREATED)
                await work.strategies.replace(kept.changed(at=CHANGED, name="changed"))
                await work.strategies.remove(removed.id)
                raise LeftOnPurpose

        async with store.read() as view:
            page = await view.strategies.list(owner_id=ANN, skip=0, limit=10, active_only=False)
        assert (list(page.items), page.total) == ([kept, removed], 2)

    async def test_a_refusal_rolls_a_block_back(self, store: StrategyStore) -> None:
        await add_strategy(store, ANN, "a")
        with refused(StrategyNameTaken("a")):
            async with store.write(ANN) as work:
                await work.strategies.add(StrategyContent(name="b"), at=CREATED)
                await work.strategies.add(StrategyContent(name="a"), at=CREATED)

        assert await names(store, ANN) == ["a"]

    async def test_a_reading_block_does_not_see_uncommitted_changes(self, store: StrategyStore) -> None:
        first = await add_strategy(store, ANN, "a")
        async with store.write(ANN) as work:
            await work.strategies.add(StrategyContent(name="b"), at=CREATED)
            await work.strategies.replace(first.changed(at=CHANGED, name="c"))
            async with asyncio.timeout(self.patience), store.read() as view:
                assert await names(store, ANN) == ["a"]
                assert await view.strategies.get(owner_id=ANN, strategy_id=first.id) == first

        assert await names(store, ANN) == ["c", "b"]

    async def test_a_reading_block_makes_no_writer_wait(self, store: StrategyStore) -> None:
        async with store.read() as view:
            await view.strategies.list(owner_id=ANN, skip=0, limit=10, active_only=False)
            await asyncio.wait_for(add_strategy(store, ANN, "a"), self.patience)

    async def test_a_reading_block_sees_nothing_of_a_block_that_fails(self, store: StrategyStore) -> None:
        with pytest.raises(LeftOnPurpose):
            async with store.write(ANN) as work:
                await work.strategies.add(StrategyContent(name="a"), at=CREATED)
                raise LeftOnPurpose

        assert await asyncio.wait_for(names(store, ANN), self.patience) == []

    async def test_blocks_of_one_owner_wait_for_each_other(self, store: StrategyStore) -> None:
        await add_strategy(store, ANN, "first")
        async with store.write(ANN) as work:
            later = asyncio.ensure_future(add_strategy(store, ANN, "later"))
            await asyncio.wait({later}, timeout=self.a_while)
            assert not later.done()
            await work.strategies.add(StrategyContent(name="sooner"), at=CREATED)
        await asyncio.wait_for(later, self.patience)

        assert await names(store, ANN) == ["first", "sooner", "later"]

    async def test_owners_wait_for_each_other_only_where_there_is_one_writer(self, store: StrategyStore) -> None:
        async with store.write(ANN) as work:
            await work.strategies.add(StrategyContent(name="a"), at=CREATED)
            other = asyncio.ensure_future(add_strategy(store, BOB, "b"))
            await asyncio.wait({other}, timeout=self.a_while if self.one_writer_at_a_time else self.patience)
            assert other.done() is not self.one_writer_at_a_time
        await asyncio.wait_for(other, self.patience)

        assert (await names(store, ANN), await names(store, BOB)) == (["a"], ["b"])

    async def test_no_change_is_lost_between_overlapping_blocks(self, store: StrategyStore) -> None:
        strategy = await add_strategy(store, ANN, StrategyContent(name="a", parameters=Parameters({"count": 0})))

        async def count_one_up() -> None:
            async with store.write(ANN) as work:
                current = await work.strategies.get(strategy.id)
                await asyncio.sleep(0)
                count = current.parameters.to_dict()["count"]
                assert isinstance(count, int)
                await work.strategies.replace(current.changed(at=CHANGED, parameters=Parameters({"count": count + 1})))

        await asyncio.wait_for(asyncio.gather(*[count_one_up() for _ in range(12)]), self.patience)

        async with store.read() as view:
            counted = await view.strategies.get(owner_id=ANN, strategy_id=strategy.id)
        assert counted.parameters == Parameters({"count": 12})

    async def test_one_of_several_overlapping_blocks_gets_the_name(self, store: StrategyStore) -> None:
        attempts = [add_strategy(store, ANN, "a") for _ in range(8)]
        outcomes = await asyncio.wait_for(asyncio.gather(*attempts, return_exceptions=True), self.patience)

        assert sum(isinstance(outcome, Strategy) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, StrategyNameTaken) for outcome in outcomes) == 7
        assert await names(store, ANN) == ["a"]

    async def test_a_cancelled_caller_leaves_a_block_whole_or_undone_and_nothing_locked(
        self, store: StrategyStore
    ) -> None:
        async def add_two(number: int) -> None:
            async with store.write(ANN) as work:
                for half in ("first", "second"):
                    content = StrategyContent(name=f"{half} {number}")
                    await work.strategies.add(content, at=CREATED)

        kept: list[str] = []
        for number in range(12):
            caller = asyncio.ensure_future(add_two(number))
            for _ in range(number * number):
                await asyncio.sleep(0)
            caller.cancel()
            await asyncio.wait({caller}, timeout=self.patience)

            assert caller.done()
            now_kept = await asyncio.wait_for(names(store, ANN), self.patience)
            assert now_kept in (kept, [*kept, f"first {number}", f"second {number}"])
            kept = now_kept
        await asyncio.wait_for(add_strategy(store, ANN, "next"), self.patience)

    @pytest.mark.parametrize("done", [1, 2, 3])
    async def test_a_block_cancelled_between_its_changes_is_rolled_back(self, store: StrategyStore, done: int) -> None:
        reached = asyncio.Event()

        async def add_some_and_wait() -> None:
            async with store.write(ANN) as work:
                for number in range(done):
                    await work.strategies.add(StrategyContent(name=f"{number}"), at=CREATED)
                reached.set()
                await asyncio.Event().wait()

        caller = asyncio.ensure_future(add_some_and_wait())
        await asyncio.wait_for(reached.wait(), self.patience)
        caller.cancel()
        await asyncio.wait({caller}, timeout=self.patience)

        assert caller.cancelled()
        assert await asyncio.wait_for(names(store, ANN), self.patience) == []

    async def test_a_block_cancelled_while_it_waits_leaves_nothing_locked(self, store: StrategyStore) -> None:
        async with store.write(ANN):
            waiting = [asyncio.ensure_future(add_strategy(store, ANN, name)) for name in ("a", "b", "c")]
            await asyncio.wait(waiting, timeout=self.a_while)
            waiting[0].cancel()
            waiting[2].cancel()
        await asyncio.wait(waiting, timeout=self.patience)

        assert [caller.done() for caller in waiting] == [True, True, True]
        assert await asyncio.wait_for(names(store, ANN), self.patience) == ["b"]
        await asyncio.wait_for(add_strategy(store, ANN, "next"), self.patience)

    async def test_many_cancelled_callers_leave_nothing_open(self, store: StrategyStore) -> None:
        for _ in range(40):
            reader = asyncio.ensure_future(names(store, ANN))
            writer = asyncio.ensure_future(add_strategy(store, ANN, "a"))
            await asyncio.sleep(0)
            reader.cancel()
            writer.cancel()
            await asyncio.wait_for(asyncio.gather(reader, writer, return_exceptions=True), self.patience)

        await asyncio.wait_for(add_strategy(store, ANN, "next"), self.patience)

    @patiently
    async def test_a_cancelled_caller_waits_until_its_commit_has_ended(self, store: StrategyStore) -> None:
        async def add_one(name: str, at_its_end: asyncio.Event) -> None:
            async with store.write(ANN) as work:
                await work.strategies.add(StrategyContent(name=name), at=CREATED)
                at_its_end.set()

        for turns in range(12):
            at_its_end = asyncio.Event()
            caller = asyncio.ensure_future(add_one(f"{turns}", at_its_end))
            await at_its_end.wait()
            await settle(turns)
            caller.cancel()
            await asyncio.wait({caller})

            kept = await names(store, ANN)
            await settle()
            assert await names(store, ANN) == kept
            assert caller.cancelled() or f"{turns}" in kept

    # Errors in blocks

    @patiently
    async def test_a_block_that_catches_a_refused_change_keeps_nothing(self, store: StrategyStore) -> None:
        first = await add_strategy(store, ANN, "a")
        await add_strategy(store, ANN, "b")
        with pytest.raises(BlockFailed):
            async with store.write(ANN) as work:
                await work.strategies.add(StrategyContent(name="not kept"), at=CREATED)
                with refused(StrategyNameTaken("a")):
                    await work.strategies.add(StrategyContent(name="a"), at=CREATED)
        with pytest.raises(BlockFailed):
            async with store.write(ANN) as work:
                await work.strategies.add(StrategyContent(name="not kept"), at=CREATED)
                with refused(StrategyNameTaken("b")):
                    await work.strategies.replace(first.changed(at=CHANGED, name="b"))

        assert await names(store, ANN) == ["a", "b"]

    @patiently
    async def test_a_block_may_catch_that_a_strategy_does_not_exist(self, store: StrategyStore) -> None:
        other = await add_strategy(store, BOB, "of another")
        async with store.write(ANN) as work:
            with refused(StrategyNotFound(other.id)):
                await work.strategies.get(other.id)
            await work.strategies.add(StrategyContent(name="a"), at=CREATED)
            with refused(StrategyNotFound(other.id)):
                await work.strategies.replace(other)
            with refused(StrategyNotFound(other.id)):
                await work.strategies.remove(other.id)
            await work.strategies.add(StrategyContent(name="b"), at=CREATED)

        assert await names(store, ANN) == ["a", "b"]

    # Blocks and tasks

    @patiently
    @pytest.mark.parametrize("owner_id", [ANN, BOB])
    async def test_a_nested_block_is_refused_and_spoils_nothing(self, store: StrategyStore, owner_id: int) -> None:
        async with store.write(ANN) as work:
            await work.strategies.add(StrategyContent(name="a"), at=CREATED)
            with pytest.raises(NestedBlock):
                async with store.write(owner_id):
                    pass
            await work.strategies.add(StrategyContent(name="b"), at=CREATED)

        assert await names(store, ANN) == ["a", "b"]
        await asyncio.wait_for(add_strategy(store, owner_id, "next"), self.patience)

    @patiently
    async def test_a_block_of_another_task_is_no_nested_block(self, store: StrategyStore) -> None:
        async with store.write(ANN) as work:
            tasks = [asyncio.create_task(add_strategy(store, owner_id, "later")) for owner_id in (ANN, BOB)]
            await settle()
            await work.strategies.add(StrategyContent(name="sooner"), at=CREATED)
        await asyncio.wait_for(asyncio.gather(*tasks), self.patience)

        assert (await names(store, ANN), await names(store, BOB)) == (["sooner", "later"], ["later"])

    @patiently
    async def test_a_task_may_open_one_block_after_another(self, store: StrategyStore) -> None:
        for _ in range(2):
            with pytest.raises(LeftOnPurpose):
                await _write_and_fail(store, ANN)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(self.a_while), store.write(ANN):
                    await asyncio.Event().wait()
            async with store.write(ANN), store.read():
                pass

        await add_strategy(store, BOB, "next")

    # Connections

    @patiently
    async def test_many_refused_reads_leave_nothing_open(self, store: StrategyStore) -> None:
        strategy = await add_strategy(store, ANN, "a")

        for _ in range(self.many_blocks):
            with refused(StrategyNotFound(strategy.id)):
                await _read_strategy(store, BOB, strategy.id)
        await _assert_nothing_is_open(store)

    @patiently
    async def test_many_refused_reads_at_once_leave_nothing_open(self, store: StrategyStore) -> None:
        strategy = await add_strategy(store, ANN, "a")

        reads = [_read_strategy(store, BOB, strategy.id) for _ in range(self.many_blocks)]
        outcomes = await asyncio.gather(*reads, return_exceptions=True)
        # A store may refuse blocks that wait too long for a connection.
        assert {type(outcome) for outcome in outcomes} <= {StrategyNotFound, StoreUnavailable}
        await _assert_nothing_is_open(store)

    @patiently
    async def test_many_reading_blocks_that_fail_leave_nothing_open(self, store: StrategyStore) -> None:
        for _ in range(self.many_blocks):
            with pytest.raises(LeftOnPurpose):
                await _read_and_fail(store, ANN)

        await _assert_nothing_is_open(store)

    @patiently
    async def test_many_refused_writing_blocks_leave_nothing_open(self, store: StrategyStore) -> None:
        strategy = await add_strategy(store, ANN, "a")

        for _ in range(self.many_blocks):
            with refused(StrategyNotFound(strategy.id)):
                await _remove(store, replace(strategy, owner_id=BOB))
            with pytest.raises(LeftOnPurpose):
                await _write_and_fail(store, ANN)
        await _assert_nothing_is_open(store)

    # Everything at once

    def test_random_histories_match_plain_dictionaries(self, open_store: OpenStrategyStore) -> None:
        exploration = Exploration(patience=self.patience, a_while=self.a_while)
        explore(
            lambda: StrategyHistory(open_store, exploration),
            OPERATIONS,
            histories=self.histories,
            history_length=self.history_length,
            shrinking=self.shrinking,
        )
        _log.info("Explored %s", exploration)


def _as_stored(content: StrategyContent, strategy_id: int) -> dict[str, str]:
    return exact(Strategy.created(content, id=strategy_id, owner_id=ANN, at=CREATED))


async def _read_strategy(store: StrategyStore, owner_id: int, strategy_id: int) -> Strategy:
    async with store.read() as view:
        return await view.strategies.get(owner_id=owner_id, strategy_id=strategy_id)


async def _read_and_fail(store: StrategyStore, owner_id: int) -> None:
    async with store.read() as view:
        await view.strategies.list(owner_id=owner_id, skip=0, limit=10, active_only=False)
        raise LeftOnPurpose


async def _write_and_fail(store: StrategyStore, owner_id: int) -> None:
    async with store.write(owner_id) as work:
        await work.strategies.add(StrategyContent(name="not kept"), at=CREATED)
        raise LeftOnPurpose


async def _remove(store: StrategyStore, strategy: Strategy) -> None:
    async with store.write(strategy.owner_id) as work:
        await work.strategies.remove(strategy.id)


async def _totals(store: StrategyStore, owner_id: int) -> tuple[int, int]:
    """How many strategies an owner has, and how many of them are active."""
    async with store.read() as view:
        every = await view.strategies.list(owner_id=owner_id, skip=0, limit=1, active_only=False)
        active = await view.strategies.list(owner_id=owner_id, skip=0, limit=1, active_only=True)
    return every.total, active.total


async def _assert_nothing_is_open(store: StrategyStore) -> None:
    await add_strategy(store, ANN, "next")
    assert (await names(store, ANN))[-1] == "next"
