"""Settings that the contracts of stores share."""

from typing import ClassVar

import pytest


class BlocksContract:
    """The settings of a contract with blocks. A subclass may set these attributes."""

    histories: ClassVar[int] = 25
    """How many random histories the tests try. They are the same in every run."""

    history_length: ClassVar[int] = 20
    """The maximum number of blocks, or groups of overlapping blocks, in a history."""

    a_while: ClassVar[float] = 0.2
    """Seconds for which a test watches that a block waits."""

    patience: ClassVar[float] = 30
    """Seconds after which a block counts as hanging."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"
