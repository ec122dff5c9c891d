"""The measured services: this service, and the two others for comparison."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from processes import CHECKOUT, KEY, Machine
from processes import Server as Running

from benchmarks.databases import FIRST_REVISION, Contents, Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A service that answers the measured routes."""

    name: str
    command: tuple[str, ...]
    checkout: Path = CHECKOUT
    """The folder with its code."""
    revision: str = "head"
    """The revision of its schema."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Additional environment variables."""

    @contextmanager
    def serving(self, url: str, *options: str) -> Iterator[Running]:
        """Run the service on this database until the block ends."""
        path = f"{self.checkout / 'src'}{os.pathsep}{self.checkout}"
        variables = {
            "DATABASE_URL": url,
            "JWT_SECRET_KEY": KEY,
            "PYTHONPATH": path,
            # The tokens are valid until the longest measurement has ended.
            "JWT_EXPIRATION_MINUTES": "1440",
            "TRUSTED_PROXIES": '["127.0.0.1"]',
            **self.variables,
        }
        with (
            TemporaryDirectory(prefix="benchmark-") as folder,
            Machine(Path(folder), variables).serving(*self.command, *options) as running,
        ):
            yield running

    @contextmanager
    def serving_fresh(self, server: Server, contents: Contents) -> Iterator[Running]:
        """Run the service on a new database with these contents until the block ends."""
        with (
            server.fresh(contents, revision=self.revision, checkout=self.checkout) as url,
            self.serving(url) as running,
        ):
            yield running


def _plain(module: str) -> tuple[str, ...]:
    return ("uvicorn", f"benchmarks.{module}:app", "--no-access-log", "--log-level", "warning", "--no-server-header")


SERVICE: Final = Contender(name="this service", command=("tradingagents", "serve"))
FLOOR: Final = Contender(name="the floor", command=_plain("floor"), revision=FIRST_REVISION)
ORDINARY: Final = Contender(name="the ordinary way", command=_plain("ordinary"), revision=FIRST_REVISION)
ALL: Final = (SERVICE, FLOOR, ORDINARY)
