"""The contract of API keys, as tests."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tradingagents_conformance.account_fixtures import AccountFixtures
from tradingagents_conformance.blocks import patiently
from tradingagents_conformance.examples import (
    API_KEYS,
    CHANGED,
    CREATED,
    FOREIGN_IDS,
    MOMENT,
    UNUSED_IDS,
    add_api_key,
    exact,
    refused,
)
from tradingagents_conformance.histories.blocks import LeftOnPurpose
from tradingagents_core.domain.accounts import User
from tradingagents_core.domain.api_keys import SHOWN_LENGTH, ApiKey, ApiKeyContent
from tradingagents_core.domain.scopes import STRATEGIES_READ, STRATEGIES_WRITE
from tradingagents_core.domain.secrets import hash_of
from tradingagents_core.errors import ApiKeyNotFound
from tradingagents_core.ports import AccountStore

USED = CREATED + 7 * MOMENT


class ApiKeyContract(AccountFixtures):
    """Every sentence of `ApiKeyReader` and `ApiKeyRepository`."""

    # Reading keys

    @pytest.mark.parametrize("content", API_KEYS.values(), ids=API_KEYS)
    async def test_an_api_key_is_read_as_it_was_stored(
        self, store: AccountStore, ann: User, content: ApiKeyContent
    ) -> None:
        api_key = await add_api_key(store, ann, "ta_key", content=content)

        await _assert_is_read_everywhere(store, ann, api_key)

    async def test_an_api_key_is_found_with_the_present_state_of_its_user(
        self, store: AccountStore, ann: User, bob: User
    ) -> None:
        api_key = await add_api_key(store, ann, "ta_1")
        await add_api_key(store, bob, "ta_2")
        changed = ann.deactivated(at=CHANGED)
        async with store.write(ann.id) as work:
            await work.users.replace(changed)

        async with store.read() as view:
            assert await view.api_keys.find_by_hash(hash_of("ta_1")) == (changed, api_key)

    async def test_an_unknown_id_finds_no_api_key(self, store: AccountStore, ann: User) -> None:
        await add_api_key(store, ann, "ta_1")

        async with store.read() as view:
            found = {api_key_id: await view.api_keys.find(api_key_id) for api_key_id in FOREIGN_IDS}
        assert found == dict.fromkeys(FOREIGN_IDS)

    async def test_an_unknown_hash_finds_no_api_key(self, store: AccountStore, ann: User) -> None:
        await add_api_key(store, ann, "ta_1")

        async with store.read() as view:
            assert await view.api_keys.find_by_hash(hash_of("ta_2")) is None

    async def test_an_api_key_is_found_also_where_it_has_expired(self, store: AccountStore, ann: User) -> None:
        expired = replace(API_KEYS["plain"], expires_at=CREATED - MOMENT)

        await _assert_is_read_everywhere(store, ann, await add_api_key(store, ann, "ta_1", content=expired))

    async def test_api_keys_are_listed_oldest_first(self, store: AccountStore, ann: User) -> None:
        api_keys = [
            await add_api_key(store, ann, f"ta_{name}", content=replace(API_KEYS[content], name=name))
            for name, content in (("c", "plain"), ("a", "the other scope"), ("b", "one scope that expires"))
        ]
        async with store.write(ann.id) as work:
            await work.api_keys.replace(api_keys[0].used(at=USED))

        assert [api_key.id for api_key in await _listed(store, ann)] == [api_key.id for api_key in api_keys]

    async def test_only_api_keys_of_the_user_are_listed(self, store: AccountStore, ann: User, bob: User) -> None:
        api_key = await add_api_key(store, ann, "ta_1")
        await add_api_key(store, bob, "ta_2")

        assert await _listed(store, ann) == [api_key]

    async def test_a_page_of_api_keys_has_the_total_of_the_whole_list(self, store: AccountStore, ann: User) -> None:
        api_keys = [await add_api_key(store, ann, f"ta_{number}") for number in range(3)]

        async with store.read() as view:
            pages = [await view.api_keys.list(user_id=ann.id, skip=skip, limit=2) for skip in (0, 2, 3, 10**30)]
        assert [list(page.items) for page in pages] == [api_keys[:2], api_keys[2:], [], []]
        assert [(page.total, page.skip, page.limit) for page in pages] == [(3, skip, 2) for skip in (0, 2, 3, 10**30)]

    async def test_an_integer_that_is_no_user_has_no_api_keys(self, store: AccountStore, ann: User) -> None:
        await add_api_key(store, ann, "ta_1")

        async with store.read() as view:
            pages = [await view.api_keys.list(user_id=user_id, skip=0, limit=10) for user_id in FOREIGN_IDS]
        assert [(list(page.items), page.total) for page in pages] == [([], 0)] * len(FOREIGN_IDS)

    # New keys

    async def test_a_new_api_key_was_created_at_the_given_time_and_never_used(
        self, store: AccountStore, ann: User
    ) -> None:
        content = API_KEYS["one scope that expires"]
        api_key = await add_api_key(store, ann, "ta_1", content=content)

        assert exact(api_key) == exact(
            ApiKey(
                id=api_key.id,
                user_id=ann.id,
                name=content.name,
                scopes=content.scopes,
                expires_at=content.expires_at,
                prefix="ta_1",
                key_hash=hash_of("ta_1"),
                created_at=CREATED,
                last_used_at=None,
            )
        )

    async def test_a_new_api_keys_id_is_greater_than_every_earlier_one(
        self, store: AccountStore, ann: User, bob: User
    ) -> None:
        earlier = []
        for number, user in enumerate((ann, ann, bob, ann)):
            api_key = await add_api_key(store, user, f"ta_{number}")
            async with store.write(user.id) as work:
                await work.api_keys.remove(api_key.id)
            earlier.append((user, api_key.id))

        ids = [api_key_id for _, api_key_id in earlier]
        assert len(set(ids)) == len(ids)
        of_ann = [api_key_id for user, api_key_id in earlier if user == ann]
        assert of_ann == sorted(of_ann)

    async def test_several_api_keys_may_have_one_name_and_beginning(self, store: AccountStore, ann: User) -> None:
        content = API_KEYS["plain"]
        beginning = "ta_".ljust(SHOWN_LENGTH, "x")
        api_keys = [await add_api_key(store, ann, beginning + end, content=content) for end in "ab"]

        assert await _listed(store, ann) == api_keys
        assert {api_key.prefix for api_key in api_keys} == {beginning}

    # Changing keys

    async def test_a_replaced_api_key_is_read_as_it_was_stored(self, store: AccountStore, ann: User) -> None:
        api_key = await add_api_key(store, ann, "ta_1")
        other = await add_api_key(store, ann, "ta_2")
        changed = replace(
            api_key,
            name="other",
            scopes=(STRATEGIES_WRITE,),
            expires_at=CHANGED,
            prefix="ta_other",
            key_hash=hash_of("ta_3"),
            created_at=USED,
            last_used_at=CHANGED + MOMENT,
        )
        for state in (api_key.used(at=USED), changed, replace(changed, expires_at=None, last_used_at=None)):
            async with store.write(ann.id) as work:
                await work.api_keys.replace(state)
            assert await _listed(store, ann) == [state, other]
            await _assert_is_read_everywhere(store, ann, state)

    async def test_an_api_key_of_another_user_cannot_be_replaced(
        self, store: AccountStore, ann: User, bob: User
    ) -> None:
        of_ann, of_bob = await add_api_key(store, ann, "ta_1"), await add_api_key(store, bob, "ta_2")
        others = [
            of_bob,
            replace(of_bob, user_id=ann.id),
            replace(of_ann, user_id=bob.id),
            *[replace(of_ann, id=api_key_id, key_hash=hash_of("ta_3")) for api_key_id in UNUSED_IDS],
        ]
        for other in others:
            with refused(ApiKeyNotFound(other.id)):
                async with store.write(ann.id) as work:
                    await work.api_keys.replace(replace(other, name="changed"))

        assert await _listed(store, ann) == [of_ann]
        assert await _listed(store, bob) == [of_bob]

    async def test_a_block_reads_no_api_key_of_another_user(self, store: AccountStore, ann: User, bob: User) -> None:
        api_key = await add_api_key(store, bob, "ta_1")

        for api_key_id in (api_key.id, *FOREIGN_IDS):
            with refused(ApiKeyNotFound(api_key_id)):
                async with store.write(ann.id) as work:
                    await work.api_keys.get(api_key_id)

    async def test_a_block_sees_its_own_api_keys_and_readers_do_not(self, store: AccountStore, ann: User) -> None:
        kept = await add_api_key(store, ann, "ta_1")
        async with store.write(ann.id) as work:
            api_key = await work.api_keys.add(API_KEYS["plain"], prefix="ta_2", key_hash=hash_of("ta_2"), at=CREATED)
            assert await work.api_keys.get(api_key.id) == api_key
            assert await work.api_keys.count_live(now=CREATED) == 2
            await work.api_keys.replace(api_key.used(at=USED))
            assert await work.api_keys.get(api_key.id) == api_key.used(at=USED)
            await work.api_keys.remove(kept.id)
            with refused(ApiKeyNotFound(kept.id)):
                await work.api_keys.get(kept.id)
            async with store.read() as view:
                assert await view.api_keys.find_by_hash(hash_of("ta_2")) is None
                assert await view.api_keys.find(kept.id) == kept

        assert await _listed(store, ann) == [api_key.used(at=USED)]

    @patiently
    async def test_a_block_may_catch_that_an_api_key_does_not_exist(self, store: AccountStore, ann: User) -> None:
        async with store.write(ann.id) as work:
            with refused(ApiKeyNotFound(UNUSED_IDS[0])):
                await work.api_keys.remove(UNUSED_IDS[0])
            api_key = await work.api_keys.add(API_KEYS["plain"], prefix="ta_1", key_hash=hash_of("ta_1"), at=CREATED)

        assert await _listed(store, ann) == [api_key]

    async def test_an_exception_rolls_the_api_keys_of_a_block_back(self, store: AccountStore, ann: User) -> None:
        api_key = await add_api_key(store, ann, "ta_1")
        with pytest.raises(LeftOnPurpose):
            async with store.write(ann.id) as work:
                await work.api_keys.add(API_KEYS["plain"], prefix="ta_2", key_hash=hash_of("ta_2"), at=CREATED)
                await work.api_keys.remove(api_key.id)
                raise LeftOnPurpose

        assert await _listed(store, ann) == [api_key]
        await _assert_is_read_everywhere(store, ann, api_key)

    # The end of keys

    async def test_a_removed_api_key_is_not_found(self, store: AccountStore, ann: User) -> None:
        removed, kept = await add_api_key(store, ann, "ta_1"), await add_api_key(store, ann, "ta_2")
        async with store.write(ann.id) as work:
            await work.api_keys.remove(removed.id)

        assert await _listed(store, ann) == [kept]
        async with store.read() as view:
            assert await view.api_keys.find(removed.id) is None
            assert await view.api_keys.find_by_hash(hash_of("ta_1")) is None

    async def test_an_api_key_of_another_user_cannot_be_removed(
        self, store: AccountStore, ann: User, bob: User
    ) -> None:
        api_key = await add_api_key(store, bob, "ta_1")
        for api_key_id in (api_key.id, *FOREIGN_IDS):
            with refused(ApiKeyNotFound(api_key_id)):
                async with store.write(ann.id) as work:
                    await work.api_keys.remove(api_key_id)

        assert await _listed(store, bob) == [api_key]

    async def test_live_api_keys_are_counted(self, store: AccountStore, ann: User, bob: User) -> None:
        await _add_keys_that_expire(store, ann)
        await add_api_key(store, bob, "ta_of_bob")

        async with store.write(ann.id) as work:
            counts = [await work.api_keys.count_live(now=CHANGED + shift * MOMENT) for shift in (-2, -1, 0, 1)]
        assert counts == [4, 3, 2, 1]

    async def test_expired_api_keys_are_removed(self, store: AccountStore, ann: User, bob: User) -> None:
        never, before, now, after = await _add_keys_that_expire(store, ann)
        of_bob = await add_api_key(store, bob, "ta_of_bob", content=replace(API_KEYS["plain"], expires_at=CREATED))
        async with store.write(ann.id) as work:
            await work.api_keys.remove_expired(before=CHANGED - MOMENT * 2)
        assert await _listed(store, ann) == [never, before, now, after]

        async with store.write(ann.id) as work:
            await work.api_keys.remove_expired(before=CHANGED)
        assert await _listed(store, ann) == [never, after]
        assert await _listed(store, bob) == [of_bob]


async def _add_keys_that_expire(store: AccountStore, user: User) -> Sequence[ApiKey]:
    """Keys that never expire, or a moment before `CHANGED`, then, or a moment later."""
    times = (None, CHANGED - MOMENT, CHANGED, CHANGED + MOMENT)
    return [
        await add_api_key(
            store,
            user,
            f"ta_{number}",
            content=ApiKeyContent(name="bot", scopes=(STRATEGIES_READ,), expires_at=expires_at),
        )
        for number, expires_at in enumerate(times)
    ]


async def _listed(store: AccountStore, user: User) -> Sequence[ApiKey]:
    async with store.read() as view:
        page = await view.api_keys.list(user_id=user.id, skip=0, limit=1000)
    assert page.total == len(page.items)
    return list(page.items)


async def _assert_is_read_everywhere(store: AccountStore, user: User, api_key: ApiKey) -> None:
    async with store.read() as view:
        found = await view.api_keys.find(api_key.id)
        by_hash = await view.api_keys.find_by_hash(api_key.key_hash)
        page = await view.api_keys.list(user_id=user.id, skip=0, limit=1)
    async with store.write(user.id) as work:
        in_a_block = await work.api_keys.get(api_key.id)
    assert found is not None
    assert by_hash is not None
    assert exact(by_hash[0]) == exact(user)
    assert exact(found) == exact(by_hash[1]) == exact(in_a_block) == exact(page.items[0]) == exact(api_key)
