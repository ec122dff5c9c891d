import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from operator import attrgetter
from pathlib import Path

import pytest

from tradingagents_core.use_cases import (
    AccountUseCases,
    AuthenticationUseCases,
    StrategyUseCases,
)

GROUPS = {"strategies": StrategyUseCases, "accounts": AccountUseCases, "authentication": AuthenticationUseCases}


@pytest.mark.parametrize(
    "name",
    [f"{group}.{field.name}" for group, kind in GROUPS.items() for field in fields(kind) if field.name != "store"],
)
def test_a_use_case_stays_in_front_of_the_ports_that_it_was_made_for(world, name):
    use_case = attrgetter(name)(world.do)
    with pytest.raises(FrozenInstanceError):
        setattr(use_case, fields(use_case)[0].name, None)


REPLACED = """
from dataclasses import replace

from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.strategies import Strategy, StrategyContent
from tradingagents_core.use_cases import UseCases


class Audited:
    def __init__(self, core: UseCases) -> None:
        self._create = core.strategies.create

    async def __call__(self, *, caller: Caller, content: StrategyContent) -> Strategy:
        return await self._create(caller=caller, content=content)


async def create(*, caller: Caller, content: {content}) -> Strategy:
    raise NotImplementedError


def audited(core: UseCases) -> UseCases:
    strategies = replace(core.strategies, create=Audited(core))
    return replace(core, strategies=replace(strategies, create=create))
"""


@pytest.mark.parametrize(("content", "status"), [("StrategyContent", 0), ("str", 1)])
def test_a_function_of_an_embedder_can_replace_a_use_case_under_strict_typing(tmp_path: Path, content, status):
    (tmp_path / "replaced.py").write_text(REPLACED.format(content=content))
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "replaced.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert checked.returncode == status, checked.stdout + checked.stderr
    assert ('incompatible type "def create' in checked.stdout) == bool(status), checked.stdout
