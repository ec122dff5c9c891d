"""The kit fails what is broken, with a test whose name says what is broken."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree as ET

import broken_services
import broken_stores
import pytest

HERE = Path(__file__).parent
HISTORIES = "test_random_histories_go_as_with_plain_dictionaries"
SECONDS = 600
"""After which a process of tests counts as hanging, on however busy a machine."""

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


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tests, Tests]:
    """Which tests of the kit ran, and which failed, for every fault."""
    folder = tmp_path_factory.mktemp("reports")
    stores, services = str(HERE / "broken_stores.py"), str(HERE / "broken_services.py")
    tried_in_histories = [name for name, fault in broken_stores.FAULTS.items() if fault.tried_in_histories]
    histories = [f"{stores}::Test{name}::{HISTORIES}" for name in ("PlainStore", *tried_in_histories)]
    halves = [[stores, "-k", f"not {HISTORIES}"], [services, *histories]]
    with ThreadPoolExecutor(len(halves)) as processes:
        outcomes = list(processes.map(_run, halves, [folder / f"{number}.xml" for number in range(len(halves))]))
    ran: Tests = {}
    failed: Tests = {}
    for half_ran, half_failed in outcomes:
        for whole, half in ((ran, half_ran), (failed, half_failed)):
            for fault, tests in half.items():
                whole.setdefault(fault, set()).update(tests)
    return ran, failed


@pytest.mark.parametrize("plain", ["PlainStore", "PlainTokenService", "PlainPasswordHasher"])
def test_the_kit_passes_what_has_no_fault(outcome: tuple[Tests, Tests], plain: str) -> None:
    ran, failed = outcome
    assert ran[plain]
    assert failed.get(plain, set()) == set()


@pytest.mark.parametrize(("fault", "test"), [(name, fault.named_by) for name, fault in broken_stores.FAULTS.items()])
def test_the_kit_names_the_fault_of_a_store(outcome: tuple[Tests, Tests], fault: str, test: str) -> None:
    assert test in outcome[1].get(fault, set())


@pytest.mark.parametrize(("fault", "test"), broken_services.FAULTS.items())
def test_the_kit_names_the_fault_of_a_service(outcome: tuple[Tests, Tests], fault: str, test: str) -> None:
    assert test in outcome[1].get(fault, set())


@pytest.mark.parametrize("fault", [name for name, fault in broken_stores.FAULTS.items() if fault.tried_in_histories])
def test_random_histories_come_upon_the_fault_of_a_store(outcome: tuple[Tests, Tests], fault: str) -> None:
    assert HISTORIES in outcome[1].get(fault, set())


def test_every_test_of_the_kit_fails_for_some_fault(outcome: tuple[Tests, Tests]) -> None:
    ran, failed = outcome
    never_failed = set().union(*ran.values()) - set().union(*failed.values())
    assert never_failed == set()
