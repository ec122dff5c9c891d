"""The commands of the README, run for real."""

import json
import re
from pathlib import Path

import pytest
from processes import CHECKOUT, KEY, Machine, Server

README = (CHECKOUT / "README.md").read_text()


def block(title: str, language: str) -> str:
    """The first block of this language under a heading of the README."""
    section = README.partition(f"## {title}\n")[2]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A checkout after `make setup`, without a `.env` and a database, in a folder with blanks."""
    folder = tmp_path_factory.mktemp("my own checkout")
    for name in ("Makefile", "pyproject.toml", "requirements", ".venv"):
        (folder / name).symlink_to(CHECKOUT / name)
    return Machine(folder)


@pytest.fixture(scope="module")
def server(made: Machine):
    with made.serving("make", "run") as server:
        yield server


def test_make_run_makes_a_key_and_the_documents_account(made: Machine, server: Server) -> None:
    assert re.fullmatch(r"JWT_SECRET_KEY=[\w-]{86}\n", (made.folder / ".env").read_text())
    assert (made.folder / ".env").stat().st_mode & 0o077 == 0
    assert "Created the account user@example.com." in server.output()
    assert server.log_in("user@example.com", "SecurePassword123").status_code == 200


def test_make_run_again_leaves_key_and_accounts_alone(made: Machine, server: Server) -> None:
    key = (made.folder / ".env").read_text()
    with made.serving("make", "run") as again:
        assert "There is an account already" in again.output()
    assert (made.folder / ".env").read_text() == key


def test_the_curl_session_goes_from_login_to_delete(made: Machine, server: Server) -> None:
    session = block("A session with curl", "bash").replace(
        "http://127.0.0.1:8000", str(server.client.base_url).rstrip("/")
    )
    ran = made.run("bash", "-euo", "pipefail", "-c", session)

    decoder, answers, rest = json.JSONDecoder(), [], ran.stdout
    while rest:
        answer, end = decoder.raw_decode(rest)
        answers.append(answer)
        rest = rest[end:].lstrip()
    created, page, updated, read = answers
    assert created["name"] == "Moving Average Crossover"
    assert page["items"] == [created]
    assert updated["parameters"] == {"fast_period": 12, "slow_period": 26}
    assert read == updated
    assert ran.returncode == 0


def test_the_core_is_embedded_as_the_readme_says(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"JWT_SECRET_KEY": KEY})
    machine.run("tradingagents", "users", "create", "user@example.com", "--password-stdin", typed="SecurePassword123\n")
    ran = machine.run("python", "-c", block("Embedding", "python"))

    assert (ran.stdout, ran.stderr) == ("1 Embedded {'fast_period': 10}\n", "")


def test_make_alone_lists_the_commands(made: Machine) -> None:
    listed = made.run("make").stdout

    for command in ("run", "test", "check", "format", "lint", "types", "boundaries", "wheel", "lock"):
        assert f"make {command} " in listed
