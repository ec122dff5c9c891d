"""What all stores check in the same way: who opens a block, where and when."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from tradingagents_core.errors import NestedBlock, NotRunning, WrongEventLoop


class Blocks:
    """The open writing blocks of a store, one for each task."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object] | None] = set()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """A block in which the present task has a writing block open.

        Raises:
            NestedBlock: this task has one open already.
        """
        leave = self.enter()
        try:
            yield
        finally:
            leave()

    def enter(self) -> Callable[[], None]:
        """Note that the present task opens a writing block. Returns a function to call at the end of the block.

        Raises:
            NestedBlock: this task has one open already.
        """
        task = asyncio.current_task()
        if task in self._tasks:
            raise NestedBlock
        self._tasks.add(task)
        # Not the task that is current at the end: that may be another one.
        return partial(self._tasks.discard, task)


class Lifetime:
    """When and where a store may be used: from its start to its end, in one event loop."""

    def __init__(self, *, starts_by_itself: bool = False) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        """The event loop of the store; None before the start and after the end."""
        self._starts_by_itself = starts_by_itself
        """Whether the first use is the start, also the first use in a later event loop."""

    def start(self) -> None:
        """Begin in the present event loop, also after an earlier end, or after the end of an earlier event loop.

        Raises:
            WrongEventLoop: the store is in use in another event loop.
        """
        loop = asyncio.get_running_loop()
        if self.loop is not None and self.loop is not loop and not self.loop.is_closed():
            raise WrongEventLoop
        self.loop = loop

    def check(self) -> None:
        """Return where the store may be used.

        Raises:
            NotRunning: before the start, after the end, or after the end of the event loop.
            WrongEventLoop: the store was started in another event loop.
        """
        if self.loop is asyncio.get_running_loop():
            return
        if self._starts_by_itself:
            self.start()
            return
        if self.loop is None or self.loop.is_closed():
            raise NotRunning
        raise WrongEventLoop

    def end(self) -> None:
        """End. A later `start` begins again."""
        self.loop = None
        self._starts_by_itself = False
