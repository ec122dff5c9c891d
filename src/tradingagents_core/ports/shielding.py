"""Shielding from cancellation, for the commits of stores."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def shielded(work: Awaitable[T]) -> T:
    """Wait until `work` has ended, and return its result.

    A cancellation of the caller does not reach `work`, and is raised only when `work` has ended. So the next statement
    of the caller sees the outcome.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                continue
        if not task.cancelled():
            task.exception()
        raise
