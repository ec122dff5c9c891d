"""Writers of one row pass their process one at a time."""

import asyncio

import pytest

from tradingagents_adapters.sql.row_queue import RowQueue
from tradingagents_core.errors import StoreUnavailable

pytestmark = pytest.mark.anyio

ROW = "row 1 of owners"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_writers_of_different_rows_do_not_wait_for_each_other() -> None:
    queue = RowQueue(0)
    async with queue.passed(ROW), queue.passed("row 2 of owners"):
        pass


async def test_writers_of_one_row_pass_in_the_order_of_their_arrival() -> None:
    queue, passed = RowQueue(60), []

    async def write(number: int) -> None:
        async with queue.passed(ROW):
            passed.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*[write(number) for number in range(5)])
    assert passed == [0, 1, 2, 3, 4]


async def test_a_writer_that_waits_too_long_is_refused_and_the_reason_names_the_row() -> None:
    queue = RowQueue(0.01)
    async with queue.passed(ROW):
        with pytest.raises(StoreUnavailable) as refusal:
            async with queue.passed(ROW):
                pass
    assert refusal.value.reason == "timed out after 0.01 s waiting for the lock of row 1 of owners"


async def test_a_writer_that_comes_just_as_the_row_passes_to_another_waits_no_longer_than_everybody() -> None:
    queue = RowQueue(0.1)
    has_passed, may_end = asyncio.Event(), asyncio.Event()

    async def stay() -> None:
        async with queue.passed(ROW):
            has_passed.set()
            await may_end.wait()

    async with asyncio.timeout(60):
        first = queue.passed(ROW)
        await first.__aenter__()
        second = asyncio.ensure_future(stay())
        await asyncio.sleep(0)
        third = asyncio.ensure_future(queue.passed(ROW).__aenter__())
        # The row is the second one's, but the third sees first that it is free.
        await first.__aexit__(None, None, None)
        await has_passed.wait()
        done, _ = await asyncio.wait({third}, timeout=5)
        may_end.set()
        assert [type(each.exception()) for each in done] == [StoreUnavailable]
        await second
