import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial

import pytest
from cachetools import TTLCache

from tradingagents_adapters import identity_cache
from tradingagents_adapters.identity_cache import IdentityCache
from tradingagents_adapters.memory import MemoryStore
from tradingagents_conformance import OpenStore, StoreContract
from tradingagents_conformance.examples import CHANGED, add_strategy, add_user
from tradingagents_core.domain.strategy import StrategyContent
from tradingagents_core.domain.user import User
from tradingagents_core.errors import EmailTaken, StoreUnavailable
from tradingagents_core.ports import Store, StoreView, StoreWork

SECONDS = 5.0


@asynccontextmanager
async def open_remembering_store() -> AsyncIterator[Store]:
    yield IdentityCache(MemoryStore(), seconds=60)


@asynccontextmanager
async def open_forgetful_store() -> AsyncIterator[Store]:
    yield IdentityCache(MemoryStore(), seconds=0)


class TestIdentityCache(StoreContract):
    @pytest.fixture(params=[open_remembering_store, open_forgetful_store], ids=["60 seconds", "0 seconds"])
    def open_store(self, request: pytest.FixtureRequest) -> OpenStore:
        return request.param


class WatchedStore(Store):
    """A store that counts its reading blocks, keeps a reader waiting when told to, and can lose its way at the end."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.reads = 0
        self.reading = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.fails_after_commit = False

    @asynccontextmanager
    async def read(self) -> AsyncIterator[StoreView]:
        self.reads += 1
        async with self.store.read() as view:
            yield view
            self.reading.set()
            await self.may_answer.wait()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[StoreWork]:
        async with self.store.write() as work:
            yield work
        if self.fails_after_commit:
            raise StoreUnavailable(reason="nobody knows whether it was kept")


class Stopwatch:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def stopwatch(monkeypatch: pytest.MonkeyPatch) -> Stopwatch:
    stopwatch = Stopwatch()
    monkeypatch.setattr(identity_cache, "TTLCache", partial(TTLCache, timer=stopwatch))
    return stopwatch


@pytest.fixture
def watched(stopwatch: Stopwatch) -> WatchedStore:
    return WatchedStore()


@pytest.fixture
def store(watched: WatchedStore) -> Store:
    return IdentityCache(watched, seconds=SECONDS)


@pytest.fixture
async def ann(watched: WatchedStore) -> User:
    return await add_user(watched, "ann@example.com")


pytestmark = pytest.mark.anyio


async def look(store: Store, user: User | int) -> User | None:
    async with store.read() as view:
        return await view.find_user(user if isinstance(user, int) else user.id)


async def replace(store: Store, user: User) -> None:
    async with store.write() as work:
        await work.lock_user(user.id)
        await work.replace_user(user)


async def test_who_was_found_is_not_looked_up_again(store: Store, watched: WatchedStore, ann: User) -> None:
    assert [await look(store, ann) for _ in range(3)] == [ann] * 3
    assert watched.reads == 1


async def test_nobody_is_remembered_for_somebody_else(store: Store, watched: WatchedStore, ann: User) -> None:
    bob = await add_user(watched, "bob@example.com")
    assert [await look(store, user) for user in (ann, bob, ann, bob)] == [ann, bob, ann, bob]


async def test_who_is_unknown_is_looked_up_every_time(store: Store, watched: WatchedStore) -> None:
    assert [await look(store, 1) for _ in range(2)] == [None, None]
    ann = await add_user(watched, "ann@example.com")
    assert await look(store, 1) == ann


async def test_who_is_inactive_is_looked_up_every_time(store: Store, watched: WatchedStore, ann: User) -> None:
    await replace(watched, ann.deactivated(at=CHANGED))
    assert [await look(store, ann) for _ in range(2)] == [ann.deactivated(at=CHANGED)] * 2
    await replace(watched, ann)
    assert await look(store, ann) == ann


async def test_who_is_unlooked_for_longer_than_the_seconds_is_looked_up_again(
    store: Store, watched: WatchedStore, stopwatch: Stopwatch, ann: User
) -> None:
    await look(store, ann)
    stopwatch.seconds = SECONDS
    await look(store, ann)
    assert watched.reads == 2


async def test_being_asked_for_makes_nobody_be_remembered_longer(
    store: Store, watched: WatchedStore, stopwatch: Stopwatch, ann: User
) -> None:
    for seconds in range(int(SECONDS) + 1):
        stopwatch.seconds = float(seconds)
        await look(store, ann)
    assert watched.reads == 2


async def test_a_change_of_another_process_is_seen_once_the_seconds_have_passed(
    store: Store, watched: WatchedStore, stopwatch: Stopwatch, ann: User
) -> None:
    await look(store, ann)
    await replace(watched, ann.deactivated(at=CHANGED))
    seen = []
    for seconds in (SECONDS - 0.001, SECONDS):
        stopwatch.seconds = seconds
        found = await look(store, ann)
        seen.append(found is not None and found.is_active)
    assert seen == [True, False]


async def test_with_no_seconds_every_look_asks_the_store(watched: WatchedStore, ann: User) -> None:
    store = IdentityCache(watched, seconds=0)
    await look(store, ann)
    await replace(watched, ann.deactivated(at=CHANGED))
    assert await look(store, ann) == ann.deactivated(at=CHANGED)
    assert watched.reads == 2


async def test_a_change_counts_at_once(store: Store, ann: User) -> None:
    await look(store, ann)
    await replace(store, ann.deactivated(at=CHANGED))
    assert await look(store, ann) == ann.deactivated(at=CHANGED)


async def test_a_change_counts_at_once_though_nobody_knew_whether_it_was_kept(
    store: Store, watched: WatchedStore, ann: User
) -> None:
    await look(store, ann)
    watched.fails_after_commit = True
    with pytest.raises(StoreUnavailable):
        await replace(store, ann.deactivated(at=CHANGED))
    assert await look(store, ann) == ann.deactivated(at=CHANGED)


async def test_a_change_counts_at_once_though_its_caller_was_cancelled_as_it_was_kept(
    store: Store, watched: WatchedStore, ann: User
) -> None:
    await look(store, ann)
    kept, never = asyncio.Event(), asyncio.Event()
    write = watched.write

    @asynccontextmanager
    async def hanging() -> AsyncIterator[StoreWork]:
        async with write() as work:
            yield work
        kept.set()
        await never.wait()

    watched.write = hanging  # type: ignore[method-assign]
    writer = asyncio.ensure_future(replace(store, ann.deactivated(at=CHANGED)))
    await kept.wait()
    writer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writer
    assert await look(store, ann) == ann.deactivated(at=CHANGED)


async def test_a_change_that_is_undone_is_not_remembered(store: Store, ann: User) -> None:
    await look(store, ann)
    with suppress(RuntimeError):
        async with store.write() as work:
            await work.replace_user(ann.deactivated(at=CHANGED))
            raise RuntimeError
    assert await look(store, ann) == ann


async def test_a_change_that_is_refused_leaves_the_user_as_was(store: Store, watched: WatchedStore, ann: User) -> None:
    bob = await add_user(watched, "bob@example.com")
    await look(store, bob)
    with pytest.raises(EmailTaken):
        await replace(store, User(**{name: getattr(bob, name) for name in bob.__slots__} | {"email": ann.email}))
    assert await look(store, bob) == bob


async def test_what_was_read_while_a_change_was_made_is_not_remembered(
    store: Store, watched: WatchedStore, ann: User
) -> None:
    watched.may_answer.clear()
    reader = asyncio.ensure_future(look(store, ann))
    await watched.reading.wait()
    await replace(store, ann.deactivated(at=CHANGED))
    watched.may_answer.set()
    # What the reader answers was true when it began; nobody may be told so afterwards.
    assert await reader == ann
    assert await look(store, ann) == ann.deactivated(at=CHANGED)


async def test_who_was_found_while_a_strategy_was_written_is_remembered(
    store: Store, watched: WatchedStore, ann: User
) -> None:
    watched.may_answer.clear()
    reader = asyncio.ensure_future(look(store, ann))
    await watched.reading.wait()
    await add_strategy(store, ann, StrategyContent(name="a"))
    watched.may_answer.set()
    await reader
    await look(store, ann)
    assert watched.reads == 1


async def test_what_was_read_before_a_change_was_kept_is_forgotten_when_it_is(store: Store, ann: User) -> None:
    async with store.write() as work:
        await work.lock_user(ann.id)
        await work.replace_user(ann.deactivated(at=CHANGED))
        assert await look(store, ann) == ann
    assert await look(store, ann) == ann.deactivated(at=CHANGED)


async def test_a_writing_block_sees_its_own_change_and_not_what_is_remembered(store: Store, ann: User) -> None:
    await look(store, ann)
    async with store.write() as work:
        await work.replace_user(ann.deactivated(at=CHANGED))
        assert await work.find_user(ann.id) == ann.deactivated(at=CHANGED)


async def test_a_writing_block_sees_what_another_process_has_changed(
    store: Store, watched: WatchedStore, ann: User
) -> None:
    await look(store, ann)
    await replace(watched, ann.deactivated(at=CHANGED))
    async with store.write() as work:
        assert await work.find_user(ann.id) == ann.deactivated(at=CHANGED)


async def test_a_strategy_that_is_written_makes_nobody_be_forgotten(
    store: Store, watched: WatchedStore, ann: User
) -> None:
    await look(store, ann)
    stored = await add_strategy(store, ann, StrategyContent(name="a"))
    async with store.write() as work:
        await work.remove_strategy(owner_id=ann.id, strategy_id=stored.id)
    await look(store, ann)
    assert watched.reads == 1


@pytest.mark.parametrize(
    "read",
    [
        lambda view, ann: view.find_user_by_email(ann.email),
        lambda view, _: view.list_users(),
        lambda view, ann: view.list_strategies(owner_id=ann.id, skip=0, limit=1, active_only=False),
    ],
    ids=["by e-mail", "all users", "strategies"],
)
async def test_every_other_read_asks_the_store(store: Store, watched: WatchedStore, ann: User, read) -> None:
    await look(store, ann)
    for _ in range(2):
        async with store.read() as view:
            await read(view, ann)
    assert watched.reads == 3


async def test_a_store_that_is_away_makes_nobody_unknown(
    store: Store, watched: WatchedStore, monkeypatch: pytest.MonkeyPatch, ann: User
) -> None:
    def away() -> AbstractAsyncContextManager[StoreView]:
        raise StoreUnavailable(reason="away")

    with monkeypatch.context() as patched:
        patched.setattr(watched, "read", away)
        with pytest.raises(StoreUnavailable):
            await look(store, ann)
    assert await look(store, ann) == ann


async def test_no_more_are_remembered_than_the_limit(
    watched: WatchedStore, monkeypatch: pytest.MonkeyPatch, ann: User
) -> None:
    monkeypatch.setattr(identity_cache, "REMEMBERED_MAX", 1)
    store = IdentityCache(watched, seconds=SECONDS)
    bob = await add_user(watched, "bob@example.com")
    for user in (ann, bob, bob, ann):
        assert await look(store, user) == user
    assert watched.reads == 3
