"""Clients in TypeScript and Python that tools generate from the published document, and the tools that check it.

Pinned versions of the tools are installed from the registries of their languages into temporary folders. Where that is
not possible, the tests are skipped with the reason.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from npm_tools import install_tools, run_in, succeeded, tool, wants_node
from processes import CHECKOUT, KEY, SERVE, Machine, Server

EMAIL: Final = "user@example.com"
PASSWORD: Final = "SecurePassword123"

CLIENTS: Final = Path(__file__).with_name("clients")
GENERATOR: Final = CHECKOUT / "requirements" / "client-generator.txt"
# The oldest versions of Node on which openapi-fetch and Redocly run.
NODE: Final = (18, 0)
NODE_OF_REDOCLY: Final = (20, 19)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    machine = Machine(tmp_path_factory.mktemp("server"), {"JWT_SECRET_KEY": KEY})
    machine.run("tradingagents", "users", "create", EMAIL, "--password-stdin", typed=f"{PASSWORD}\n")
    with machine.serving(*SERVE) as server:
        yield server


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that `tradingagents openapi` prints."""
    machine = Machine(tmp_path_factory.mktemp("document"))
    file = machine.folder / "openapi.json"
    file.write_text(machine.run("tradingagents", "openapi").stdout)
    return file


def session_of(server: Server) -> tuple[str, str, str]:
    """The base URL and the login of a client's session."""
    return str(server.client.base_url).rstrip("/"), EMAIL, PASSWORD


# TypeScript


@pytest.fixture(scope="module")
def typescript(tmp_path_factory: pytest.TempPathFactory, document: Path) -> Path:
    """A folder with the tools from npm, the session, and the types that openapi-typescript generates."""
    wants_node(NODE)
    folder = tmp_path_factory.mktemp("npm") / "typescript"
    shutil.copytree(CLIENTS / "typescript", folder)
    install_tools(folder)
    shutil.copy(document, folder / "openapi.json")
    return folder


def test_a_client_of_openapi_fetch_compiles_strictly_and_works(typescript: Path, server: Server) -> None:
    succeeded(run_in(typescript, tool(typescript, "openapi-typescript"), "openapi.json", "--output", "api.d.ts"))
    succeeded(run_in(typescript, tool(typescript, "tsc"), "--project", "."))
    succeeded(run_in(typescript, "node", "built/session.js", *session_of(server)))


def test_what_has_a_default_can_be_left_out_in_typescript(typescript: Path) -> None:
    options = ("--default-non-nullable=false", "--output", "api.d.ts")
    succeeded(run_in(typescript, tool(typescript, "openapi-typescript"), "openapi.json", *options))
    succeeded(
        run_in(typescript, tool(typescript, "tsc"), "--strict", "--noEmit", "--module", "nodenext", "defaults.ts")
    )


def test_redocly_misses_nothing_but_a_licence(typescript: Path) -> None:
    wants_node(NODE_OF_REDOCLY)
    options = ("--extends=recommended", "--format=json")
    linted = run_in(typescript, tool(typescript, "redocly"), "lint", "openapi.json", *options)

    found = json.loads(linted.stdout)["problems"]
    assert {problem["ruleId"] for problem in found} <= {"info-license"}, linted.stdout


def test_spectral_misses_nothing(typescript: Path) -> None:
    options = ("--ruleset", "spectral.yaml", "--format=json", "--quiet")
    linted = run_in(typescript, tool(typescript, "spectral"), "lint", "openapi.json", *options)

    assert json.loads(linted.stdout) == []


# Python


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of a virtual environment with openapi-python-client."""
    folder = tmp_path_factory.mktemp("venv")
    succeeded(run_in(folder, sys.executable, "-m", "venv", "venv"))
    commands = folder / "venv" / "bin"
    options = ("--quiet", "--disable-pip-version-check", "--require-hashes", "--requirement", GENERATOR)
    installed = run_in(folder, commands / "python", "-m", "pip", "install", *options)
    if "Could not find a version" in installed.stderr or "ConnectionError" in installed.stderr:
        pytest.skip(f"pip could not install openapi-python-client: {installed.stderr.strip()[-300:]}")
    succeeded(installed)
    return commands


def test_a_client_of_openapi_python_client_has_every_operation_and_works(
    python: Path, document: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{python}{os.pathsep}{os.environ['PATH']}")  # it formats its output with ruff
    options = ("--meta", "none", "--output-path", "api_client", "--fail-on-warning")
    succeeded(run_in(tmp_path, python / "openapi-python-client", "generate", "--path", document, *options))
    shutil.copy(CLIENTS / "python" / "session.py", tmp_path)
    succeeded(run_in(tmp_path, python / "python", "session.py", *session_of(server)))
