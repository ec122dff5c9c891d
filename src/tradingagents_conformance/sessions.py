"""The contract of sessions and of their refresh tokens, as tests."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tradingagents_conformance.account_fixtures import AccountFixtures
from tradingagents_conformance.blocks import patiently
from tradingagents_conformance.examples import (
    CHANGED,
    CREATED,
    FOREIGN_IDS,
    MOMENT,
    UNUSED_IDS,
    add_session,
    exact,
    refresh_token,
    refused,
)
from tradingagents_conformance.histories.blocks import LeftOnPurpose
from tradingagents_core.domain.accounts import User
from tradingagents_core.domain.secrets import hash_of
from tradingagents_core.domain.sessions import RefreshToken, Session
from tradingagents_core.errors import SessionNotFound
from tradingagents_core.ports import AccountStore

USED = CREATED + 7 * MOMENT


class SessionContract(AccountFixtures):
    """Every sentence of `SessionReader`, `SessionRepository` and `RefreshTokenRepository`."""

    # Reading sessions

    async def test_a_session_is_read_as_it_was_stored(self, store: AccountStore, ann: User) -> None:
        session = await add_session(store, ann, token="t")

        await _assert_is_read_everywhere(store, ann, session, token="t")

    async def test_a_session_is_found_with_the_present_state_of_its_user(
        self, store: AccountStore, ann: User, bob: User
    ) -> None:
        session = await add_session(store, ann)
        await add_session(store, bob)
        changed = ann.deactivated(at=CHANGED)
        async with store.write(ann.id) as work:
            await work.users.replace(changed)

        async with store.read() as view:
            assert await view.sessions.find(session.id) == (changed, session)

    async def test_an_unknown_id_finds_no_session(self, store: AccountStore, ann: User) -> None:
        await add_session(store, ann)

        async with store.read() as view:
            found = {session_id: await view.sessions.find(session_id) for session_id in FOREIGN_IDS}
        assert found == dict.fromkeys(FOREIGN_IDS)

    async def test_a_session_is_found_also_where_it_has_expired(self, store: AccountStore, ann: User) -> None:
        session = await add_session(store, ann, expires_at=CREATED - MOMENT, token="t")

        async with store.read() as view:
            assert await view.sessions.find(session.id) == (ann, session)
            assert await view.sessions.find_by_refresh_token(hash_of("t")) == session
        async with store.write(ann.id) as work:
            assert await work.sessions.get(session.id) == session
            assert await work.refresh_tokens.find(hash_of("t")) == refresh_token(session, "t")

    async def test_a_refresh_token_finds_its_own_session(self, store: AccountStore, ann: User, bob: User) -> None:
        sessions = [await add_session(store, user, token=text) for user, text in ((ann, "a"), (bob, "b"), (ann, "c"))]

        async with store.read() as view:
            assert [await view.sessions.find_by_refresh_token(hash_of(text)) for text in "abc"] == sessions

    async def test_an_unknown_hash_finds_no_session(self, store: AccountStore, ann: User) -> None:
        await add_session(store, ann, token="t")

        async with store.read() as view:
            assert await view.sessions.find_by_refresh_token(hash_of("other")) is None

    async def test_sessions_are_listed_oldest_first(self, store: AccountStore, ann: User) -> None:
        sessions = [await add_session(store, ann, expires_at=CHANGED - days * MOMENT) for days in (1, 3, 2)]
        async with store.write(ann.id) as work:
            await work.sessions.replace(sessions[0].used(at=USED))

        assert [session.id for session in await _listed(store, ann)] == [session.id for session in sessions]

    async def test_only_sessions_that_are_live_are_listed(self, store: AccountStore, ann: User) -> None:
        await add_session(store, ann, expires_at=CHANGED)
        live = await add_session(store, ann, expires_at=CHANGED + MOMENT)
        await add_session(store, ann, expires_at=CHANGED - MOMENT)

        async with store.read() as view:
            page = await view.sessions.list(user_id=ann.id, now=CHANGED, skip=0, limit=10)
        assert (list(page.items), page.total) == ([live], 1)

    async def test_only_sessions_of_the_user_are_listed(self, store: AccountStore, ann: User, bob: User) -> None:
        session = await add_session(store, ann)
        await add_session(store, bob)

        assert await _listed(store, ann) == [session]

    async def test_a_page_of_sessions_has_the_total_of_the_whole_list(self, store: AccountStore, ann: User) -> None:
        sessions = [await add_session(store, ann) for _ in range(3)]

        async with store.read() as view:
            pages = [
                await view.sessions.list(user_id=ann.id, now=CREATED, skip=skip, limit=2) for skip in (0, 2, 3, 10**30)
            ]
        assert [list(page.items) for page in pages] == [sessions[:2], sessions[2:], [], []]
        assert [(page.total, page.skip, page.limit) for page in pages] == [(3, skip, 2) for skip in (0, 2, 3, 10**30)]

    async def test_an_integer_that_is_no_user_has_no_sessions(self, store: AccountStore, ann: User) -> None:
        await add_session(store, ann)

        async with store.read() as view:
            pages = [
                await view.sessions.list(user_id=user_id, now=CREATED, skip=0, limit=10) for user_id in FOREIGN_IDS
            ]
        assert [(list(page.items), page.total) for page in pages] == [([], 0)] * len(FOREIGN_IDS)

    # New sessions

    async def test_a_new_session_was_created_and_used_at_the_given_time(self, store: AccountStore, ann: User) -> None:
        async with store.write(ann.id) as work:
            session = await work.sessions.add(at=CREATED, expires_at=CHANGED)

        assert (session.user_id, session.created_at, session.last_used_at, session.expires_at) == (
            ann.id,
            CREATED,
            CREATED,
            CHANGED,
        )

    async def test_a_new_sessions_id_is_greater_than_every_earlier_one(
        self, store: AccountStore, ann: User, bob: User
    ) -> None:
        earlier = []
        for user in (ann, ann, bob, ann):
            session = await add_session(store, user)
            async with store.write(user.id) as work:
                await work.sessions.remove(session.id)
            earlier.append((user, session.id))

        ids = [session_id for _, session_id in earlier]
        assert len(set(ids)) == len(ids)
        of_ann = [session_id for user, session_id in earlier if user == ann]
        assert of_ann == sorted(of_ann)

    # Changing sessions

    async def test_a_replaced_session_is_read_as_it_was_stored(self, store: AccountStore, ann: User) -> None:
        session = await add_session(store, ann, token="t")
        other = await add_session(store, ann)
        changed = replace(session, created_at=USED, last_used_at=CHANGED, expires_at=CHANGED + MOMENT)
        async with store.write(ann.id) as work:
            await work.sessions.replace(changed)

        assert await _listed(store, ann) == [changed, other]
        await _assert_is_read_everywhere(store, ann, changed, token="t")

    async def test_a_session_of_another_user_cannot_be_replaced(
        self, store: AccountStore, ann: User, bob: User
    ) -> None:
        of_ann, of_bob = await add_session(store, ann), await add_session(store, bob)
        others = [
            of_bob,
            replace(of_bob, user_id=ann.id),
            replace(of_ann, user_id=bob.id),
            *[replace(of_ann, id=session_id) for session_id in UNUSED_IDS],
        ]
        for other in others:
            with refused(SessionNotFound(other.id)):
                async with store.write(ann.id) as work:
                    await work.sessions.replace(other.prolonged(at=USED, until=CHANGED + MOMENT))

        assert await _listed(store, ann) == [of_ann]
        assert await _listed(store, bob) == [of_bob]

    async def test_a_block_reads_no_session_of_another_user(self, store: AccountStore, ann: User, bob: User) -> None:
        session = await add_session(store, bob, token="t")

        for session_id in (session.id, *FOREIGN_IDS):
            with refused(SessionNotFound(session_id)):
                async with store.write(ann.id) as work:
                    await work.sessions.get(session_id)
        async with store.write(ann.id) as work:
            assert await work.refresh_tokens.find(hash_of("t")) is None

    async def test_a_block_sees_its_own_sessions_and_readers_do_not(self, store: AccountStore, ann: User) -> None:
        kept = await add_session(store, ann)
        async with store.write(ann.id) as work:
            session = await work.sessions.add(at=CREATED, expires_at=CHANGED)
            assert await work.sessions.get(session.id) == session
            await work.sessions.replace(session.used(at=USED))
            assert await work.sessions.get(session.id) == session.used(at=USED)
            await work.refresh_tokens.put(refresh_token(session, "t"))
            assert await work.refresh_tokens.find(hash_of("t")) == refresh_token(session, "t")
            await work.sessions.remove(kept.id)
            with refused(SessionNotFound(kept.id)):
                await work.sessions.get(kept.id)
            async with store.read() as view:
                assert await view.sessions.find(session.id) is None
                assert await view.sessions.find_by_refresh_token(hash_of("t")) is None
                assert await view.sessions.find(kept.id) == (ann, kept)

        assert await _listed(store, ann) == [session.used(at=USED)]

    @patiently
    async def test_a_block_may_catch_that_a_session_does_not_exist(self, store: AccountStore, ann: User) -> None:
        async with store.write(ann.id) as work:
            with refused(SessionNotFound(UNUSED_IDS[0])):
                await work.sessions.remove(UNUSED_IDS[0])
            session = await work.sessions.add(at=CREATED, expires_at=CHANGED)
            with refused(SessionNotFound(UNUSED_IDS[0])):
                await work.refresh_tokens.put(refresh_token(replace(session, id=UNUSED_IDS[0]), "t"))

        assert await _listed(store, ann) == [session]

    async def test_an_exception_rolls_the_sessions_of_a_block_back(self, store: AccountStore, ann: User) -> None:
        session = await add_session(store, ann, token="t")
        with pytest.raises(LeftOnPurpose):
            async with store.write(ann.id) as work:
                added = await work.sessions.add(at=CREATED, expires_at=CHANGED)
                await work.refresh_tokens.put(refresh_token(added, "new"))
                await work.sessions.remove(session.id)
                raise LeftOnPurpose

        assert await _listed(store, ann) == [session]
        await _assert_is_read_everywhere(store, ann, session, token="t")
        async with store.read() as view:
            assert await view.sessions.find_by_refresh_token(hash_of("new")) is None

    # The end of sessions

    async def test_a_session_is_removed_with_its_refresh_tokens(self, store: AccountStore, ann: User) -> None:
        ended = await add_session(store, ann, token="ended")
        kept = await add_session(store, ann, token="kept")
        async with store.write(ann.id) as work:
            await work.refresh_tokens.put(refresh_token(ended, "ended, too"))
            await work.sessions.remove(ended.id)
            assert await work.refresh_tokens.find(hash_of("ended")) is None

        async with store.read() as view:
            assert await view.sessions.find(ended.id) is None
        assert await _listed(store, ann) == [kept]
        assert await _live_tokens(store, ann, "ended", "ended, too", "kept") == ["kept"]

    async def test_a_session_of_another_user_cannot_be_removed(self, store: AccountStore, ann: User, bob: User) -> None:
        session = await add_session(store, bob, token="t")
        for session_id in (session.id, *FOREIGN_IDS):
            with refused(SessionNotFound(session_id)):
                async with store.write(ann.id) as work:
                    await work.sessions.remove(session_id)

        assert await _listed(store, bob) == [session]
        assert await _live_tokens(store, bob, "t") == ["t"]

    async def test_all_sessions_of_a_user_are_removed_but_one(self, store: AccountStore, ann: User, bob: User) -> None:
        kept, *_ = [await add_session(store, ann, token=text) for text in "abc"]
        of_bob = await add_session(store, bob, token="d")
        async with store.write(ann.id) as work:
            assert await work.sessions.remove_all(but=kept.id) == 2

        assert await _listed(store, ann) == [kept]
        assert await _live_tokens(store, ann, *"abc") == ["a"]
        assert await _listed(store, bob) == [of_bob]
        assert await _live_tokens(store, bob, "d") == ["d"]

    @pytest.mark.parametrize("but", [None, *FOREIGN_IDS])
    async def test_all_sessions_of_a_user_are_removed_where_none_has_the_id(
        self, store: AccountStore, ann: User, but: int | None
    ) -> None:
        for text in "abc":
            await add_session(store, ann, expires_at=CREATED, token=text)
        async with store.write(ann.id) as work:
            assert await work.sessions.remove_all(but=but) == 3
            assert await work.sessions.remove_all(but=but) == 0

        assert await _listed(store, ann) == []
        assert await _live_tokens(store, ann, *"abc") == []

    async def test_expired_sessions_are_removed_with_their_refresh_tokens(
        self, store: AccountStore, ann: User, bob: User
    ) -> None:
        of_bob = await add_session(store, bob, expires_at=CHANGED - MOMENT, token="of bob")
        for text, expires_at in (("before", CHANGED - MOMENT), ("now", CHANGED), ("after", CHANGED + MOMENT)):
            session = await add_session(store, ann, expires_at=expires_at)
            async with store.write(ann.id) as work:
                # The tokens themselves expire later.
                await work.refresh_tokens.put(refresh_token(replace(session, expires_at=CHANGED + 9 * MOMENT), text))
        async with store.write(ann.id) as work:
            await work.sessions.remove_expired(now=CHANGED)
            assert await work.sessions.get(session.id) == session

        assert await _listed(store, ann) == [session]
        assert await _live_tokens(store, ann, "before", "now", "after") == ["after"]
        assert await _listed(store, bob) == [of_bob]
        assert await _live_tokens(store, bob, "of bob") == ["of bob"]

    async def test_expired_refresh_tokens_of_a_live_session_are_removed(self, store: AccountStore, ann: User) -> None:
        session = await add_session(store, ann, expires_at=CHANGED + MOMENT)
        async with store.write(ann.id) as work:
            for text, expires_at in (("before", CHANGED - MOMENT), ("now", CHANGED), ("after", CHANGED + MOMENT)):
                await work.refresh_tokens.put(replace(refresh_token(session, text), expires_at=expires_at))
            await work.sessions.remove_expired(now=CHANGED)

        assert await _listed(store, ann) == [session]
        assert await _live_tokens(store, ann, "before", "now", "after") == ["after"]

    # Refresh tokens

    @pytest.mark.parametrize("used_at", [None, USED])
    async def test_a_refresh_token_is_read_as_it_was_stored(
        self, store: AccountStore, ann: User, used_at: object
    ) -> None:
        session = await add_session(store, ann)
        token = RefreshToken(
            token_hash=hash_of("t"),
            session_id=session.id,
            expires_at=CHANGED - MOMENT,
            used_at=None if used_at is None else USED,
        )
        async with store.write(ann.id) as work:
            await work.refresh_tokens.put(token)

        assert await _tokens(store, ann, "t", "other") == [exact(token), None]

    async def test_a_refresh_token_takes_the_place_of_its_earlier_state(self, store: AccountStore, ann: User) -> None:
        session = await add_session(store, ann, token="t")
        newer = await add_session(store, ann)
        states = [
            refresh_token(session, "t").used(at=USED),
            replace(refresh_token(newer, "t"), expires_at=CHANGED + MOMENT),
        ]
        for state in states:
            async with store.write(ann.id) as work:
                await work.refresh_tokens.put(state)
            assert await _tokens(store, ann, "t") == [exact(state)]

        async with store.read() as view:
            assert await view.sessions.find_by_refresh_token(hash_of("t")) == newer

    async def test_a_refresh_token_needs_a_session_of_the_user(self, store: AccountStore, ann: User, bob: User) -> None:
        session = await add_session(store, bob)
        for session_id in (session.id, *UNUSED_IDS):
            with refused(SessionNotFound(session_id)):
                async with store.write(ann.id) as work:
                    await work.refresh_tokens.put(replace(refresh_token(session, "t"), session_id=session_id))

        async with store.read() as view:
            assert await view.sessions.find_by_refresh_token(hash_of("t")) is None


async def _listed(store: AccountStore, user: User) -> Sequence[Session]:
    """All sessions of a user, expired ones included."""
    async with store.read() as view:
        page = await view.sessions.list(user_id=user.id, now=CREATED - MOMENT, skip=0, limit=1000)
    assert page.total == len(page.items)
    return list(page.items)


async def _tokens(store: AccountStore, user: User, *texts: str) -> list[dict[str, str] | None]:
    async with store.write(user.id) as work:
        found = [await work.refresh_tokens.find(hash_of(text)) for text in texts]
    return [None if token is None else exact(token) for token in found]


async def _live_tokens(store: AccountStore, user: User, *texts: str) -> list[str]:
    """Those of these refresh tokens that a block and a reader find."""
    found = await _tokens(store, user, *texts)
    async with store.read() as view:
        sessions = [await view.sessions.find_by_refresh_token(hash_of(text)) for text in texts]
    in_a_block = [text for text, token in zip(texts, found, strict=True) if token is not None]
    assert in_a_block == [text for text, session in zip(texts, sessions, strict=True) if session is not None]
    return in_a_block


async def _assert_is_read_everywhere(store: AccountStore, user: User, session: Session, *, token: str) -> None:
    async with store.read() as view:
        found = await view.sessions.find(session.id)
        by_token = await view.sessions.find_by_refresh_token(hash_of(token))
        page = await view.sessions.list(user_id=user.id, now=CREATED, skip=0, limit=1)
    async with store.write(user.id) as work:
        in_a_block = await work.sessions.get(session.id)
    assert found is not None
    assert by_token is not None
    assert exact(found[0]) == exact(user)
    assert exact(found[1]) == exact(by_token) == exact(in_a_block) == exact(page.items[0]) == exact(session)
