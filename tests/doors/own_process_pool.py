"""Errors of the core come back from other processes with their facts."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tradingagents_core.domain.strategies import StrategyContent
from tradingagents_core.errors import InvalidInput


def check(name: str) -> str:
    return StrategyContent(name=name).name


if __name__ == "__main__":
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for name in ("Crossover", " "):
            try:
                print(pool.submit(check, name).result())
            except InvalidInput as refusal:
                print(refusal.field, refusal.rule, refusal)
