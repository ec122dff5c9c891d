import asyncio
from datetime import timedelta
from itertools import count

import pytest

from tradingagents_adapters import remembered_callers
from tradingagents_adapters.clock import utc_now
from tradingagents_adapters.jwt_tokens import JwtTokenService
from tradingagents_adapters.memory import MemoryAccountStore
from tradingagents_adapters.remembered_callers import REMEMBERED_MAX, RememberedCallers
from tradingagents_conformance import CallersContract, EndAccount, IssueCredential
from tradingagents_conformance.examples import CHANGED, add_user
from tradingagents_core.domain.api_keys import API_KEY_PREFIX, SHOWN_LENGTH, ApiKeyContent
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.scopes import ALL_SCOPES
from tradingagents_core.domain.secrets import hash_of, new_secret
from tradingagents_core.errors import StoreUnavailable
from tradingagents_core.ports import AccountStore, Callers, TokenService
from tradingagents_core.use_cases import AccountCallers

SECONDS = 5.0
MOMENT = timedelta(microseconds=1)
ANN = "the credential of Ann"
BOB = "the credential of Bob"


class OfAccounts(CallersContract):
    """Callers who have an account in memory, and the token of a session or an API key."""

    @pytest.fixture
    def store(self) -> AccountStore:
        return MemoryAccountStore()

    @pytest.fixture
    def tokens(self) -> TokenService:
        return JwtTokenService(secret_key="k" * 64, algorithm="HS256", lifetime=timedelta(minutes=30), clock=utc_now)

    @pytest.fixture(params=["token", "API key"])
    def issue_credential(
        self, request: pytest.FixtureRequest, store: AccountStore, tokens: TokenService
    ) -> IssueCredential:
        numbers = count()

        async def issue() -> tuple[str, int]:
            user = await add_user(store, f"{next(numbers)}@example.com")
            now = utc_now()
            async with store.write(user.id) as work:
                if request.param == "token":
                    session = await work.sessions.add(at=now, expires_at=now + timedelta(minutes=30))
                    return tokens.issue(user_id=user.id, session_id=session.id), user.id
                text = new_secret(API_KEY_PREFIX)
                content = ApiKeyContent(name="bot", scopes=ALL_SCOPES)
                await work.api_keys.add(content, prefix=text[:SHOWN_LENGTH], key_hash=hash_of(text), at=now)
            return text, user.id

        return issue

    @pytest.fixture
    def end_account(self, store: AccountStore) -> EndAccount:
        async def end(user_id: int) -> None:
            async with store.write(user_id) as work:
                await work.users.replace((await work.users.get(user_id)).deactivated(at=CHANGED))

        return end


class TestAccountCallers(OfAccounts):
    @pytest.fixture
    def callers(self, store: AccountStore, tokens: TokenService) -> Callers:
        return AccountCallers(store=store, tokens=tokens, clock=utc_now)


class TestRememberedCallers(OfAccounts):
    @pytest.fixture(params=[60, 0], ids=["60 seconds", "0 seconds"])
    def callers(self, request: pytest.FixtureRequest, store: AccountStore, tokens: TokenService) -> Callers:
        callers = AccountCallers(store=store, tokens=tokens, clock=utc_now)
        return RememberedCallers(callers, seconds=request.param, clock=utc_now)


class WatchedCallers(Callers):
    """Callers by their credentials. They count how often they are asked, and wait with their answer when told to."""

    def __init__(self) -> None:
        self.known = {ANN: Caller(user_id=1), BOB: Caller(user_id=2)}
        self.finds = 0
        self.forgotten: list[int] = []
        self.finding = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.is_away = False

    async def find(self, credential: str) -> Caller | None:
        self.finds += 1
        if self.is_away:
            raise StoreUnavailable(reason="away")
        caller = self.known.get(credential)
        self.finding.set()
        await self.may_answer.wait()
        return caller

    async def forget(self, user_id: int) -> None:
        self.forgotten.append(user_id)
        if self.is_away:
            raise StoreUnavailable(reason="away")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def watched() -> WatchedCallers:
    return WatchedCallers()


@pytest.fixture
def callers(watched: WatchedCallers, clock) -> RememberedCallers:
    return RememberedCallers(watched, seconds=SECONDS, clock=clock)


pytestmark = pytest.mark.anyio


async def test_a_caller_who_was_found_is_not_looked_for_again(callers: Callers, watched: WatchedCallers) -> None:
    assert [await callers.find(ANN) for _ in range(3)] == [Caller(user_id=1)] * 3
    assert watched.finds == 1


async def test_two_credentials_are_remembered_each_for_its_own_caller(
    callers: Callers, watched: WatchedCallers
) -> None:
    found = [await callers.find(credential) for credential in (ANN, BOB, ANN, BOB)]
    assert found == [Caller(user_id=1), Caller(user_id=2)] * 2
    assert watched.finds == 2


async def test_an_unknown_credential_is_looked_for_every_time(callers: Callers, watched: WatchedCallers) -> None:
    assert [await callers.find("new") for _ in range(2)] == [None, None]
    watched.known["new"] = Caller(user_id=3)
    assert await callers.find("new") == Caller(user_id=3)


async def test_a_caller_is_looked_for_again_once_the_seconds_have_passed(
    callers: Callers, watched: WatchedCallers, clock
) -> None:
    await callers.find(ANN)
    clock.move(timedelta(seconds=SECONDS) - MOMENT)
    await callers.find(ANN)
    assert watched.finds == 1
    clock.move(MOMENT)
    await callers.find(ANN)
    assert watched.finds == 2


async def test_being_asked_for_makes_nobody_be_remembered_longer(
    callers: Callers, watched: WatchedCallers, clock
) -> None:
    for _ in range(int(SECONDS) + 1):
        await callers.find(ANN)
        clock.move(timedelta(seconds=1))
    assert watched.finds == 2


async def test_the_seconds_are_counted_from_before_the_search(callers: Callers, watched: WatchedCallers, clock) -> None:
    watched.may_answer.clear()
    finding = asyncio.ensure_future(callers.find(ANN))
    await watched.finding.wait()
    clock.move(timedelta(seconds=SECONDS))
    watched.may_answer.set()
    await finding
    await callers.find(ANN)
    assert watched.finds == 2


async def test_a_change_of_another_process_counts_once_the_seconds_have_passed(
    callers: Callers, watched: WatchedCallers, clock
) -> None:
    await callers.find(ANN)
    del watched.known[ANN]
    clock.move(timedelta(seconds=SECONDS) - MOMENT)
    assert await callers.find(ANN) == Caller(user_id=1)
    clock.move(MOMENT)
    assert await callers.find(ANN) is None


async def test_nobody_is_remembered_longer_than_the_credential_is_valid(
    callers: Callers, watched: WatchedCallers, clock
) -> None:
    watched.known[ANN] = Caller(user_id=1, expires_at=clock.now + timedelta(seconds=2))
    await callers.find(ANN)
    del watched.known[ANN]
    clock.move(timedelta(seconds=2) - MOMENT)
    assert await callers.find(ANN) is not None
    clock.move(MOMENT)
    assert await callers.find(ANN) is None


async def test_what_was_found_in_the_future_does_not_count_when_the_clock_has_stepped_back(
    callers: Callers, watched: WatchedCallers, clock
) -> None:
    await callers.find(ANN)
    clock.move(-MOMENT)
    del watched.known[ANN]
    assert await callers.find(ANN) is None


async def test_with_no_seconds_every_search_is_made(watched: WatchedCallers, clock) -> None:
    callers = RememberedCallers(watched, seconds=0, clock=clock)
    await callers.find(ANN)
    del watched.known[ANN]
    assert await callers.find(ANN) is None
    assert watched.finds == 2


async def test_a_change_counts_at_once(callers: Callers, watched: WatchedCallers) -> None:
    await callers.find(ANN)
    del watched.known[ANN]
    await callers.forget(1)
    assert await callers.find(ANN) is None
    assert watched.forgotten == [1]


async def test_all_credentials_of_a_user_are_forgotten(callers: Callers, watched: WatchedCallers) -> None:
    watched.known[BOB] = Caller(user_id=1)
    await callers.find(ANN)
    await callers.find(BOB)
    watched.known.clear()
    await callers.forget(1)
    assert [await callers.find(credential) for credential in (ANN, BOB)] == [None, None]


async def test_nobody_else_is_forgotten(callers: Callers, watched: WatchedCallers) -> None:
    await callers.find(ANN)
    await callers.forget(2)
    await callers.find(ANN)
    assert watched.finds == 1


async def test_a_change_counts_at_once_though_those_behind_cannot_be_told(
    callers: Callers, watched: WatchedCallers
) -> None:
    await callers.find(ANN)
    watched.is_away = True
    with pytest.raises(StoreUnavailable):
        await callers.forget(1)
    watched.is_away = False
    del watched.known[ANN]
    assert await callers.find(ANN) is None


async def test_a_change_counts_at_once_though_its_caller_was_cancelled(
    callers: Callers, watched: WatchedCallers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await callers.find(ANN)
    reached = asyncio.Event()

    async def hang(user_id: int) -> None:
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(watched, "forget", hang)
    forgetting = asyncio.ensure_future(callers.forget(1))
    await reached.wait()
    del watched.known[ANN]
    forgetting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await forgetting
    assert await callers.find(ANN) is None


async def test_what_was_read_while_a_change_was_made_is_not_remembered(
    callers: Callers, watched: WatchedCallers
) -> None:
    watched.may_answer.clear()
    finding = asyncio.ensure_future(callers.find(ANN))
    await watched.finding.wait()
    del watched.known[ANN]
    await callers.forget(1)
    watched.may_answer.set()
    # What the search answers was true when it began; nobody may be told so afterwards.
    assert await finding == Caller(user_id=1)
    assert await callers.find(ANN) is None


async def test_what_was_read_before_a_change_was_kept_is_forgotten_when_it_is(
    callers: Callers, watched: WatchedCallers
) -> None:
    # The account is being changed; the change is not kept yet.
    assert await callers.find(ANN) == Caller(user_id=1)
    del watched.known[ANN]
    await callers.forget(1)
    assert await callers.find(ANN) is None


async def test_callers_who_are_away_make_nobody_unknown(callers: Callers, watched: WatchedCallers) -> None:
    watched.is_away = True
    with pytest.raises(StoreUnavailable):
        await callers.find(ANN)
    watched.is_away = False
    assert await callers.find(ANN) == Caller(user_id=1)


async def test_a_caller_who_is_remembered_is_found_though_those_behind_are_away(
    callers: Callers, watched: WatchedCallers
) -> None:
    await callers.find(ANN)
    watched.is_away = True
    assert await callers.find(ANN) == Caller(user_id=1)


async def test_no_more_are_remembered_than_the_limit(callers: RememberedCallers, watched: WatchedCallers) -> None:
    watched.known |= {f"{number}": Caller(user_id=number) for number in range(1, REMEMBERED_MAX + 3)}
    for credential in [*map(str, range(1, REMEMBERED_MAX + 1)), "1", f"{REMEMBERED_MAX + 1}"]:
        await callers.find(credential)
    assert watched.finds == REMEMBERED_MAX + 1
    # "2" was asked for longest ago, and has made room.
    for credential in ("1", "3", f"{REMEMBERED_MAX}", f"{REMEMBERED_MAX + 1}"):
        await callers.find(credential)
    assert watched.finds == REMEMBERED_MAX + 1
    await callers.find("2")
    assert watched.finds == REMEMBERED_MAX + 2


async def test_forgetting_somebody_keeps_in_mind_who_was_asked_for_longest_ago(
    watched: WatchedCallers, clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered_callers, "REMEMBERED_MAX", 2)
    callers = RememberedCallers(watched, seconds=SECONDS, clock=clock)
    for credential in (ANN, BOB, ANN):
        await callers.find(credential)
    await callers.forget(3)
    watched.known["new"] = Caller(user_id=3)
    await callers.find("new")
    await callers.find(ANN)
    assert watched.finds == 3
