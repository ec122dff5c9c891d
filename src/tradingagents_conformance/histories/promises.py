"""The sentences of the ports, for the report of a history that breaks one of them."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import getdoc
from typing import Any, Self, TypeAlias

Port: TypeAlias = type[Any] | Callable[..., Any]
"""A port, or a method of a port."""


@dataclass(frozen=True)
class Promise:
    """A sentence of a port."""

    port: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.port}: {self.sentence}"


def promise(port: Port, words: str = "") -> Promise:
    """The first sentence with these words in the docstring of a port.

    Raises:
        LookupError: no sentence of the docstring contains the words.
    """
    paragraphs = re.split(r"\n\s*\n", (getdoc(port) or "").replace("Raises:\n", "\n"))
    sentences = [
        sentence
        for paragraph in paragraphs
        # An error of the section "Raises" begins a new sentence.
        for entry in re.split(r"\n(?=\s*\w+: )", paragraph)
        for sentence in re.split(r"(?<=\.) ", " ".join(entry.split()))
    ]
    for sentence in sentences:
        if words in sentence:
            return Promise(port.__qualname__, sentence)
    raise LookupError(f"no sentence of {port.__qualname__} contains {words!r}")


class PromiseBroken(AssertionError):
    """The store broke a promise. The cause is the error that showed this."""

    def __init__(self, promise: Promise) -> None:
        super().__init__(promise)
        self.promise = promise

    def __str__(self) -> str:
        return f"broke this sentence of {self.promise}"


@contextmanager
def keeping(promise: Promise) -> Iterator[None]:
    """A block in which a failing assertion means that the store broke this promise."""
    try:
        yield
    except PromiseBroken:
        raise
    except AssertionError as error:
        raise PromiseBroken(promise) from error


@dataclass(frozen=True)
class BlockPromises:
    """The sentences about blocks, which every store has."""

    committed: Promise
    rolled_back: Promise
    locked: Promise
    whole_or_undone: Promise
    committed_data: Promise
    as_stored: Promise
    caught: Promise

    @classmethod
    def of(cls, store: Any, reader: Port, repository: Port) -> Self:
        """The sentences of this store, and of its reader and its repository."""
        return cls(
            committed=promise(store.write, "a normal end commits"),
            rolled_back=promise(store.write, "an exception rolls"),
            locked=promise(store.write, "run one after another"),
            whole_or_undone=promise(store, "A cancelled caller"),
            committed_data=promise(store.read, "reads committed data"),
            as_stored=promise(reader, "exactly as they were stored"),
            caught=promise(repository, "catches the error"),
        )
