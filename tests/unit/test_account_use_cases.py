import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from worlds import NEW_PASSWORD, PASSWORD, SOURCE, BusyAccounts, World, outcome

from tradingagents_adapters.keyless_tokens import KeylessTokenService
from tradingagents_core.domain.accounts import User
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.errors import (
    EmailTaken,
    InvalidCredentials,
    InvalidInput,
    StoreUnavailable,
    UserNotFound,
)
from tradingagents_core.ports import AccountView, AccountWork, Callers
from tradingagents_core.use_cases import AccountUseCases, UseCases


def test_an_account_can_be_used_at_once(world):
    async def story() -> None:
        ann = await world.new_user("Ann@Example.COM")
        token = (
            await world.do.authentication.login(email="ann@example.com", password=PASSWORD, source=SOURCE)
        ).access_token
        assert (await world.do.authentication.authenticate(credential=token)).user_id == ann.id
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
            await world.do.accounts.set_password(email="nobody@example.com", password=NEW_PASSWORD)
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
            await world.do.accounts.create(email=email, password=password)
        assert await world.do.accounts.list() == []

    asyncio.run(story())


@pytest.mark.parametrize("operation", ["create", "set_password", "activate", "deactivate"])
def test_an_email_that_is_not_text_is_refused(world, operation):
    password = {"password": PASSWORD} if operation in {"create", "set_password"} else {}
    with pytest.raises(InvalidInput) as refusal:
        asyncio.run(getattr(world.do.accounts, operation)(email=5, **password))
    assert (refusal.value.field, refusal.value.rule) == ("email", "string_type")


@pytest.mark.parametrize("operation", ["create", "set_password"])
def test_a_password_that_is_not_text_is_refused(world, operation):
    with pytest.raises(InvalidInput) as refusal:
        asyncio.run(getattr(world.do.accounts, operation)(email="ann@example.com", password=None))
    assert (refusal.value.field, refusal.value.rule) == ("password", "string_type")


def test_accounts_are_listed_oldest_first(world):
    async def story() -> None:
        users = [await world.new_user(email) for email in ("zoe@example.com", "ann@example.com", "mia@example.com")]
        await world.do.accounts.deactivate(email="zoe@example.com")
        assert [user.id for user in await world.do.accounts.list()] == [user.id for user in users]

    asyncio.run(story())


def test_another_password_replaces_the_first(world):
    async def story() -> None:
        await world.new_user("ann@example.com")
        await world.do.accounts.set_password(email="ANN@example.com", password=NEW_PASSWORD)
        with pytest.raises(InvalidCredentials):
            await world.do.authentication.login(email="ann@example.com", password=PASSWORD, source=SOURCE)
        assert await world.do.authentication.login(email="ann@example.com", password=NEW_PASSWORD, source=SOURCE)

    asyncio.run(story())


def test_another_password_changes_nothing_else_even_when_the_account_is_switched_off_meanwhile(world):
    async def story() -> None:
        ann = await world.new_user()
        world.passwords.while_hashing = lambda: world.do.accounts.deactivate(email=ann.email)
        changed = await world.do.accounts.set_password(email=ann.email, password=NEW_PASSWORD)
        assert changed == await world.user()
        assert changed == replace(ann, is_active=False, password_hash=changed.password_hash)

    asyncio.run(story())


def test_a_password_that_breaks_a_rule_is_not_set(world):
    async def story() -> None:
        ann = await world.new_user()
        with pytest.raises(InvalidInput):
            await world.do.accounts.set_password(email=ann.email, password="x" * 7)
        assert await world.user() == ann

    asyncio.run(story())


@pytest.mark.parametrize(
    ("operation", "more"),
    [("set_password", {"password": NEW_PASSWORD}), ("activate", {}), ("deactivate", {})],
)
@pytest.mark.parametrize("text", ["", "ann", "\x00@example.com", "ann@\ud800", "x" * 255 + "@example.com"])
def test_a_store_is_not_asked_for_what_is_no_email(world, operation, more, text):
    """Some databases cannot take every text: a refusal of theirs would say that they are broken."""
    asked = []

    class Asked(BusyAccounts):
        @asynccontextmanager
        async def read(self) -> AsyncIterator[AccountView]:
            asked.append("read")
            async with super().read() as view:
                yield view

    async def story() -> None:
        with pytest.raises(UserNotFound):
            await getattr(World(world.clock, Asked()).do.accounts, operation)(email=text, **more)

    asyncio.run(story())
    assert asked == []


@pytest.mark.parametrize(
    ("operation", "more"),
    [("set_password", {"password": NEW_PASSWORD}), ("activate", {}), ("deactivate", {})],
)
def test_the_account_of_an_unknown_email_is_not_found(world, operation, more):
    async def story() -> None:
        await world.new_user("ann@example.com")
        before = await world.everything()
        with pytest.raises(UserNotFound) as refusal:
            await getattr(world.do.accounts, operation)(email="nobody@example.com", **more)
        assert refusal.value.user == "nobody@example.com"
        assert await world.everything() == before

    asyncio.run(story())


@pytest.mark.parametrize("name", ["set_password", "activate", "deactivate"])
@pytest.mark.parametrize("fails", [False, True])
def test_the_callers_of_a_changed_account_are_forgotten_after_the_block_whether_it_was_kept(
    world, monkeypatch, name, fails
):
    events = []

    class Noting(Callers):
        async def find(self, credential: str) -> Caller | None:
            return None

        async def forget(self, user_id: int) -> None:
            events.append(("forgotten", user_id, world.accounts.open_blocks))

    @asynccontextmanager
    async def write_and_fail(user_id: int) -> AsyncIterator[AccountWork]:
        async with BusyAccounts.write(world.accounts, user_id) as work:
            yield work
        raise StoreUnavailable(reason="nobody knows whether it was kept")

    async def story() -> None:
        ann = await world.new_user()
        if fails:
            monkeypatch.setattr(world.accounts, "write", write_and_fail)
        accounts = AccountUseCases.over(
            store=world.accounts,
            strategies=world.strategies,
            callers=Noting(),
            checks=world.do.authentication.login.checks,
            passwords=world.passwords,
            clock=world.clock,
        )
        more = {"password": NEW_PASSWORD} if name == "set_password" else {}
        result = await outcome(getattr(accounts, name)(email=ann.email, **more))
        assert isinstance(result, StoreUnavailable if fails else User)
        assert events == [("forgotten", ann.id, 0)]

    asyncio.run(story())


def test_accounts_can_be_kept_without_tokens(world):
    async def story() -> None:
        core = UseCases.over(
            strategies=world.strategies,
            accounts=world.accounts,
            failures=world.failures,
            login_queue=world.queue,
            tokens=KeylessTokenService(),
            passwords=world.passwords,
            clock=world.clock,
        )
        ann = await core.accounts.create(email="ann@example.com", password=PASSWORD)
        assert (await core.accounts.deactivate(email=ann.email)).is_active is False

    asyncio.run(story())


def test_of_overlapping_accounts_for_one_email_exactly_one_is_made(world):
    async def story() -> None:
        outcomes = await asyncio.gather(*(outcome(world.new_user(email)) for email in ("a@b", "A@b", "a@B", "A@B")))
        assert sorted(type(each).__name__ for each in outcomes) == ["EmailTaken"] * 3 + ["User"]
        assert [user.email for user in await world.do.accounts.list()] == ["a@b"]

    asyncio.run(story())
