"""Two hosts in one URL: the primary is lost, its standby takes over, and the service continues."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from callers import Callers, new_tokens
from postgresql import LOOPBACK, Database, PostgresqlServer, running_server
from processes import KEY, UVICORN, Machine

pytestmark = pytest.mark.anyio

RESUME_SECONDS: Final = 3
"""Seconds after the promotion within which writes have to succeed again."""


@contextmanager
def primary_and_standby() -> Iterator[tuple[PostgresqlServer, PostgresqlServer]]:
    """A primary whose commits wait for its standby. Both servers are durable."""
    with running_server(durable=True) as primary:
        primary.databases.maintenance.sql("CREATE DATABASE service")
        standby = primary.standby()
        try:
            yield primary, standby
        finally:
            standby.close()


LOSSES: Final[dict[str, Callable[[PostgresqlServer], None]]] = {
    "killed": PostgresqlServer.kill,
    "frozen": PostgresqlServer.freeze,
}
"""The ways to lose a primary: killed, so that its port refuses connections, or frozen, so that nothing answers."""


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)
async def test_writes_resume_on_the_standby_and_nothing_acknowledged_is_lost(
    tmp_path: Path, numbers: Callable[..., None], lose: Callable[[PostgresqlServer], None]
) -> None:
    with primary_and_standby() as (primary, standby):
        service_on = Database(
            primary.databases.named("service").url.set(
                query={
                    "host": (f"{LOOPBACK}:{primary.port}", f"{LOOPBACK}:{standby.port}"),
                    "target_session_attrs": "read-write",
                }
            )
        )
        machine = Machine(tmp_path, {"DATABASE_URL": service_on.setting, "JWT_SECRET_KEY": KEY})
        migrated = machine.run("tradingagents", "migrate")
        assert migrated.returncode == 0, migrated.stderr
        people = new_tokens(primary.databases.named("service"), 6)
        with machine.serving(*UVICORN, "--no-access-log") as service:
            async with Callers(service, people).connected() as callers, callers.calling():
                await callers.given(50)
                await asyncio.to_thread(lose, primary)
                lost = time.monotonic()
                await callers.refused(6)
                await asyncio.to_thread(standby.promote)
                promoted = time.monotonic()
                first = await callers.given()
                resumed = first.sent + first.seconds
                await callers.given(50)
            assert "Traceback" not in service.output(), service.output()

        callers.assert_held_up(standby.databases.named("service"))
        numbers(
            seconds_from_promotion_to_first_write=round(resumed - promoted, 3),
            seconds_from_loss_to_first_write=round(resumed - lost, 3),
            refused=len(callers.refusals),
            acknowledged=len(callers.acknowledged),
        )
        assert resumed - promoted < RESUME_SECONDS
