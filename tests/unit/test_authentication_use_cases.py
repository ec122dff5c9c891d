import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from worlds import NEW_PASSWORD, NO_ID, PASSWORD, SOURCE, Event, World

from tradingagents_adapters.login_queue import RoundRobinLoginQueue
from tradingagents_adapters.memory import MemoryLoginFailures
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.login_throttle import LoginAttempt
from tradingagents_core.errors import (
    InvalidCredentials,
    InvalidInput,
    InvalidToken,
    LoginTookTooLong,
    StoreUnavailable,
)
from tradingagents_core.ports import AccountWork
from tradingagents_core.use_cases import (
    password_checks,
)


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("nobody@example.com", PASSWORD),
        ("no address", PASSWORD),
        ("", ""),
        ("ann@example.com\x00", PASSWORD),
        ("\ud800@example.com", PASSWORD),
        ("ann@example.com", "wrong password"),
        ("ann@example.com", ""),
        ("ann@example.com", PASSWORD + "x"),
        ("ann@example.com", PASSWORD[:-1]),
        ("ann@example.com", PASSWORD.lower()),
        ("ann@example.com", "\ud800"),
        ("inactive@example.com", PASSWORD),
        ("inactive@example.com", "wrong password"),
    ],
)
def test_every_refused_login_is_the_same_error_after_the_same_work(world, email, password):
    async def story() -> None:
        await world.new_user("ann@example.com")
        await world.new_user("inactive@example.com")
        await world.do.accounts.deactivate(email="inactive@example.com")
        world.passwords.hashed.clear()
        with pytest.raises(InvalidCredentials) as refusal:
            await world.do.authentication.login(email=email, password=password, source=SOURCE)
        assert str(refusal.value) == "Incorrect e-mail or password"
        assert len(world.passwords.verified) == 1
        assert world.passwords.hashed == []

    asyncio.run(story())


@pytest.mark.parametrize("email", ["nobody@example.com", "no address"])
def test_the_password_of_an_unknown_user_is_verified_against_nobodys_hash(world, email):
    async def story() -> None:
        with pytest.raises(InvalidCredentials):
            await world.do.authentication.login(email=email, password=PASSWORD, source=SOURCE)
        assert world.passwords.verified == [None]

    asyncio.run(story())


@pytest.mark.parametrize("email", ["ann@example.com", "Ann@EXAMPLE.com"])
def test_a_login_takes_one_verification_and_no_new_hash(world, email):
    async def story() -> None:
        ann = await world.new_user("ann@example.com")
        world.passwords.hashed.clear()
        claims = world.tokens.verify(
            (await world.do.authentication.login(email=email, password=PASSWORD, source=SOURCE)).access_token
        )
        assert claims.user_id == ann.id
        assert world.passwords.verified == [ann.password_hash]
        assert world.passwords.hashed == []
        assert await world.user() == ann

    asyncio.run(story())


def test_a_password_is_the_same_from_every_keyboard(world):
    async def story() -> None:
        await world.do.accounts.create(email="ann@example.com", password="caf\u00e9 au lait")
        assert await world.do.authentication.login(
            email="ann@example.com", password="cafe\u0301 au lait", source=SOURCE
        )

    asyncio.run(story())


def test_a_login_replaces_a_weak_hash(world):
    async def story() -> None:
        ann = await world.new_user()
        world.passwords.strength = 2
        world.clock.move(timedelta(minutes=1))
        await world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)
        changed = await world.user()
        assert changed == replace(ann, password_hash=changed.password_hash, updated_at=world.clock())
        assert not world.passwords.needs_rehash(changed.password_hash)
        assert await world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)

    asyncio.run(story())


def test_a_refused_login_replaces_no_hash(world):
    async def story() -> None:
        ann = await world.new_user()
        world.passwords.strength = 2
        with pytest.raises(InvalidCredentials):
            await world.do.authentication.login(email=ann.email, password="wrong password", source=SOURCE)
        assert await world.user() == ann

    asyncio.run(story())


@pytest.mark.parametrize("while_what", ["while_verifying", "while_hashing"])
def test_a_password_that_was_replaced_meanwhile_is_refused_and_stays_replaced(world, while_what):
    async def story() -> None:
        ann = await world.new_user()
        world.passwords.strength = 2
        setattr(
            world.passwords, while_what, lambda: world.do.accounts.set_password(email=ann.email, password=NEW_PASSWORD)
        )
        with pytest.raises(InvalidCredentials):
            await world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)
        assert await world.do.authentication.login(email=ann.email, password=NEW_PASSWORD, source=SOURCE)
        with pytest.raises(InvalidCredentials):
            await world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)

    asyncio.run(story())


@pytest.mark.parametrize("while_what", ["while_verifying", "while_hashing"])
def test_an_account_that_was_switched_off_meanwhile_is_refused_and_stays_off(world, while_what):
    async def story() -> None:
        ann = await world.new_user()
        world.passwords.strength = 2
        setattr(world.passwords, while_what, lambda: world.do.accounts.deactivate(email=ann.email))
        with pytest.raises(InvalidCredentials):
            await world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)
        assert (await world.user()).is_active is False

    asyncio.run(story())


def login_of_another_process(world: World) -> Event:
    """A login that does not wait for the turn of a login in this process."""
    login = world.do.authentication.login
    checks = replace(login.checks, queue=RoundRobinLoginQueue(turns=1))
    return partial(replace(login, checks=checks), email="ann@example.com", password=PASSWORD, source=SOURCE)


@pytest.mark.parametrize("while_what", ["while_verifying", "while_hashing"])
def test_a_hash_that_another_login_has_renewed_meanwhile_lets_its_user_in(world, while_what):
    async def story() -> None:
        ann = await world.new_user()
        world.passwords.strength = 2
        setattr(world.passwords, while_what, login_of_another_process(world))
        assert await world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)
        assert not world.passwords.needs_rehash((await world.user()).password_hash)

    asyncio.run(story())


def test_hashes_that_two_logins_renew_at_once_let_both_in(world, monkeypatch):
    async def story() -> None:
        ann = await world.new_user()
        world.passwords.strength = 2
        login = world.do.authentication.login

        # The other login ends between the check of this login and its session.
        @asynccontextmanager
        async def write_after_the_other(user_id: int) -> AsyncIterator[AccountWork]:
            monkeypatch.undo()
            assert await login_of_another_process(world)()
            async with world.accounts.write(user_id) as work:
                yield work

        monkeypatch.setattr(world.accounts, "write", write_after_the_other)
        assert await login(email=ann.email, password=PASSWORD, source=SOURCE)
        assert not world.passwords.needs_rehash((await world.user()).password_hash)

    asyncio.run(story())


@pytest.mark.parametrize("while_what", ["while_verifying", "while_hashing"])
def test_a_login_that_renews_the_hash_meanwhile_does_not_make_the_present_password_wrong(world, while_what):
    async def story() -> None:
        ann = await world.new_user()
        world.passwords.strength = 2
        login = world.do.authentication.login
        setattr(world.passwords, while_what, login_of_another_process(world))
        await world.do.accounts.change_password(
            caller=Caller(user_id=ann.id), current_password=PASSWORD, new_password=NEW_PASSWORD, source=SOURCE
        )
        assert await login(email=ann.email, password=NEW_PASSWORD, source=SOURCE)
        with pytest.raises(InvalidCredentials):
            await login(email=ann.email, password=PASSWORD, source=SOURCE)

    asyncio.run(story())


@pytest.mark.parametrize("change", ["set_password", "deactivate"])
def test_a_change_between_the_check_of_a_password_and_the_session_is_not_overlooked(world, monkeypatch, change):
    async def story() -> None:
        ann = await world.new_user()

        @asynccontextmanager
        async def write_after_the_change(user_id: int) -> AsyncIterator[AccountWork]:
            monkeypatch.undo()
            more = {"password": NEW_PASSWORD} if change == "set_password" else {}
            await getattr(world.do.accounts, change)(email=ann.email, **more)
            async with world.accounts.write(user_id) as work:
                yield work

        monkeypatch.setattr(world.accounts, "write", write_after_the_change)
        with pytest.raises(InvalidCredentials):
            await world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)
        async with world.accounts.read() as view:
            sessions = await view.sessions.list(user_id=ann.id, now=world.clock(), skip=0, limit=1)
        assert sessions.total == 0

    asyncio.run(story())


def test_an_old_password_is_refused_that_was_replaced_while_its_login_waited_for_a_turn(world):
    async def story() -> None:
        ann = await world.new_user()
        turn = world.queue.turn(LoginAttempt.of(email="bob@example.com", source="198.51.100.1"), failures=0)
        async with turn:
            waiting = asyncio.create_task(
                world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)
            )
            # Let it come to the queue, which it does in fewer steps.
            for _ in range(20):
                await asyncio.sleep(0)
            assert world.queue.under_way(LoginAttempt.of(email=ann.email, source=SOURCE).keys)
            await world.do.accounts.set_password(email=ann.email, password=NEW_PASSWORD)
        with pytest.raises(InvalidCredentials):
            await waiting

    asyncio.run(story())


# Logins while nothing can be written.


def test_a_right_password_is_let_in_though_the_failures_cannot_be_cleared(world, caplog, monkeypatch):
    async def story() -> None:
        ann = await world.new_user()
        with pytest.raises(InvalidCredentials):
            await world.do.authentication.login(email=ann.email, password="wrong password", source=SOURCE)

        async def refuse_to_clear(_: Sequence[str]) -> None:
            raise StoreUnavailable(reason="the disk is full")

        monkeypatch.setattr(world.failures, "clear", refuse_to_clear)
        assert await world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)

    caplog.set_level(logging.WARNING)
    asyncio.run(story())
    assert [record.getMessage() for record in caplog.records if "the disk is full" in record.getMessage()] == [
        "Login of user 1: could not clear the failed logins: The database is not available at the moment; try again"
        " shortly (the disk is full)"
    ]


def test_a_right_password_opens_no_session_while_none_can_be_written(world, monkeypatch):
    async def story() -> None:
        ann = await world.new_user()

        def refuse_to_write(_: int) -> None:
            raise StoreUnavailable(reason="the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(world.accounts, "write", refuse_to_write)
            with pytest.raises(StoreUnavailable):
                await world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)
        assert await world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)

    asyncio.run(story())


def test_a_right_password_does_not_wait_for_slow_clearing_which_goes_on_after_the_answer(world, caplog, monkeypatch):
    monkeypatch.setattr(password_checks, "WRITE_SECONDS", 0.05)
    attempt = LoginAttempt.of(email="ann@example.com", source=SOURCE)

    async def story() -> None:
        ann = await world.new_user()
        with pytest.raises(InvalidCredentials):
            await world.do.authentication.login(email=ann.email, password="wrong password", source=SOURCE)
        may_clear = asyncio.Event()

        async def clear_late(keys: Sequence[str]) -> None:
            await may_clear.wait()
            await MemoryLoginFailures.clear(world.failures, keys)

        monkeypatch.setattr(world.failures, "clear", clear_late)
        assert await world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)
        assert await world.failures.find(attempt.keys_of_account)
        (task,) = world.do.authentication.login.checks._unfinished
        may_clear.set()
        await task
        assert not await world.failures.find(attempt.keys_of_account)

    asyncio.run(story())
    assert (
        "Login of user 1: the database takes more than 0.05 s to write; the login does not wait longer"
        in caplog.messages
    )


@pytest.mark.parametrize("where", ["find", "add", "read", "verify"])
def test_a_login_that_is_not_decided_in_time_is_refused_and_leaves_nothing_behind(world, monkeypatch, where):
    monkeypatch.setattr(password_checks, "DECISION_SECONDS", 0.05)
    attempt = LoginAttempt.of(email="ann@example.com", source=SOURCE)

    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    @asynccontextmanager
    async def never_read() -> AsyncIterator[None]:
        await never()
        yield

    async def story() -> None:
        await world.new_user()
        with monkeypatch.context() as patch:
            if where == "read":
                patch.setattr(world.accounts, "read", never_read)
            elif where == "verify":
                patch.setattr(world.passwords, "verify", never)
            else:
                patch.setattr(world.failures, where, never)
            if where == "add":
                # The clock steps back after a failure, which is then counted anew before anything else.
                await MemoryLoginFailures.add(world.failures, attempt.keys, at=world.clock() + timedelta(days=1))
            with pytest.raises(LoginTookTooLong):
                await world.do.authentication.login(email="ann@example.com", password=PASSWORD, source=SOURCE)
        assert world.queue.under_way(attempt.keys) == {}
        assert await world.do.authentication.login(email="ann@example.com", password=PASSWORD, source=SOURCE)

    asyncio.run(story())


def test_no_block_of_the_store_is_open_while_a_password_is_hashed_or_verified(world):
    async def story() -> None:
        open_blocks = []

        async def look() -> None:
            open_blocks.append(world.accounts.open_blocks)

        world.passwords.while_hashing = look
        ann = await world.new_user()
        world.passwords.while_hashing = look
        await world.do.accounts.set_password(email=ann.email, password=PASSWORD)
        world.passwords.strength = 2
        world.passwords.while_hashing = world.passwords.while_verifying = look
        await world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)
        world.passwords.while_hashing = world.passwords.while_verifying = look
        await world.do.accounts.change_password(
            caller=Caller(user_id=ann.id), current_password=PASSWORD, new_password=NEW_PASSWORD, source=SOURCE
        )
        assert open_blocks == [0, 0, 0, 0, 0, 0]

    asyncio.run(story())


def test_the_queue_is_told_of_logins_that_have_succeeded_and_of_no_others(world, monkeypatch):
    async def story() -> None:
        ann = await world.new_user()
        noted: list[LoginAttempt] = []
        monkeypatch.setattr(world.queue, "note_success", noted.append)
        with pytest.raises(InvalidCredentials):
            await world.do.authentication.login(email=ann.email, password="wrong password", source=SOURCE)
        assert noted == []
        await world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)
        assert noted == [LoginAttempt.of(email=ann.email, source=SOURCE)]

    asyncio.run(story())


def test_the_token_of_a_user_who_is_switched_off_is_refused_at_once(world):
    async def story() -> None:
        ann = await world.new_user()
        token = (await world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)).access_token
        await world.do.accounts.deactivate(email=ann.email)
        with pytest.raises(InvalidToken):
            await world.do.authentication.authenticate(credential=token)

    asyncio.run(story())


def test_a_user_who_is_switched_on_again_logs_in_again_because_the_token_of_before_has_ended(world):
    async def story() -> None:
        ann = await world.new_user()
        token = (await world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)).access_token
        await world.do.accounts.deactivate(email=ann.email)
        await world.do.accounts.activate(email="ANN@example.com")
        with pytest.raises(InvalidToken):
            await world.do.authentication.authenticate(credential=token)
        token = (await world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)).access_token
        assert (await world.do.authentication.authenticate(credential=token)).user_id == ann.id

    asyncio.run(story())


def test_a_token_leads_to_its_user_and_session_until_it_expires(world):
    async def story() -> None:
        await world.new_user("zoe@example.com")
        ann = await world.new_user("ann@example.com")
        login = await world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)
        caller = await world.do.authentication.authenticate(credential=login.access_token)
        whole_second = world.clock().replace(microsecond=0)
        session_id = world.tokens.verify(login.access_token).session_id
        assert caller == Caller(user_id=ann.id, session_id=session_id, expires_at=whole_second + login.lifetime)

    asyncio.run(story())


def test_the_token_of_a_user_whose_password_is_replaced_is_refused_at_once(world):
    async def story() -> None:
        ann = await world.new_user()
        token = (await world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)).access_token
        await world.do.accounts.set_password(email=ann.email, password=NEW_PASSWORD)
        with pytest.raises(InvalidToken):
            await world.do.authentication.authenticate(credential=token)

    asyncio.run(story())


def test_a_token_of_an_unknown_session_or_of_another_users_session_is_refused(world):
    async def story() -> None:
        ann = await world.new_user()
        zoe = await world.new_user("zoe@example.com")
        login = await world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)
        session_id = world.tokens.verify(login.access_token).session_id
        for user_id, of_session in [(ann.id, NO_ID), (zoe.id, session_id), (NO_ID, session_id)]:
            with pytest.raises(InvalidToken):
                await world.do.authentication.authenticate(
                    credential=world.tokens.issue(user_id=user_id, session_id=of_session)
                )

    asyncio.run(story())


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "\ud800", "x" * 10_000])
def test_what_is_no_token_identifies_nobody(world, token):
    async def story() -> None:
        await world.new_user()
        with pytest.raises(InvalidToken):
            await world.do.authentication.authenticate(credential=token)

    asyncio.run(story())


def test_a_token_expires(world):
    async def story() -> None:
        ann = await world.new_user()
        token = (await world.do.authentication.login(email=ann.email, password=PASSWORD, source=SOURCE)).access_token
        world.clock.move(timedelta(minutes=30))
        with pytest.raises(InvalidToken):
            await world.do.authentication.authenticate(credential=token)

    asyncio.run(story())


@pytest.mark.parametrize("field", ["email", "password", "source"])
def test_a_login_with_a_value_that_is_not_text_is_refused(world, field):
    arguments = {"email": "ann@example.com", "password": PASSWORD, "source": SOURCE} | {field: 5}
    with pytest.raises(InvalidInput) as refusal:
        asyncio.run(world.do.authentication.login(**arguments))
    assert (refusal.value.field, refusal.value.rule) == (field, "string_type")


@pytest.mark.parametrize("credential", [None, b"token", 5])
def test_a_credential_that_is_not_text_is_refused(world, credential):
    with pytest.raises(InvalidInput) as refusal:
        asyncio.run(world.do.authentication.authenticate(credential=credential))
    assert (refusal.value.field, refusal.value.rule) == ("credential", "string_type")
