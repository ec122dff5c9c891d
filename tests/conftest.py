"""What all tests share: properties are tried with the same examples every time, and our own warnings are errors."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

CHECKOUT: Final = Path(__file__).parents[1]

settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")


def pytest_configure(config: pytest.Config) -> None:
    """Make an error of each warning that Python attributes to a module of this project.

    A warning is attributed to whoever calls what is deprecated, so a warning of another package says something about
    that package or about the machine. It is listed at the end of a run and fails no test.
    """
    config.addinivalue_line("filterwarnings", f"error:::({'|'.join(_modules())})$")


def _modules() -> Iterator[str]:
    """Patterns of the names that our modules have in warnings."""
    for root, packages in ((CHECKOUT / "src", "tradingagents*"), (CHECKOUT, "benchmarks")):
        for file in root.glob(f"{packages}/**/*.py"):
            yield re.escape(".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"))
    for file in (CHECKOUT / "tests").rglob("*.py"):
        yield re.escape(file.stem)
    for file in (CHECKOUT / "migrations").rglob("*.py"):
        # So alembic names what it loads.
        yield re.sub(r"\W", "_", file.name)
    # What the compiler warns of is attributed to the path of a file. A colon would end the pattern.
    yield f"{re.escape(str(CHECKOUT))}/(src|tests|benchmarks|migrations)/.*".replace(":", r"\x3a")
