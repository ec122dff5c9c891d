from dataclasses import FrozenInstanceError, fields
from operator import attrgetter

import pytest

from tradingagents_core.use_cases import (
    AccountUseCases,
    AuthenticationUseCases,
    StrategyUseCases,
)

GROUPS = {"strategies": StrategyUseCases, "accounts": AccountUseCases, "authentication": AuthenticationUseCases}


@pytest.mark.parametrize(
    "name", [f"{group}.{use_case.name}" for group, kind in GROUPS.items() for use_case in fields(kind)]
)
def test_a_use_case_stays_in_front_of_the_ports_that_it_was_made_for(world, name):
    use_case = attrgetter(name)(world.do)
    with pytest.raises(FrozenInstanceError):
        setattr(use_case, fields(use_case)[0].name, None)
