"""What the contracts of stores have in common: how much they try, and how long they wait."""

from typing import ClassVar

import pytest


class BlocksContract:
    """What a contract about blocks may be told. A subclass may set these attributes."""

    histories: ClassVar[int] = 25
    """How many random histories are tried. They are the same ones every time; a greater number tries more."""

    history_length: ClassVar[int] = 20
    """How many blocks, or groups of overlapping blocks, a history has at most."""

    a_while: ClassVar[float] = 0.2
    """Seconds for which a block is watched to see that it waits."""

    patience: ClassVar[float] = 30
    """Seconds after which a block counts as hanging."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"
