"""The kit fails what is broken, with a test whose name says what is broken."""

import pkgutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree as ET

import broken_account_stores
import broken_callers
import broken_login_failures
import broken_services
import broken_strategy_stores
import pytest
from faults import Fault

import tradingagents_conformance

HERE = Path(__file__).parent
HISTORIES = "test_random_histories_match_plain_dictionaries"
SECONDS = 600
"""After which a process of tests counts as hanging, on however busy a machine."""

STRATEGY_STORES = str(HERE / "broken_strategy_stores.py")
ACCOUNT_STORES = str(HERE / "broken_account_stores.py")
OTHERS = [str(HERE / f"broken_{name}.py") for name in ("callers", "login_failures", "services")]
FAULTS = (
    broken_strategy_stores.FAULTS
    | broken_account_stores.FAULTS
    | broken_callers.FAULTS
    | broken_login_failures.FAULTS
    | broken_services.FAULTS
)
CORRECT_STRATEGY_STORES = [store.__name__ for store in broken_strategy_stores.CORRECT]
PLAIN = [
    *CORRECT_STRATEGY_STORES,
    "PlainAccountStore",
    "PlainCallers",
    "PlainLoginFailures",
    "PlainTokenService",
    "PlainPasswordHasher",
]

Tests = dict[str, set[str]]
"""The names of some tests, for each fault."""


def _run(arguments: list[str], report: Path) -> tuple[Tests, Tests]:
    """Run tests in a process of their own, and tell which ran and which of them failed."""
    quietly = [
        "-q",
        "-s",
        "--tb=no",
        "-rN",
        "--assert=plain",
        "-pno:logging",
        "-pno:cacheprovider",
        f"--junitxml={report}",
    ]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *quietly, *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        cwd=HERE.parents[1],
        check=False,
    )
    assert run.returncode in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}, run.stdout[-2000:] + run.stderr[-2000:]
    ran: Tests = {}
    failed: Tests = {}
    for case in ET.parse(report).iter("testcase"):
        fault = case.attrib["classname"].rpartition(".")[2].removeprefix("Test")
        test = case.attrib["name"].partition("[")[0]
        ran.setdefault(fault, set()).add(test)
        if case.find("failure") is not None or case.find("error") is not None:
            failed.setdefault(fault, set()).add(test)
    return ran, failed


def _tests_of(file: str, faults: dict[str, Fault], correct: list[str]) -> list[str]:
    named = {
        name: [fault.named_by, *([HISTORIES] if fault.tried_in_histories else [])] for name, fault in faults.items()
    }
    return [
        *[f"{file}::Test{name}" for name in correct],
        *[f"{file}::Test{name}::{test}" for name, tests in named.items() for test in tests],
    ]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tests, Tests]:
    """Which tests of the kit ran, and which failed, for every fault.

    A store without a fault runs every test, and a broken store only the tests that have to fail.
    """
    folder = tmp_path_factory.mktemp("reports")
    # Three processes need not have three cores: broken stores mostly wait.
    parts = [
        _tests_of(STRATEGY_STORES, broken_strategy_stores.FAULTS, CORRECT_STRATEGY_STORES),
        _tests_of(ACCOUNT_STORES, broken_account_stores.FAULTS, ["PlainAccountStore"]),
        OTHERS,
    ]
    with ThreadPoolExecutor(len(parts)) as processes:
        outcomes = list(processes.map(_run, parts, [folder / f"{number}.xml" for number in range(len(parts))]))
    ran: Tests = {}
    failed: Tests = {}
    for part_ran, part_failed in outcomes:
        for whole, part in ((ran, part_ran), (failed, part_failed)):
            for fault, tests in part.items():
                whole.setdefault(fault, set()).update(tests)
    return ran, failed


def test_no_two_faults_share_a_name() -> None:
    modules = (
        broken_strategy_stores,
        broken_account_stores,
        broken_callers,
        broken_login_failures,
        broken_services,
    )
    assert len(FAULTS) == sum(len(module.FAULTS) for module in modules)


@pytest.mark.parametrize("plain", PLAIN)
def test_the_kit_passes_what_has_no_fault(outcome: tuple[Tests, Tests], plain: str) -> None:
    ran, failed = outcome
    assert ran[plain]
    assert failed.get(plain, set()) == set()


@pytest.mark.parametrize(("fault", "test"), [(name, fault.named_by) for name, fault in FAULTS.items()])
def test_the_kit_names_the_fault(outcome: tuple[Tests, Tests], fault: str, test: str) -> None:
    assert test in outcome[1].get(fault, set())


@pytest.mark.parametrize("fault", [name for name, fault in FAULTS.items() if fault.tried_in_histories])
def test_random_histories_come_upon_the_fault_of_a_store(outcome: tuple[Tests, Tests], fault: str) -> None:
    assert HISTORIES in outcome[1].get(fault, set())


def test_every_test_of_the_kit_fails_for_some_fault(outcome: tuple[Tests, Tests]) -> None:
    ran, failed = outcome
    never_failed = set().union(*ran.values()) - set().union(*failed.values())
    assert never_failed == set()


def test_a_failing_assertion_of_the_kit_shows_both_sides() -> None:
    names = [
        module.name
        for module in pkgutil.walk_packages(tradingagents_conformance.__path__, "tradingagents_conformance.")
        if not module.ispkg
    ]
    with_assertions = [
        module for module in map(import_module, names) if " assert " in Path(module.__file__ or "").read_text()
    ]
    assert {type(module.__loader__).__name__ for module in with_assertions} == {"AssertionRewritingHook"}
