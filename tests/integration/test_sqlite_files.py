"""A database file that is removed or replaced while it is in use, and a full disk."""

import asyncio
import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Final, TypeAlias

import httpx
import pytest
from in_process import CACHE_SECONDS, Api, Stores
from processes import KEY, SERVE, Machine
from sqlalchemy import text
from sqlalchemy.engine import URL

from tradingagents_adapters.clock import utc_now
from tradingagents_adapters.sql import migrate, open_checked_database, open_database
from tradingagents_adapters.sql.accounts import SqlAccountStore
from tradingagents_adapters.sql.drivers import aiosqlite as adapter
from tradingagents_adapters.sql.login_failures import SqlLoginFailures
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.revision import REVISION
from tradingagents_adapters.sql.sqlite import check_files
from tradingagents_conformance.examples import CREATED, add_strategy, add_user, names
from tradingagents_core.domain.strategies import StrategyContent
from tradingagents_core.errors import StoreUnavailable

pytestmark = pytest.mark.anyio

OpenApi: TypeAlias = Callable[[Stores], AbstractAsyncContextManager[Api]]

STRATEGIES: Final = "/api/v1/strategies"


def sqlite_settings(file: Path) -> DatabaseOptions:
    return DatabaseOptions(url=URL.create("sqlite+aiosqlite", database=str(file)))


def remove(file: Path) -> None:
    file.unlink()


def is_there(file: Path) -> bool:
    return file.exists()


def put(other: Path, file: Path) -> None:
    """Move one file to the path of another file, which it replaces."""
    other.replace(file)


@pytest.fixture
def file(tmp_path: Path, migrated_sqlite: Path) -> Path:
    """A file with the newest tables, empty."""
    return shutil.copyfile(migrated_sqlite, tmp_path / "store.db")


@pytest.fixture
def backup(file: Path) -> Path:
    """An unused copy of that file."""
    return Path(shutil.copyfile(file, file.with_name("backup.db")))


@pytest.fixture
async def stores(file: Path) -> AsyncIterator[Stores]:
    async with open_checked_database(sqlite_settings(file), migrates=True) as database:
        yield Stores.over(database)


def emails(file: Path) -> list[str]:
    """The e-mails of the accounts in the file at the path now."""
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [email for (email,) in connection.execute("SELECT email FROM tradingagents_users ORDER BY id")]


def lines_about(file: Path, caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if str(file) in record.getMessage()]


async def test_nothing_is_acknowledged_after_the_file_was_removed(stores: Stores, file: Path) -> None:
    ann = await add_user(stores.accounts, "ann@example.com")
    remove(file)
    for name in ("a", "b"):
        with pytest.raises(StoreUnavailable):
            await add_strategy(stores.strategies, ann.id, name)
    assert not is_there(file)


async def test_a_block_that_began_before_the_file_was_removed_is_not_acknowledged(stores: Stores, file: Path) -> None:
    ann = await add_user(stores.accounts, "ann@example.com")
    with pytest.raises(StoreUnavailable):
        async with stores.strategies.write(ann.id) as work:
            await work.strategies.add(StrategyContent(name="a"), at=CREATED)
            remove(file)


async def test_a_single_write_is_not_acknowledged_after_the_file_was_removed(file: Path) -> None:
    async with open_checked_database(sqlite_settings(file), migrates=True) as database:
        failures = SqlLoginFailures(database)
        await failures.add(["a"], at=utc_now())
        remove(file)
        with pytest.raises(StoreUnavailable):
            await failures.add(["a"], at=utc_now())


async def test_a_commit_is_not_acknowledged_when_the_file_was_removed_just_before_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    are_in_place = adapter.Files.are_in_place

    def look_and_remove(files: adapter.Files) -> bool:
        in_place = are_in_place(files)
        file.unlink(missing_ok=True)
        return in_place

    async with open_checked_database(sqlite_settings(file), migrates=True) as database:
        failures = SqlLoginFailures(database)
        await failures.add(["a"], at=utc_now())
        monkeypatch.setattr(adapter.Files, "are_in_place", look_and_remove)
        with pytest.raises(StoreUnavailable):
            await failures.clear(["a"])


async def test_a_reader_notices_before_long_that_the_file_was_removed(
    stores: Stores, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "CHECK_SECONDS", 0)
    ann = await add_user(stores.accounts, "ann@example.com")
    assert await names(stores.strategies, ann.id) == []
    remove(file)
    with pytest.raises(StoreUnavailable):
        await names(stores.strategies, ann.id)


async def test_the_log_names_the_file_once(
    file: Path, backup: Path, caplog: pytest.LogCaptureFixture, api_over: OpenApi
) -> None:
    caplog.set_level(logging.INFO, "tradingagents_adapters")
    async with (
        open_checked_database(sqlite_settings(file), migrates=True) as database,
        api_over(Stores.over(database)) as api,
    ):
        remove(file)
        answers = [await api.ann.post(STRATEGIES, json={"name": "a"}) for _ in range(5)]
        answers += await asyncio.gather(*[api.ann.get(STRATEGIES) for _ in range(5)])
        assert {answer.status_code for answer in answers} == {503}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
        assert [line for line in lines_about(file, caplog) if line != f"The database is {file}."] == [
            f"The database file {file} was removed or replaced. Requests that need the database are answered with 503 "
            "until it can be used."
        ]
        assert "Answered 503" not in caplog.text

        shutil.copyfile(backup, file)
        caplog.clear()
        # The other file does not have the account, and the caller is remembered no longer.
        api.clock.stop()
        api.clock.move(seconds=CACHE_SECONDS + 1)
        assert (await api.ann.get(STRATEGIES)).status_code == 401
        assert [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG] == [
            "The database can be used now."
        ]


async def test_a_file_that_was_put_in_place_of_the_other_is_used_from_then_on(
    stores: Stores, file: Path, backup: Path
) -> None:
    await add_user(stores.accounts, "ann@example.com")
    put(backup, file)
    with pytest.raises(StoreUnavailable):
        await add_user(stores.accounts, "lost@example.com")
    await add_user(stores.accounts, "bob@example.com")
    # The log of the previous file must not be read into this file.
    assert emails(file) == ["bob@example.com"]


async def test_a_file_that_was_moved_away_takes_all_with_it_that_was_acknowledged(
    stores: Stores, file: Path, tmp_path: Path
) -> None:
    await add_user(stores.accounts, "ann@example.com")
    moved = tmp_path / "moved.db"
    put(file, moved)
    with pytest.raises(StoreUnavailable):
        await add_user(stores.accounts, "lost@example.com")
    with pytest.raises(StoreUnavailable):
        await add_user(stores.accounts, "lost@example.com")
    assert emails(moved) == ["ann@example.com"]
    put(moved, file)
    await add_user(stores.accounts, "bob@example.com")
    assert emails(file) == ["ann@example.com", "bob@example.com"]


@pytest.mark.parametrize("ending", ["-wal", "-shm"])
async def test_what_was_acknowledged_outlives_a_log_or_index_that_was_removed(
    stores: Stores, file: Path, tmp_path: Path, ending: str
) -> None:
    await add_user(stores.accounts, "ann@example.com")
    file.with_name(f"{file.name}{ending}").unlink()
    with pytest.raises(StoreUnavailable):
        await add_user(stores.accounts, "lost@example.com")
    await add_user(stores.accounts, "bob@example.com")
    # The state after a crash of the machine: without open connections.
    crashed = tmp_path / "crashed.db"
    for each in ("", "-wal"):
        shutil.copyfile(f"{file}{each}", f"{crashed}{each}")
    assert emails(crashed) == ["ann@example.com", "bob@example.com"]


async def test_an_empty_file_in_place_of_the_database_stays_empty(
    stores: Stores, file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await add_user(stores.accounts, "ann@example.com")
    empty = tmp_path / "empty.db"
    sqlite3.connect(empty).close()
    put(empty, file)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await add_user(stores.accounts, "bob@example.com")
    assert caplog.text.count("run `tradingagents migrate`") == 1


async def test_a_file_with_an_older_schema_is_migrated_as_at_a_start(stores: Stores, file: Path, backup: Path) -> None:
    await add_user(stores.accounts, "ann@example.com")
    await migrate(sqlite_settings(backup), to="0003")
    put(backup, file)
    with pytest.raises(StoreUnavailable):
        await add_user(stores.accounts, "lost@example.com")
    await add_user(stores.accounts, "bob@example.com")
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT version_num FROM tradingagents_alembic_version").fetchall() == [(REVISION,)]


async def test_a_file_behind_a_link_may_be_used_and_is_noticed_when_the_link_leads_elsewhere(
    file: Path, backup: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(file)
    async with open_checked_database(sqlite_settings(link), migrates=True) as database:
        stores = Stores.over(database)
        await add_user(stores.accounts, "ann@example.com")
        link.unlink()
        link.symlink_to(backup)
        with pytest.raises(StoreUnavailable):
            await add_user(stores.accounts, "lost@example.com")
        await add_user(stores.accounts, "bob@example.com")
    assert (emails(file), emails(backup)) == (["ann@example.com"], ["bob@example.com"])


async def test_a_path_with_characters_that_mean_something_in_a_uri_is_that_of_a_file(
    tmp_path: Path, migrated_sqlite: Path
) -> None:
    file = shutil.copyfile(migrated_sqlite, tmp_path / "50%20 of?a#b&mode=memory.db")
    async with open_database(sqlite_settings(file)) as database:
        await add_user(SqlAccountStore(database), "ann@example.com")
    assert emails(file) == ["ann@example.com"]


def test_a_created_strategy_is_never_acknowledged_and_gone_after_a_restart(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"JWT_SECRET_KEY": KEY})
    machine.run("tradingagents", "users", "create", "user@example.com", "--password-stdin", typed="SecurePassword123\n")
    file = tmp_path / "tradingagents.db"
    with machine.serving(*SERVE) as server:
        headers = {"Authorization": f"Bearer {server.token('user@example.com', 'SecurePassword123')}"}
        # The backup has the session of the token.
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("VACUUM INTO ?", [str(tmp_path / "backup.db")])

        def create(name: str) -> int:
            return server.client.post(STRATEGIES, headers=headers, json={"name": name}).status_code

        assert create("before") == 201
        file.unlink()
        assert [create("while it is away") for _ in range(3)] == [503, 503, 503]
        assert server.client.get("/health").status_code == 200
        (tmp_path / "backup.db").rename(file)
        assert create("after") == 201
        output = server.output()
        server.kill()
    assert output.count(f"{file} was removed or replaced") == 1
    with machine.serving(*SERVE) as server:
        listed = server.client.get(STRATEGIES, headers=headers).json()
    assert [item["name"] for item in listed["items"]] == ["after"]


# A full disk


@asynccontextmanager
async def api_over_limited(file: Path, pragma: str, api_over: OpenApi) -> AsyncIterator[Api]:
    """The API over a file. From here on, the writing connection has this limit."""
    async with open_database(sqlite_settings(file)) as database, api_over(Stores.over(database)) as api:
        connection = await database.acquire(to_write=True)
        await connection.execute(f"PRAGMA {pragma}")
        await database.release(connection)
        yield api


async def _create_until_refused(client: httpx.AsyncClient) -> httpx.Response:
    for number in range(100):
        body = {"name": f"{number}", "parameters": {"text": "x" * 10_000}}
        answer = await client.post(STRATEGIES, json=body)
        if answer.status_code != 201:
            return answer
    raise AssertionError("the disk takes everything")


@pytest.mark.parametrize("pragma", ["max_page_count = 1", "query_only = ON"], ids=["full", "read-only"])
async def test_a_disk_that_is_full_or_read_only_is_503_for_writes_and_no_matter_for_reads(
    file: Path, pragma: str, api_over: OpenApi
) -> None:
    async with api_over_limited(file, pragma, api_over) as api:
        refused = await _create_until_refused(api.ann)
        assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
        assert (await api.ann.get(STRATEGIES)).status_code == 200


# The beginning and the durability of transactions


async def test_a_block_that_reads_first_may_write_after_others_have(file: Path) -> None:
    async with open_database(sqlite_settings(file)) as database:
        stores = Stores.over(database)
        ann = await add_user(stores.accounts, "ann@example.com")
        with closing(sqlite3.connect(file, isolation_level=None, timeout=0)) as other_process:
            async with stores.accounts.write(ann.id) as work:
                assert await work.users.get(ann.id) == ann
                # A block that began as a reader would admit this writer, and could not write any more.
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    other_process.execute("UPDATE tradingagents_users SET email = 'b@example.com'")
                await work.users.replace(ann.deactivated(at=CREATED))
        async with stores.accounts.read() as view:
            assert await view.users.find(ann.id) == ann.deactivated(at=CREATED)


async def test_connections_write_each_commit_to_the_disk(file: Path) -> None:
    async with open_database(sqlite_settings(file)) as database:
        for to_write in (False, True):
            connection = await database.acquire(to_write=to_write)
            pragmas = [text(f"PRAGMA {name}") for name in ("synchronous", "journal_mode")]
            shown = [(await connection.fetch([pragma], {}))[0][0] for pragma in pragmas]
            await database.release(connection)
            assert shown == [2, "wal"]


@pytest.mark.anyio
async def test_the_outcome_of_a_commit_is_settled_before_a_cancelled_caller_goes_on(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await add_user(stores.accounts, "ann@example.com")
    committing, gate = asyncio.Event(), asyncio.Event()
    execute = adapter._AiosqliteConnection.execute

    async def execute_when_let(self: adapter._AiosqliteConnection, *statements: str) -> int:
        if "COMMIT" in statements:
            committing.set()
            await gate.wait()
        return await execute(self, *statements)

    monkeypatch.setattr(adapter._AiosqliteConnection, "execute", execute_when_let)
    caller = asyncio.ensure_future(add_strategy(stores.strategies, ann.id, "a"))
    async with asyncio.timeout(30):
        await committing.wait()
    caller.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not caller.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await names(stores.strategies, ann.id) == ["a"]


async def test_callers_who_come_at_once_open_one_connection_to_read_and_one_to_write(file: Path) -> None:
    # The threads of other tests may end at any time.
    before = set(threading.enumerate())
    async with open_database(sqlite_settings(file)) as database:
        stores = Stores.over(database)
        users = await asyncio.gather(*[add_user(stores.accounts, f"user{number}@example.com") for number in range(5)])
        await asyncio.gather(*[names(stores.strategies, user.id) for user in users])
        assert len(set(threading.enumerate()) - before) == 2
    assert set(threading.enumerate()) - before == set()


async def test_a_file_that_is_replaced_while_it_is_opened_is_not_used(
    file: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files_of = adapter.Files.of

    def replace_and_look(path: Path) -> adapter.Files:
        if is_there(backup):
            put(backup, file)
        return files_of(path)

    monkeypatch.setattr(adapter.Files, "of", replace_and_look)
    async with open_database(sqlite_settings(file)) as database:
        with pytest.raises(StoreUnavailable) as refused:
            await add_user(SqlAccountStore(database), "lost@example.com")
        assert "replaced" in refused.value.reason
        await add_user(SqlAccountStore(database), "kept@example.com")
    assert emails(file) == ["kept@example.com"]


async def test_a_file_that_is_replaced_between_a_read_and_the_first_write_is_noticed(
    stores: Stores, file: Path, backup: Path
) -> None:
    async with stores.accounts.read() as view:
        assert await view.users.list() == []
    put(backup, file)
    with pytest.raises(StoreUnavailable):
        await add_user(stores.accounts, "lost@example.com")
    await add_user(stores.accounts, "kept@example.com")
    assert emails(file) == ["kept@example.com"]


async def test_a_log_that_cannot_be_written_into_the_old_file_is_not_removed(
    stores: Stores, file: Path, backup: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(adapter, "BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM tradingagents_users").fetchall()
        await add_user(stores.accounts, "ann@example.com")
        put(backup, file)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await add_user(stores.accounts, "lost@example.com")
    assert is_there(file.with_name("store.db-wal"))
    assert any("its log cannot be written into the old file" in line for line in lines_about(file, caplog))


async def test_an_index_that_another_process_removes_during_the_check_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, index = tmp_path / "shared.db", tmp_path / "shared.db-shm"
    file.touch()
    index.touch()
    really_may = os.access

    def access_after_removal(path: Path, mode: int, **options: bool) -> bool:
        if path == index:
            remove(index)
        return really_may(path, mode, **options)

    monkeypatch.setattr(os, "access", access_after_removal)
    check_files(file)
    assert not index.exists()
