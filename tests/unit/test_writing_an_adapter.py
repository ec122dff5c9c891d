"""The adapter in `docs/writing-an-adapter.md` is what it says: it works as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "writing-an-adapter.md"
SECONDS = 600


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of the page, in a folder of their own."""
    files = re.findall(
        r"^### `(\S+\.py)`\n(?:(?!###|```)[^\n]*\n)*```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    assert [name for name, _ in files] == ["json_file_store.py", "test_json_file_store.py"]
    for name, text in files:
        (tmp_path / name).write_text(text)
    return tmp_path


def run(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_adapter_of_the_page_passes_the_kit(folder: Path) -> None:
    report = run("pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "--log-cli-level=info", folder=folder)
    summary = report.splitlines()[-1]
    (passed,) = re.findall(r"(\d+) passed", summary)
    assert int(passed) > 100
    assert not re.search(r"failed|error|skipped|deselected|warning", summary)
    assert re.search(r"Explored \d+ histories", report)


def test_the_adapter_of_the_page_has_the_types_that_it_says(folder: Path) -> None:
    run("mypy", "--strict", "--config-file=", "json_file_store.py", "test_json_file_store.py", folder=folder)
