"""The contract of stores of accounts, as tests."""

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from tradingagents_conformance.api_keys import ApiKeyContract
from tradingagents_conformance.blocks import patiently
from tradingagents_conformance.examples import (
    CHANGED,
    CREATED,
    EMAILS,
    EMAILS_THAT_DIFFER,
    FOREIGN_IDS,
    HASHES,
    UNUSED_IDS,
    add_api_key,
    add_session,
    add_user,
    exact,
    refused,
    settle,
)
from tradingagents_conformance.histories.accounts import OPERATIONS, AccountHistory
from tradingagents_conformance.histories.blocks import LeftOnPurpose
from tradingagents_conformance.histories.exploration import Exploration
from tradingagents_conformance.histories.search import explore
from tradingagents_conformance.opening import OpenAccountStore
from tradingagents_conformance.sessions import SessionContract
from tradingagents_core.domain.accounts import User
from tradingagents_core.domain.secrets import hash_of
from tradingagents_core.errors import BlockFailed, EmailTaken, NestedBlock, UserNotFound
from tradingagents_core.ports import AccountStore

_log = logging.getLogger(__name__)


class AccountStoreContract(SessionContract, ApiKeyContract):
    """Every sentence of `AccountStore`, and of the readers and repositories of users, sessions and API keys.

    A subclass defines the fixture `open_store`, and may set the attributes of `BlocksContract`.
    """

    # Reading

    @pytest.mark.parametrize("email", EMAILS.values(), ids=EMAILS)
    async def test_an_email_is_read_as_it_was_stored(self, store: AccountStore, email: str) -> None:
        user = await add_user(store, email)

        assert user.email == email
        await _assert_is_read_everywhere(store, user)

    @pytest.mark.parametrize("password_hash", HASHES.values(), ids=HASHES)
    async def test_a_hash_is_read_as_it_was_stored(self, store: AccountStore, password_hash: str) -> None:
        user = await add_user(store, "ann@example.com", password_hash=password_hash)

        assert user.password_hash == password_hash
        await _assert_is_read_everywhere(store, user)

    async def test_times_come_back_aware_and_in_utc(self, store: AccountStore, ann: User) -> None:
        read = await _read(store, ann.id)

        assert (read.created_at.utcoffset(), read.updated_at.utcoffset()) == (timedelta(0), timedelta(0))

    async def test_microseconds_come_back(self, store: AccountStore, ann: User) -> None:
        read = await _read(store, ann.id)

        assert (read.created_at.microsecond, read.updated_at.microsecond) == (CREATED.microsecond, CREATED.microsecond)

    async def test_a_list_that_was_read_does_not_change(self, store: AccountStore, ann: User) -> None:
        async with store.read() as view:
            users = await view.users.list()
        async with store.write(ann.id) as work:
            await work.users.replace(ann.deactivated(at=CHANGED))
        await add_user(store, "new@example.com")
        async with store.read() as view:
            await view.users.list()

        assert list(users) == [ann]

    async def test_an_unknown_id_finds_no_user(self, store: AccountStore, ann: User) -> None:
        async with store.read() as view:
            found = {user_id: await view.users.find(user_id) for user_id in FOREIGN_IDS}
        assert found == dict.fromkeys(FOREIGN_IDS)

    async def test_an_unknown_email_finds_no_user(self, store: AccountStore, ann: User) -> None:
        async with store.read() as view:
            assert await view.users.find_by_email("nobody@example.com") is None

    async def test_users_are_listed_oldest_first(self, store: AccountStore) -> None:
        users = [await add_user(store, f"{name}@example.com") for name in ("c", "a", "b")]

        async with store.read() as view:
            assert list(await view.users.list()) == users

    async def test_a_change_does_not_move_a_user_in_the_list(self, store: AccountStore, ann: User, bob: User) -> None:
        changed = replace(ann, email="z@example.com")
        await _replace(store, changed)

        async with store.read() as view:
            assert list(await view.users.list()) == [changed, bob]

    # New users

    async def test_a_new_user_is_active_and_created_and_updated_at_the_given_time(self, store: AccountStore) -> None:
        user = await store.add_user(email="ann@example.com", password_hash="hash", at=CHANGED)

        assert (user.is_active, user.created_at, user.updated_at) == (True, CHANGED, CHANGED)

    async def test_a_new_users_id_is_greater_than_every_earlier_one(
        self, store: AccountStore, ann: User, bob: User
    ) -> None:
        with refused(EmailTaken(ann.email)):
            await add_user(store, ann.email)
        cid = await add_user(store, "cid@example.com")

        assert ann.id < bob.id < cid.id

    @pytest.mark.parametrize("emails", EMAILS_THAT_DIFFER.values(), ids=EMAILS_THAT_DIFFER)
    async def test_emails_are_compared_character_by_character(
        self, store: AccountStore, emails: tuple[str, str]
    ) -> None:
        users = [await add_user(store, email) for email in emails]

        async with store.read() as view:
            assert [await view.users.find_by_email(email) for email in emails] == users

    async def test_an_email_belongs_to_one_user(self, store: AccountStore, ann: User) -> None:
        with refused(EmailTaken(ann.email)):
            await add_user(store, ann.email)

        async with store.read() as view:
            assert list(await view.users.list()) == [ann]

    async def test_one_of_several_users_at_once_gets_the_email(self, store: AccountStore) -> None:
        attempts = [add_user(store, "cid@example.com") for _ in range(8)]
        outcomes = await asyncio.wait_for(asyncio.gather(*attempts, return_exceptions=True), self.patience)

        assert sum(isinstance(outcome, User) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, EmailTaken) for outcome in outcomes) == 7

    # Changing users

    async def test_a_replaced_user_is_read_as_it_was_stored(self, store: AccountStore, ann: User, bob: User) -> None:
        changed = replace(ann, email="a@example.com", password_hash="other", is_active=False, updated_at=CHANGED)
        await _replace(store, changed)

        async with store.read() as view:
            assert [exact(user) for user in await view.users.list()] == [exact(changed), exact(bob)]

    @pytest.mark.parametrize("email", EMAILS.values(), ids=EMAILS)
    async def test_a_replaced_email_is_read_as_it_was_stored(self, store: AccountStore, ann: User, email: str) -> None:
        changed = replace(ann, email=email)
        await _replace(store, changed)

        await _assert_is_read_everywhere(store, changed)

    @pytest.mark.parametrize("password_hash", HASHES.values(), ids=HASHES)
    async def test_a_replaced_hash_is_read_as_it_was_stored(
        self, store: AccountStore, ann: User, password_hash: str
    ) -> None:
        changed = replace(ann, password_hash=password_hash)
        await _replace(store, changed)

        await _assert_is_read_everywhere(store, changed)

    async def test_a_replaced_user_is_found_by_the_new_email_only(self, store: AccountStore, ann: User) -> None:
        changed = replace(ann, email="a@example.com")
        await _replace(store, changed)

        async with store.read() as view:
            assert await view.users.find_by_email("a@example.com") == changed
            assert await view.users.find_by_email(ann.email) is None
        assert await add_user(store, ann.email) != ann

    async def test_another_user_cannot_be_replaced(self, store: AccountStore, ann: User, bob: User) -> None:
        for user_id in (bob.id, *UNUSED_IDS):
            with refused(UserNotFound(user_id)):
                async with store.write(ann.id) as work:
                    await work.users.replace(replace(ann, id=user_id, email="new@example.com"))

        async with store.read() as view:
            assert list(await view.users.list()) == [ann, bob]

    async def test_a_user_cannot_take_the_email_of_another(self, store: AccountStore, ann: User, bob: User) -> None:
        with refused(EmailTaken(ann.email)):
            await _replace(store, replace(bob, email=ann.email))

        assert await _read(store, bob.id) == bob

    async def test_a_user_keeps_their_own_email(self, store: AccountStore, ann: User) -> None:
        changed = replace(ann, password_hash="other", updated_at=CHANGED)
        await _replace(store, changed)

        async with store.read() as view:
            assert await view.users.find_by_email(ann.email) == changed

    async def test_a_new_user_and_a_change_at_once_do_not_both_get_the_email(
        self, store: AccountStore, ann: User
    ) -> None:
        for number in range(4):
            email = f"{number}@example.com"
            attempts = [_replace(store, replace(ann, email=email)), add_user(store, email)]
            outcomes = await asyncio.wait_for(asyncio.gather(*attempts, return_exceptions=True), self.patience)

            assert sum(isinstance(outcome, EmailTaken) for outcome in outcomes) == 1
            assert sum(isinstance(outcome, BaseException) for outcome in outcomes) == 1

    # Removing users

    async def test_a_removed_user_is_not_found(self, store: AccountStore, ann: User, bob: User) -> None:
        await _remove(store, ann)

        async with store.read() as view:
            assert await view.users.find(ann.id) is None
            assert await view.users.find_by_email(ann.email) is None
            assert list(await view.users.list()) == [bob]
        with refused(UserNotFound(ann.id)):
            await _remove(store, ann)

    async def test_a_removed_users_email_is_free_again(self, store: AccountStore, ann: User) -> None:
        await _remove(store, ann)

        assert (await add_user(store, ann.email)).email == ann.email

    async def test_a_removed_users_id_is_never_given_again(self, store: AccountStore, ann: User, bob: User) -> None:
        await _remove(store, bob)

        assert (await add_user(store, "cid@example.com")).id > bob.id

    async def test_a_user_is_removed_with_all_sessions_and_api_keys(
        self, store: AccountStore, ann: User, bob: User
    ) -> None:
        sessions = {user.id: await add_session(store, user, token=user.email) for user in (ann, bob)}
        api_keys = {user.id: await add_api_key(store, user, f"ta_{user.id}") for user in (ann, bob)}
        await _remove(store, ann)

        async with store.read() as view:
            for user, is_there in ((ann, False), (bob, True)):
                session, api_key = sessions[user.id], api_keys[user.id]
                found = [
                    await view.sessions.find(session.id),
                    await view.sessions.find_by_refresh_token(hash_of(user.email)),
                    *(await view.sessions.list(user_id=user.id, now=CREATED, skip=0, limit=10)).items,
                    await view.api_keys.find(api_key.id),
                    await view.api_keys.find_by_hash(api_key.key_hash),
                    *(await view.api_keys.list(user_id=user.id, skip=0, limit=10)).items,
                ]
                expected = [(user, session), session, session, api_key, (user, api_key), api_key]
                assert found == (expected if is_there else [None] * 4)

    async def test_another_user_cannot_be_removed(self, store: AccountStore, ann: User, bob: User) -> None:
        for user_id in (bob.id, *FOREIGN_IDS):
            with refused(UserNotFound(user_id)):
                async with store.write(ann.id) as work:
                    await work.users.remove(user_id)

        async with store.read() as view:
            assert list(await view.users.list()) == [ann, bob]

    async def test_an_exception_rolls_the_removal_of_a_user_back(self, store: AccountStore, ann: User) -> None:
        session, api_key = await add_session(store, ann, token="t"), await add_api_key(store, ann, "ta_1")
        with pytest.raises(LeftOnPurpose):
            async with store.write(ann.id) as work:
                await work.users.remove(ann.id)
                raise LeftOnPurpose

        async with store.read() as view:
            assert await view.users.find(ann.id) == ann
            assert await view.sessions.find(session.id) == (ann, session)
            assert await view.sessions.find_by_refresh_token(hash_of("t")) == session
            assert await view.api_keys.find_by_hash(api_key.key_hash) == (ann, api_key)

    @patiently
    async def test_a_block_that_waits_for_a_removed_user_is_not_entered(self, store: AccountStore, ann: User) -> None:
        async with store.write(ann.id) as work:
            later = asyncio.ensure_future(add_session(store, ann))
            await asyncio.wait({later}, timeout=self.a_while)
            await work.users.remove(ann.id)

        with refused(UserNotFound(ann.id)):
            await later

    # Blocks

    async def test_a_block_of_an_unknown_user_is_not_entered(self, store: AccountStore, ann: User) -> None:
        entered = []
        for user_id in FOREIGN_IDS:
            with refused(UserNotFound(user_id)):
                async with store.write(user_id):
                    entered.append(user_id)

        assert entered == []
        await asyncio.wait_for(_replace(store, ann.deactivated(at=CHANGED)), self.patience)

    async def test_a_block_reads_its_user_as_of_now(self, store: AccountStore, ann: User) -> None:
        async with store.write(ann.id) as work:
            assert exact(await work.users.get(ann.id)) == exact(ann)
        await _replace(store, ann.deactivated(at=CHANGED))

        async with store.write(ann.id) as work:
            assert exact(await work.users.get(ann.id)) == exact(ann.deactivated(at=CHANGED))

    async def test_a_block_reads_no_other_user(self, store: AccountStore, ann: User, bob: User) -> None:
        for user_id in (bob.id, *FOREIGN_IDS):
            with refused(UserNotFound(user_id)):
                async with store.write(ann.id) as work:
                    await work.users.get(user_id)

    async def test_a_block_sees_its_own_changes(self, store: AccountStore, ann: User) -> None:
        changed = replace(ann, email="a@example.com", updated_at=CHANGED)
        async with store.write(ann.id) as work:
            await work.users.replace(changed)
            assert await work.users.get(ann.id) == changed
            await work.users.replace(ann)
            assert await work.users.get(ann.id) == ann
            await work.users.replace(changed)

        assert await _read(store, ann.id) == changed

    async def test_an_exception_rolls_a_block_back(self, store: AccountStore, ann: User) -> None:
        with pytest.raises(LeftOnPurpose):
            async with store.write(ann.id) as work:
                await work.users.replace(replace(ann, email="a@example.com"))
                await work.users.replace(replace(ann, email="b@example.com", is_active=False))
                raise LeftOnPurpose

        assert await _read(store, ann.id) == ann
        # The e-mail that was not kept is free.
        assert (await add_user(store, "a@example.com")).email == "a@example.com"

    async def test_a_refusal_rolls_a_block_back(self, store: AccountStore, ann: User, bob: User) -> None:
        with refused(EmailTaken(bob.email)):
            async with store.write(ann.id) as work:
                await work.users.replace(ann.deactivated(at=CHANGED))
                await work.users.replace(replace(ann, email=bob.email))

        assert await _read(store, ann.id) == ann

    async def test_a_reading_block_does_not_see_uncommitted_changes(self, store: AccountStore, ann: User) -> None:
        changed = replace(ann, email="a@example.com", is_active=False)
        async with store.write(ann.id) as work:
            await work.users.replace(changed)
            async with asyncio.timeout(self.patience), store.read() as view:
                assert await view.users.find(ann.id) == ann
                assert await view.users.find_by_email(ann.email) == ann
                assert list(await view.users.list()) == [ann]

        assert await _read(store, ann.id) == changed

    async def test_a_reading_block_makes_no_writer_wait(self, store: AccountStore, ann: User) -> None:
        async with store.read() as view:
            await view.users.find(ann.id)
            await asyncio.wait_for(_replace(store, ann.deactivated(at=CHANGED)), self.patience)
            await asyncio.wait_for(add_user(store, "new@example.com"), self.patience)

    async def test_blocks_of_one_user_wait_for_each_other(self, store: AccountStore, ann: User) -> None:
        async with store.write(ann.id) as work:
            later = asyncio.ensure_future(_lengthen_hash(store, ann.id, "+later"))
            await asyncio.wait({later}, timeout=self.a_while)
            assert not later.done()
            await work.users.replace(replace(ann, password_hash=f"{ann.password_hash}+sooner"))
        await asyncio.wait_for(later, self.patience)

        assert (await _read(store, ann.id)).password_hash == f"{ann.password_hash}+sooner+later"

    async def test_no_change_is_lost_between_overlapping_blocks(self, store: AccountStore, ann: User) -> None:
        lengthening = [_lengthen_hash(store, ann.id, "+") for _ in range(12)]
        await asyncio.wait_for(asyncio.gather(*lengthening), self.patience)

        assert (await _read(store, ann.id)).password_hash == ann.password_hash + "+" * 12

    async def test_a_cancelled_caller_leaves_a_block_whole_or_undone_and_nothing_locked(
        self, store: AccountStore, ann: User
    ) -> None:
        async def change_twice(number: int) -> None:
            async with store.write(ann.id) as work:
                for half in ("first", "second"):
                    await work.users.replace(replace(ann, password_hash=f"{half} {number}"))

        kept = ann.password_hash
        for number in range(12):
            caller = asyncio.ensure_future(change_twice(number))
            for _ in range(number * number):
                await asyncio.sleep(0)
            caller.cancel()
            await asyncio.wait({caller}, timeout=self.patience)

            assert caller.done()
            now_kept = (await asyncio.wait_for(_read(store, ann.id), self.patience)).password_hash
            assert now_kept in (kept, f"second {number}")
            kept = now_kept
        await asyncio.wait_for(_replace(store, ann), self.patience)

    async def test_a_cancelled_caller_leaves_a_new_user_whole_or_none(self, store: AccountStore) -> None:
        for number in range(12):
            email = f"{number}@example.com"
            caller = asyncio.ensure_future(add_user(store, email))
            for _ in range(number * number):
                await asyncio.sleep(0)
            caller.cancel()
            await asyncio.wait({caller}, timeout=self.patience)

            assert caller.done()
            async with store.read() as view:
                found = await asyncio.wait_for(view.users.find_by_email(email), self.patience)
                listed = await asyncio.wait_for(view.users.list(), self.patience)
            assert [user for user in listed if user.email == email] == ([found] if found else [])
        await asyncio.wait_for(add_user(store, "next@example.com"), self.patience)

    @pytest.mark.parametrize("done", [1, 2, 3])
    async def test_a_block_cancelled_between_its_changes_is_rolled_back(
        self, store: AccountStore, ann: User, done: int
    ) -> None:
        reached = asyncio.Event()

        async def change_some_and_wait() -> None:
            async with store.write(ann.id) as work:
                for number in range(done):
                    await work.users.replace(replace(ann, password_hash=f"{number}"))
                reached.set()
                await asyncio.Event().wait()

        caller = asyncio.ensure_future(change_some_and_wait())
        await asyncio.wait_for(reached.wait(), self.patience)
        caller.cancel()
        await asyncio.wait({caller}, timeout=self.patience)

        assert caller.cancelled()
        assert await asyncio.wait_for(_read(store, ann.id), self.patience) == ann

    async def test_a_block_cancelled_while_it_waits_leaves_nothing_locked(self, store: AccountStore, ann: User) -> None:
        async with store.write(ann.id):
            waiting = [asyncio.ensure_future(_lengthen_hash(store, ann.id, end)) for end in ("+a", "+b", "+c")]
            await asyncio.wait(waiting, timeout=self.a_while)
            waiting[0].cancel()
            waiting[2].cancel()
        await asyncio.wait(waiting, timeout=self.patience)

        assert [caller.done() for caller in waiting] == [True, True, True]
        kept = await asyncio.wait_for(_read(store, ann.id), self.patience)
        assert kept.password_hash == f"{ann.password_hash}+b"
        await asyncio.wait_for(_replace(store, ann), self.patience)

    async def test_many_cancelled_callers_leave_nothing_open(self, store: AccountStore, ann: User) -> None:
        for _ in range(40):
            callers = [
                asyncio.ensure_future(_read(store, ann.id)),
                asyncio.ensure_future(_replace(store, ann)),
                asyncio.ensure_future(add_user(store, ann.email)),
            ]
            await asyncio.sleep(0)
            for caller in callers:
                caller.cancel()
            await asyncio.wait_for(asyncio.gather(*callers, return_exceptions=True), self.patience)

        await asyncio.wait_for(_replace(store, ann.deactivated(at=CHANGED)), self.patience)
        await asyncio.wait_for(add_user(store, "next@example.com"), self.patience)

    @patiently
    async def test_a_cancelled_caller_waits_until_its_commit_has_ended(self, store: AccountStore, ann: User) -> None:
        async def change(password_hash: str, at_its_end: asyncio.Event) -> None:
            async with store.write(ann.id) as work:
                await work.users.replace(replace(ann, password_hash=password_hash))
                at_its_end.set()

        for turns in range(12):
            at_its_end = asyncio.Event()
            caller = asyncio.ensure_future(change(f"{turns}", at_its_end))
            await at_its_end.wait()
            await settle(turns)
            caller.cancel()
            await asyncio.wait({caller})

            kept = await _read(store, ann.id)
            await settle()
            assert await _read(store, ann.id) == kept
            assert caller.cancelled() or kept.password_hash == f"{turns}"

    # Errors in blocks

    @patiently
    async def test_a_block_that_catches_a_refused_change_keeps_nothing(
        self, store: AccountStore, ann: User, bob: User
    ) -> None:
        with pytest.raises(BlockFailed):
            async with store.write(ann.id) as work:
                await work.users.replace(ann.deactivated(at=CHANGED))
                with refused(EmailTaken(bob.email)):
                    await work.users.replace(replace(ann, email=bob.email))

        async with store.read() as view:
            assert list(await view.users.list()) == [ann, bob]

    @patiently
    async def test_a_block_may_catch_that_a_user_does_not_exist(
        self, store: AccountStore, ann: User, bob: User
    ) -> None:
        changed = ann.deactivated(at=CHANGED)
        async with store.write(ann.id) as work:
            with refused(UserNotFound(bob.id)):
                await work.users.get(bob.id)
            await work.users.replace(changed)
            with refused(UserNotFound(bob.id)):
                await work.users.replace(bob)

        assert await _read(store, ann.id) == changed

    # Blocks and tasks

    @patiently
    @pytest.mark.parametrize("other", [False, True], ids=["the same user", "another user"])
    async def test_a_nested_block_is_refused_and_spoils_nothing(
        self, store: AccountStore, ann: User, bob: User, *, other: bool
    ) -> None:
        changed = ann.deactivated(at=CHANGED)
        async with store.write(ann.id) as work:
            with pytest.raises(NestedBlock):
                await _replace(store, bob if other else ann)
            await work.users.replace(changed)

        assert await _read(store, ann.id) == changed
        await asyncio.wait_for(_replace(store, bob if other else ann), self.patience)

    @patiently
    async def test_a_user_added_within_a_block_is_refused_and_spoils_nothing(
        self, store: AccountStore, ann: User
    ) -> None:
        changed = ann.deactivated(at=CHANGED)
        async with store.write(ann.id) as work:
            with pytest.raises(NestedBlock):
                await add_user(store, "new@example.com")
            await work.users.replace(changed)

        async with store.read() as view:
            assert list(await view.users.list()) == [changed]

    @patiently
    async def test_a_block_of_another_task_is_no_nested_block(self, store: AccountStore, ann: User, bob: User) -> None:
        changes = [user.deactivated(at=CHANGED) for user in (ann, bob)]
        async with store.write(ann.id):
            tasks = [asyncio.create_task(_replace(store, changed)) for changed in changes]
            await settle()
        await asyncio.wait_for(asyncio.gather(*tasks), self.patience)

        async with store.read() as view:
            assert list(await view.users.list()) == changes

    @patiently
    async def test_a_task_may_open_one_block_after_another(self, store: AccountStore, ann: User, bob: User) -> None:
        for _ in range(2):
            with pytest.raises(LeftOnPurpose):
                await _write_and_fail(store, ann.id)
            with refused(EmailTaken(ann.email)):
                await add_user(store, ann.email)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(self.a_while), store.write(ann.id):
                    await asyncio.Event().wait()
            async with store.write(ann.id), store.read():
                pass

        await _replace(store, bob)

    # Connections

    @patiently
    async def test_many_reading_blocks_that_fail_leave_nothing_open(self, store: AccountStore, ann: User) -> None:
        for _ in range(self.many_blocks):
            with pytest.raises(LeftOnPurpose):
                await _read_and_fail(store, ann.id)

        await _assert_nothing_is_open(store, ann)

    @patiently
    async def test_many_refused_writing_blocks_leave_nothing_open(self, store: AccountStore, ann: User) -> None:
        for _ in range(self.many_blocks):
            with refused(UserNotFound(FOREIGN_IDS[0])):
                await _lengthen_hash(store, FOREIGN_IDS[0], "+")
            with refused(EmailTaken(ann.email)):
                await add_user(store, ann.email)
            with pytest.raises(LeftOnPurpose):
                await _write_and_fail(store, ann.id)

        await _assert_nothing_is_open(store, ann)

    # Everything at once

    def test_random_histories_match_plain_dictionaries(self, open_store: OpenAccountStore) -> None:
        exploration = Exploration(patience=self.patience, a_while=self.a_while)
        explore(
            lambda: AccountHistory(open_store, exploration),
            OPERATIONS,
            histories=self.histories,
            history_length=self.history_length,
            shrinking=self.shrinking,
        )
        _log.info("Explored %s", exploration)


async def _read(store: AccountStore, user_id: int) -> User:
    async with store.read() as view:
        user = await view.users.find(user_id)
    assert user is not None
    return user


async def _assert_is_read_everywhere(store: AccountStore, user: User) -> None:
    async with store.read() as view:
        assert [exact(read) for read in await view.users.list()] == [exact(user)]
        by_id, by_email = await view.users.find(user.id), await view.users.find_by_email(user.email)
    async with store.write(user.id) as work:
        in_a_block = await work.users.get(user.id)
    assert by_id is not None
    assert by_email is not None
    assert exact(by_id) == exact(by_email) == exact(in_a_block) == exact(user)


async def _read_and_fail(store: AccountStore, user_id: int) -> None:
    async with store.read() as view:
        await view.users.find(user_id)
        raise LeftOnPurpose


async def _write_and_fail(store: AccountStore, user_id: int) -> None:
    async with store.write(user_id) as work:
        await work.users.get(user_id)
        raise LeftOnPurpose


async def _replace(store: AccountStore, user: User) -> None:
    async with store.write(user.id) as work:
        await work.users.replace(user)


async def _remove(store: AccountStore, user: User) -> None:
    async with store.write(user.id) as work:
        await work.users.remove(user.id)


async def _lengthen_hash(store: AccountStore, user_id: int, end: str) -> None:
    """Lengthen the hash of a user. Other tasks run between the read and the write."""
    async with store.write(user_id) as work:
        user = await work.users.get(user_id)
        await asyncio.sleep(0)
        await work.users.replace(replace(user, password_hash=f"{user.password_hash}{end}"))


async def _assert_nothing_is_open(store: AccountStore, user: User) -> None:
    changed = user.deactivated(at=CHANGED)
    await _replace(store, changed)
    assert await _read(store, user.id) == changed
