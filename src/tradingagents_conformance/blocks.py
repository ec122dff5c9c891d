"""Settings that the contracts of stores share."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ClassVar, Concatenate, ParamSpec, TypeVar

import pytest


class BlocksContract:
    """The settings of a contract with blocks. A subclass may set these attributes."""

    histories: ClassVar[int] = 25
    """How many random histories the tests try. They are the same in every run."""

    history_length: ClassVar[int] = 20
    """The maximum number of operations in a history: a few blocks one after another, or blocks that overlap."""

    a_while: ClassVar[float] = 0.2
    """Seconds for which a test watches that a block waits."""

    patience: ClassVar[float] = 30
    """Seconds after which a block counts as hanging."""

    shrinking: ClassVar[float] = 15
    """Seconds for which the tests look for a shorter history after a history has failed."""

    many_blocks: ClassVar[int] = 120
    """How many blocks fail one after another, and at once: more than the connections of any pool."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"


ContractT = TypeVar("ContractT", bound=BlocksContract)
P = ParamSpec("P")


def patiently(
    test: Callable[Concatenate[ContractT, P], Awaitable[None]],
) -> Callable[Concatenate[ContractT, P], Awaitable[None]]:
    """A test that fails instead of hanging: it may take as many seconds as the patience of its contract."""

    @wraps(test)
    async def run(self: ContractT, /, *args: P.args, **kwargs: P.kwargs) -> None:
        async with asyncio.timeout(self.patience):
            await test(self, *args, **kwargs)

    return run
