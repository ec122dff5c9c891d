"""The contents of the wheel, and its use without a checkout."""

import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from typing import Final

import pytest
from processes import CHECKOUT, KEY, SERVE, Machine

PACKAGES: Final = {
    "tradingagents",
    "tradingagents_adapters",
    "tradingagents_cli",
    "tradingagents_service",
    "tradingagents_core",
    "tradingagents_http",
}
REVISIONS: Final = "tradingagents_adapters/sql/migrations/versions"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(CHECKOUT))
    built = Machine(folder).run(*build)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def files(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine with the wheel and its dependencies, and without a checkout."""
    folder = tmp_path_factory.mktemp("elsewhere")
    home = folder / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    machine = Machine(folder, {"JWT_SECRET_KEY": KEY}, home / "bin")
    pip = (sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "--disable-pip-version-check")
    installed = machine.run(*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    assert installed.returncode == 0, installed.stderr
    (packages,) = home.glob("lib/python*/site-packages")
    # Python ignores .pth files in a folder that a .pth file names. One of them would lead back to the checkout.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return machine


def test_the_wheel_holds_every_migration(files: list[str]) -> None:
    migrations = {file.name for file in (CHECKOUT / "migrations" / "versions").glob("*.py")}
    assert migrations
    assert migrations <= {Path(file).name for file in files if file.startswith(REVISIONS)}


def test_the_wheel_says_of_every_package_that_it_is_typed(files: list[str]) -> None:
    typed = {file.split("/")[0] for file in files if file.endswith("/py.typed")}
    assert typed >= PACKAGES


def test_the_wheel_leaves_the_namespace_to_other_packages(files: list[str]) -> None:
    assert "tradingagents/__init__.py" not in files


def test_the_wheel_holds_nothing_but_packages_and_its_own_description(files: list[str]) -> None:
    top = {file.split("/")[0] for file in files}
    assert {name for name in top if not name.startswith("tradingagents")} == set()


def test_the_wheel_holds_no_tests(files: list[str]) -> None:
    tests = ("test_", "conftest.py")
    assert [file for file in files if Path(file).name.startswith(tests) or "tests" in Path(file).parts] == []


def test_the_wheel_holds_no_bytecode_no_configuration_and_no_data(files: list[str]) -> None:
    assert [file for file in files if file.endswith((".pyc", ".env", ".db"))] == []


def test_the_installed_packages_are_those_of_the_wheel(elsewhere: Machine) -> None:
    where = "import tradingagents_adapters; print(tradingagents_adapters.__file__)"
    printed = elsewhere.run("python", "-c", where)
    assert Path(printed.stdout.strip()).is_relative_to(elsewhere.folder), printed.stderr


def test_an_installed_copy_migrates_creates_accounts_and_serves(elsewhere: Machine) -> None:
    migrated = elsewhere.run("tradingagents", "migrate")
    assert migrated.returncode == 0, migrated.stderr
    create = ("tradingagents", "users", "create", "user@example.com", "--password-stdin")
    created = elsewhere.run(*create, typed="SecurePassword123\n")
    assert created.returncode == 0, created.stderr
    with elsewhere.serving(*SERVE) as server:
        headers = {"Authorization": f"Bearer {server.token('user@example.com', 'SecurePassword123')}"}
        answer = server.client.post("/api/v1/strategies", headers=headers, json={"name": "Mine", "parameters": {}})
    assert answer.status_code == 201


def test_an_installed_copy_goes_back_to_an_older_schema_and_up_again(elsewhere: Machine) -> None:
    for revision in ("0003", "head"):
        # The login of the test before has stored a session, which the older schema cannot hold.
        migrated = elsewhere.run("tradingagents", "migrate", "--to", revision, "--yes")
        assert migrated.returncode == 0, migrated.stderr
