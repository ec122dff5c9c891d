"""Every error of the packages crosses processes and is copied as it is."""

import copy
import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import FunctionType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tradingagents_adapters
import tradingagents_cli
import tradingagents_conformance
import tradingagents_core
import tradingagents_http
import tradingagents_service
from tradingagents_core.domain.strategies import StrategyContent
from tradingagents_core.errors import InvalidInput, Misuse, StrategyNotFound, TradingAgentsError

PACKAGES = (
    tradingagents_adapters,
    tradingagents_cli,
    tradingagents_conformance,
    tradingagents_core,
    tradingagents_http,
    tradingagents_service,
)
# Imported where they are run by alembic or by a web server only, because the import has effects.
RUN_BY_OTHERS = {"tradingagents_adapters.sql.alembic_env", "tradingagents_service.asgi"}


class QuotaExceeded(TradingAgentsError):
    """An error of an application that embeds the core."""

    def __init__(self, *, quota: int, hint: str) -> None:
        super().__init__(f"more than {quota} strategies", hint)
        self.quota = quota


class Forgotten(Misuse):
    def __init__(self, *, what: str) -> None:
        super().__init__(f"{what} was forgotten")
        self.what = what


def classes(family: type[BaseException]) -> Iterator[type[BaseException]]:
    for subclass in family.__subclasses__():
        yield subclass
        yield from classes(subclass)


def classes_of_the_packages() -> list[type[BaseException]]:
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name not in RUN_BY_OTHERS:
                importlib.import_module(module.name)
    ours = {each for each in classes(BaseException) if each.__module__.startswith("tradingagents_")}
    return sorted(ours, key=lambda each: (each.__module__, each.__qualname__))


ERRORS = classes_of_the_packages()


def errors_of(kind: type[BaseException]) -> st.SearchStrategy[BaseException]:
    """Errors of this class, with all arguments that the constructor takes."""
    if not isinstance(kind.__init__, FunctionType):
        return st.builds(kind, st.text())
    optional = [
        name
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.default is not parameter.empty
    ]
    return st.builds(kind, **dict.fromkeys(optional, ...))


def described(error: BaseException) -> Any:
    return type(error), str(error), error.args, vars(error)


WAYS = {
    **{
        f"pickle protocol {protocol}": lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("kind", [*ERRORS, QuotaExceeded, Forgotten], ids=lambda kind: kind.__name__)
@settings(max_examples=30)
@given(data=st.data(), way=st.sampled_from(list(WAYS)))
def test_a_copy_of_an_error_keeps_class_text_facts_and_notes(kind, data, way):
    error = data.draw(errors_of(kind))
    error.add_note("while strategies were imported")
    assert described(WAYS[way](error)) == described(error)


def test_the_errors_of_the_packages_are_found():
    assert {InvalidInput, StrategyNotFound, TradingAgentsError} <= set(ERRORS)


def named(name: str) -> StrategyContent:
    return StrategyContent(name=name)


def test_an_error_comes_back_from_another_process_and_the_pool_goes_on():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with pytest.raises(InvalidInput) as refusal:
            pool.submit(named, " ").result()
        assert (refusal.value.field, refusal.value.rule, refusal.value.path) == ("name", "blank", ())
        assert pool.submit(named, "Crossover").result() == StrategyContent(name="Crossover")
