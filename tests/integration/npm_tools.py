"""Tools from npm: pinned versions, installed into temporary folders. Where that is not possible, tests are skipped."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

LONGEST_SECONDS: Final = 300

# npm's errors about our own files. All other errors come from the machine or the registry.
OUR_FAULTS: Final = ("EUSAGE", "EJSONPARSE", "ERESOLVE", "EINTEGRITY")


def run_in(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command with the developer's environment, which configures access to the registries."""
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def succeeded(ended: subprocess.CompletedProcess[str]) -> str:
    """The output of a command that succeeded."""
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def wants_node(version: tuple[int, int]) -> None:
    """Skip the test if Node is missing or older than this version."""
    if not (node := shutil.which("node")) or not shutil.which("npm"):
        pytest.skip("there is no node or no npm, which the tools need")
    printed = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = re.findall(r"\d+", printed)[:2]
    if (int(major), int(minor)) < version:
        pytest.skip(f"node is older than {version[0]}.{version[1]}")


def install_tools(folder: Path) -> None:
    """Install the locked tools of the `package.json` in this folder."""
    installed = run_in(folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    if installed.returncode and not any(f"code {fault}" in installed.stderr for fault in OUR_FAULTS):
        pytest.skip(f"npm could not install the tools: {installed.stderr.strip()[-300:]}")
    succeeded(installed)


def tool(folder: Path, name: str) -> Path:
    """A tool that is installed in this folder."""
    return folder / "node_modules" / ".bin" / name
