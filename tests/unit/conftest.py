from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from worlds import World


class SteeredClock:
    """A clock that stands still until a test moves it, in either direction."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, by: timedelta) -> None:
        self.now += by


# A factory of session scope: a property needs a new clock for each of its examples.
@pytest.fixture(scope="session")
def new_clock() -> Callable[[], SteeredClock]:
    return SteeredClock


@pytest.fixture
def clock() -> SteeredClock:
    return SteeredClock()


@pytest.fixture(scope="session")
def new_world(new_clock: Callable[[], SteeredClock]) -> Callable[[], World]:
    return lambda: World(new_clock())


@pytest.fixture
def world(clock: SteeredClock) -> World:
    return World(clock)
