"""Each way in which other programs use the project, as a short program that runs and that type checkers accept."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from npm_tools import install_tools, run_in, succeeded, tool, wants_node
from postgresql import Database
from processes import CHECKOUT

DOORS: Final = CHECKOUT / "tests" / "doors"
LINES_MAX: Final = 30
SECONDS: Final = 120

# The oldest version of Node on which pyright runs.
NODE: Final = (14, 0)

SAYS: Final = {
    "embed": "Crossover is taken\nCrossover {'fast_period': 10} False\n",
    "in_a_fastapi_application": "/trading/api/v1/strategies/1\n",
    "mounted_application": "bearer\n",
    "own_engine": "['Crossover']\n",
    "own_process_pool": "Crossover\nname blank name should not be blank\n",
    "own_session": "['kept']\n",
    "own_transaction": "['Crossover']\n",
    "replace_a_part": (
        "Caller(user_id=1009, scopes=('strategies:read', 'strategies:write'), session_id=None, api_key_id=None,"
        " expires_at=None)\nInvalid or expired token\n"
    ),
    "several_use_cases": "fast is taken\n['fast', 'slow']\n",
}
"""What each program prints."""

IN_MEMORY: Final = (
    *("embed", "in_a_fastapi_application", "mounted_application"),
    *("replace_a_part", "several_use_cases"),
)
OVER_A_DATABASE: Final = (*IN_MEMORY, "own_engine", "own_session", "own_transaction")
WITHOUT_A_STORE: Final = ("own_process_pool",)


def ran(name: str, *arguments: str) -> str:
    """What a program prints. Its environment is empty, so that nothing but the arguments has an effect."""
    run = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", DOORS / f"{name}.py", *arguments],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    return run.stdout


def test_every_program_is_run() -> None:
    assert {path.stem for path in DOORS.glob("*.py")} == SAYS.keys()
    assert {*IN_MEMORY, *OVER_A_DATABASE, *WITHOUT_A_STORE} == SAYS.keys()


@pytest.mark.parametrize("name", SAYS)
def test_a_program_is_short(name: str) -> None:
    assert len((DOORS / f"{name}.py").read_text().splitlines()) <= LINES_MAX


@pytest.mark.parametrize("name", SAYS)
def test_a_program_stands_in_the_documentation(name: str) -> None:
    program = f"```python\n{(DOORS / f'{name}.py').read_text()}```\n"
    assert any(program in page.read_text() for page in (CHECKOUT / "docs").glob("*.md"))


@pytest.mark.parametrize("name", WITHOUT_A_STORE)
def test_a_program_runs_without_a_store(name: str) -> None:
    assert ran(name) == SAYS[name]


@pytest.mark.parametrize("name", IN_MEMORY)
def test_a_program_runs_in_memory(name: str) -> None:
    assert ran(name, "memory:") == SAYS[name]


@pytest.mark.parametrize("name", OVER_A_DATABASE)
def test_a_program_runs_on_sqlite(name: str, tmp_path: Path) -> None:
    assert ran(name, f"sqlite+aiosqlite:///{tmp_path}/app.db") == SAYS[name]


@pytest.mark.parametrize("name", OVER_A_DATABASE)
def test_a_program_runs_on_postgresql(name: str, database: Database) -> None:
    assert ran(name, database.setting) == SAYS[name]


def test_mypy_accepts_every_program(tmp_path: Path) -> None:
    checked = run_in(DOORS, sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path, *DOORS.glob("*.py"))
    succeeded(checked)


def test_pyright_accepts_every_program(tmp_path_factory: pytest.TempPathFactory) -> None:
    wants_node(NODE)
    folder = tmp_path_factory.mktemp("npm")
    for name in ("package.json", "package-lock.json"):
        (folder / name).write_bytes((DOORS / name).read_bytes())
    install_tools(folder)
    succeeded(run_in(DOORS, tool(folder, "pyright"), "--pythonpath", sys.executable, *DOORS.glob("*.py")))
