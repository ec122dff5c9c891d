"""Which warnings fail the tests: those of this project, and none of other packages."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest

TESTS: Final = Path(__file__).parents[1]
SECONDS: Final = 120
"""After which the run counts as hanging, on however busy a machine."""

ANOTHER_PACKAGE: Final = """
import gc
import warnings

def collect():
    gc.collect()

def warn(message, category, **more):
    warnings.warn(message, category, **more)

def warn_its_caller(message, category):
    warnings.warn(message, category, stacklevel=2)

def warn_as(module):
    exec("import warnings; warnings.warn('mind this', UserWarning)", {"__name__": module})
"""

PROBES: Final = """
import gc
import os
import threading
import warnings

import another_package
import pytest


async def forgotten():
    pass


class BreaksWhenCollected:
    def __del__(self):
        raise ValueError


@pytest.mark.parametrize("category", [UserWarning, DeprecationWarning, RuntimeWarning, FutureWarning])
def test_another_package_warns(category):
    another_package.warn("of its own affairs", category)


@pytest.mark.parametrize("category", [UserWarning, DeprecationWarning, PendingDeprecationWarning])
def test_a_test_calls_what_is_deprecated(category):
    another_package.warn_its_caller("use another function", category)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_of_this_project_warns(module):
    another_package.warn_as(module)


def test_a_file_of_this_project_cannot_be_compiled_without_a_warning():
    compile("'\\\\d'", FILE, "exec")


def noticed_by_another_package(thing):
    holder = [thing]
    holder.append(holder)
    del thing, holder
    another_package.collect()


def test_a_file_stays_open():
    noticed_by_another_package(open(os.devnull))


def test_a_coroutine_is_never_awaited():
    noticed_by_another_package(forgotten())


def test_a_thread_dies():
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()


def test_an_object_breaks_when_it_is_collected():
    BreaksWhenCollected()
    gc.collect()


def test_a_test_returns_what_it_should_have_asserted():
    return 1 == 2
"""

MODULES: Final = [
    "tradingagents.api.main",
    "tradingagents_adapters.sql",
    "tradingagents_adapters.sql.strategies",
    "tradingagents_cli.main",
    "tradingagents_conformance.strategies",
    "tradingagents_service.asgi",
    "tradingagents_core.domain.strategies",
    "tradingagents_http.app",
    "conftest",
    "postgresql",
    "test_api",
    "benchmarks.load",
    "env_py",
    "0001_users_and_strategies_py",
]

FAIL: Final = {
    "test_a_test_calls_what_is_deprecated": 3,
    "test_a_module_of_this_project_warns": len(MODULES),
    "test_a_file_of_this_project_cannot_be_compiled_without_a_warning": 1,
    "test_a_file_stays_open": 1,
    "test_a_coroutine_is_never_awaited": 1,
    "test_a_thread_dies": 1,
    "test_an_object_breaks_when_it_is_collected": 1,
    "test_a_test_returns_what_it_should_have_asserted": 1,
}
"""How many tests of each kind fail."""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, int], dict[str, int]]:
    """How many of the probes ran under the project's configuration, and how many of them failed, by name."""
    folder = tmp_path_factory.mktemp("probes")
    (folder / "another_package.py").write_text(ANOTHER_PACKAGE)
    # The name of this module, so that the probes count as tests of this project.
    probes = folder / Path(__file__).name
    probes.write_text(f"MODULES = {MODULES!r}\nFILE = {str(TESTS / 'unit' / 'test_api.py')!r}\n{PROBES}")
    report = folder / "report.xml"
    configuration = ("-c", str(TESTS.parent / "pyproject.toml"), "-p", "conftest", "-p", "no:cacheprovider")
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *configuration, f"--junitxml={report}", str(probes)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        cwd=folder,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    ran: dict[str, int] = {}
    failed: dict[str, int] = {}
    for case in ET.parse(report).iter("testcase"):
        name = case.attrib["name"].partition("[")[0]
        ran[name] = ran.get(name, 0) + 1
        if case.find("failure") is not None or case.find("error") is not None:
            failed[name] = failed.get(name, 0) + 1
    return ran, failed


def test_warnings_of_another_package_fail_no_test(outcome: tuple[dict[str, int], dict[str, int]]) -> None:
    ran, failed = outcome
    assert ran["test_another_package_warns"] == 4
    assert "test_another_package_warns" not in failed


@pytest.mark.parametrize("probe", FAIL)
def test_what_this_project_is_warned_of_fails_a_test(
    outcome: tuple[dict[str, int], dict[str, int]], probe: str
) -> None:
    assert outcome[1].get(probe, 0) == FAIL[probe]
