import asyncio
import logging
import os
import sys
import threading

import argon2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tradingagents_adapters import argon2_passwords
from tradingagents_adapters.argon2_passwords import (
    MEMORY_KIB_MIN,
    NICENESS,
    PARALLELISM_MIN,
    TIME_COST_MIN,
    Argon2PasswordHasher,
)
from tradingagents_core.errors import PasswordHasherBusy

THREADS = 2
PASSWORD = "correct horse battery staple"

texts = st.text(max_size=40)


@pytest.fixture(scope="module")
def hasher() -> Argon2PasswordHasher:
    return Argon2PasswordHasher(memory_kib=16, time_cost=2, parallelism=1, threads=THREADS)


@pytest.fixture(scope="module")
def password_hash(hasher: Argon2PasswordHasher) -> str:
    return asyncio.run(hasher.hash(PASSWORD))


class Gated:
    """Lets hashing go on when the gate is opened, and writes down which threads came to it and how many at once."""

    def __init__(self, real: argon2.PasswordHasher) -> None:
        self.real = real
        self.gate = threading.Event()
        self.threads: set[threading.Thread] = set()
        self.verified: list[str] = []
        self.most_at_once = 0
        self._inside = 0
        self._counting = threading.Lock()

    def hash(self, password: bytes) -> str:
        self._pass()
        return self.real.hash(password)

    def verify(self, password_hash: str, password: bytes) -> bool:
        self.verified.append(password_hash)
        self._pass()
        return self.real.verify(password_hash, password)

    def _pass(self) -> None:
        with self._counting:
            self._inside += 1
            self.most_at_once = max(self.most_at_once, self._inside)
            self.threads.add(threading.current_thread())
        opened = self.gate.wait(timeout=10)
        with self._counting:
            self._inside -= 1
        assert opened, "the event loop, which opens the gate, was held up"


@pytest.fixture
def gated(hasher: Argon2PasswordHasher, monkeypatch: pytest.MonkeyPatch) -> Gated:
    gated = Gated(hasher._argon2)
    monkeypatch.setattr(hasher, "_argon2", gated)
    return gated


def verify(hasher: Argon2PasswordHasher, password: str, password_hash: str | None) -> bool:
    return asyncio.run(hasher.verify(password=password, password_hash=password_hash))


@given(texts.filter(lambda text: text.isprintable() or text == ""))
@example("")
@example("\x00")
@example("x" * 1024)
@example("🙂" * 256)
def test_the_password_that_was_hashed_is_verified(hasher, password):
    assert verify(hasher, password, asyncio.run(hasher.hash(password))) is True


@given(texts)
@example("")
@example(PASSWORD + "\x00")
@example(PASSWORD[:-1])
@example(PASSWORD.title())
@example("\ud800" * 8)
def test_every_other_password_is_not(hasher, password_hash, password):
    assert verify(hasher, password, password_hash) is (password == PASSWORD)


@pytest.mark.parametrize("length", [8, 72, 73, 256, 1024])
def test_the_last_character_counts_however_long_the_password_is(hasher, length):
    password_hash = asyncio.run(hasher.hash("x" * length))
    assert verify(hasher, "x" * length, password_hash) is True
    assert verify(hasher, "x" * (length - 1) + "y", password_hash) is False


def test_two_hashes_of_one_password_differ(hasher, password_hash):
    assert asyncio.run(hasher.hash(PASSWORD)) != password_hash


def test_hashes_are_argon2id_with_the_parameters_of_the_hasher(password_hash):
    assert password_hash.startswith("$argon2id$v=19$m=16,t=2,p=1$")


def test_the_parameters_are_those_of_the_cheat_sheet_where_nothing_else_is_said():
    assert (MEMORY_KIB_MIN, TIME_COST_MIN, PARALLELISM_MIN) == (19 * 1024, 2, 1)
    hasher = Argon2PasswordHasher()
    password_hash = asyncio.run(hasher.hash(PASSWORD))
    assert password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_an_unknown_user_has_no_password(hasher, password_hash, monkeypatch):
    monkeypatch.setattr(hasher, "_dummy_hash", password_hash)
    assert verify(hasher, PASSWORD, None) is False


def test_a_password_of_nobody_takes_as_much_work_as_one_of_somebody(hasher, password_hash, gated):
    gated.gate.set()
    verify(hasher, PASSWORD, None)
    (verified,) = gated.verified
    assert argon2.extract_parameters(verified) == argon2.extract_parameters(password_hash)


unreadable = pytest.mark.parametrize(
    "stored",
    [
        "",
        "\x00",
        "a password in plain text",
        "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
        "$argon2x$v=19$m=16,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
        "$argon2id$v=19$m=16,t=2,p=1$c2FsdHNhbHQ$",
        "$argon2id$v=19$m=16,t=2,p=1",
        "$argon2id$é",
        "\ud800",
    ],
)


@unreadable
def test_a_hash_that_cannot_be_read_was_made_from_no_password(hasher, stored):
    assert verify(hasher, PASSWORD, stored) is False


@given(texts, st.integers(0, 90))
def test_a_damaged_hash_was_made_from_no_password(hasher, password_hash, damage, cut):
    assert verify(hasher, PASSWORD, password_hash[:cut] + damage) is False


@unreadable
def test_a_hash_that_cannot_be_read_is_logged_without_saying_it(hasher, stored, caplog):
    verify(hasher, PASSWORD, stored)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert PASSWORD not in record.getMessage()
    assert not stored or stored not in record.getMessage()


@pytest.mark.parametrize("password", ["wrong", "", "\ud800"])
def test_a_wrong_password_is_not_logged(hasher, password_hash, caplog, password):
    verify(hasher, password, password_hash)
    assert caplog.records == []


@pytest.mark.parametrize("made_with", [{"memory_cost": 8}, {"time_cost": 1}, {"salt_len": 8}, {"hash_len": 16}])
def test_a_hash_made_with_weaker_parameters_needs_a_new_one(hasher, made_with):
    assert hasher.needs_rehash(made_by(made_with)) is True


@pytest.mark.parametrize("variant", [argon2.Type.I, argon2.Type.D])
def test_a_hash_of_another_variant_needs_a_new_one(hasher, variant):
    assert hasher.needs_rehash(made_by({"type": variant})) is True


@pytest.mark.parametrize(
    "made_with",
    [
        {},
        {"memory_cost": 32},
        {"time_cost": 3},
        {"salt_len": 32},
        {"hash_len": 64},
        {"memory_cost": 32, "parallelism": 2},
    ],
)
def test_a_hash_made_with_the_same_or_stronger_parameters_needs_none(hasher, made_with):
    assert hasher.needs_rehash(made_by(made_with)) is False


@pytest.mark.parametrize("made_with", [{"memory_cost": 8}, {"memory_cost": 32}, {"type": argon2.Type.I}])
def test_passwords_hashed_with_other_parameters_are_verified(hasher, made_with):
    assert verify(hasher, PASSWORD, made_by(made_with)) is True


def made_by(parameters: dict) -> str:
    return argon2.PasswordHasher(**{"memory_cost": 16, "time_cost": 2, "parallelism": 1} | parameters).hash(PASSWORD)


@pytest.mark.parametrize("operation", ["hash", "verify"])
def test_the_event_loop_goes_on_meanwhile(hasher, password_hash, gated, operation):
    async def story() -> None:
        job = asyncio.create_task(
            hasher.hash(PASSWORD)
            if operation == "hash"
            else hasher.verify(password=PASSWORD, password_hash=password_hash)
        )
        await asyncio.sleep(0)
        gated.gate.set()
        await job

    asyncio.run(story())
    (thread,) = gated.threads
    assert thread.name.startswith("argon2")


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_hashes_are_computed_at_once_than_there_are_threads(threads):
    hasher = Argon2PasswordHasher(memory_kib=16, time_cost=1, threads=threads)
    gated = hasher._argon2 = Gated(hasher._argon2)
    before = set(threading.enumerate())

    async def story() -> None:
        jobs = [asyncio.create_task(hasher.hash(PASSWORD)) for _ in range(6)]
        await asyncio.sleep(0)
        # All six have been handed over and none can end, so that every thread there will ever be is there now.
        assert len(set(threading.enumerate()) - before) == threads
        gated.gate.set()
        await asyncio.gather(*jobs)

    asyncio.run(story())
    assert gated.most_at_once <= threads


def test_a_password_that_would_wait_too_long_is_turned_away_and_room_is_made_again(monkeypatch):
    monkeypatch.setattr("tradingagents_adapters.argon2_passwords.WAITING_MAX", 3)
    hasher = Argon2PasswordHasher(memory_kib=8, time_cost=1, threads=1)
    gated = hasher._argon2 = Gated(hasher._argon2)

    async def story() -> None:
        jobs = [asyncio.create_task(hasher.hash(PASSWORD)) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(PasswordHasherBusy):
            await hasher.hash(PASSWORD)
        gated.gate.set()
        await asyncio.gather(*jobs)
        await hasher.hash(PASSWORD)

    asyncio.run(story())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts a thread's niceness for itself")
def test_a_thread_that_hashes_stands_back_behind_others():
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    hasher = Argon2PasswordHasher(memory_kib=8, time_cost=1)
    assert hasher._executor.submit(niceness).result() == max(NICENESS, niceness())
    assert NICENESS > 0


@pytest.mark.anyio
@pytest.mark.parametrize("weaker", [{"memory_kib": 512}, {"time_cost": 1}, {"memory_kib": 700, "time_cost": 1}])
@pytest.mark.parametrize("password", ["the password", "another one"])
async def test_a_weaker_hash_takes_as_much_work_as_nobodys(monkeypatch, weaker, password):
    now = {"memory_kib": 1024, "time_cost": 3}
    made_with = now | weaker
    password_hash = await Argon2PasswordHasher(**made_with).hash("the password")
    more = []
    monkeypatch.setattr(
        argon2_passwords,
        "hash_secret_raw",
        lambda *_, time_cost, memory_cost, **__: more.append(time_cost * memory_cost),
    )
    matches = await Argon2PasswordHasher(**now).verify(password=password, password_hash=password_hash)

    assert matches == (password == "the password")
    whole = now["memory_kib"] * now["time_cost"]
    assert made_with["memory_kib"] * made_with["time_cost"] + sum(more) == pytest.approx(whole, rel=0.02)


@pytest.mark.anyio
async def test_what_nobody_waits_for_any_more_counts_until_it_is_computed(monkeypatch):
    hasher = Argon2PasswordHasher(memory_kib=8, time_cost=1, threads=1)
    monkeypatch.setattr(hasher, "_under_way_max", 2)
    gated = Gated(hasher._argon2)
    monkeypatch.setattr(hasher, "_argon2", gated)
    given_up = [asyncio.create_task(hasher.hash(PASSWORD)) for _ in range(2)]
    await asyncio.sleep(0)
    for task in given_up:
        task.cancel()
    await asyncio.wait(given_up)
    with pytest.raises(PasswordHasherBusy):
        await hasher.hash(PASSWORD)
    gated.gate.set()
    # Its turn comes after theirs.
    await asyncio.get_running_loop().run_in_executor(hasher._executor, lambda: None)
    assert (await hasher.hash(PASSWORD)).startswith("$argon2id$")
