"""A run of schemathesis: it sends valid and invalid requests, generated from the published document, to a server.

All checks run in all phases on every operation but those that would end the credentials of the run.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from processes import KEY, SERVE, Machine, Server

STRATEGIES: Final = "/api/v1/strategies"
OPERATIONS: Final = 15
END_CREDENTIALS: Final = ("logout", "end_session", "change_password")

# The first is the account of the document's examples, so that logins succeed, too.
OWNER: Final = "user@example.com"
OTHER: Final = "other@example.com"
PASSWORD: Final = "SecurePassword123"

PHASES: Final = ("examples", "coverage", "fuzzing", "stateful")
TEST_CASES_OF_AN_OPERATION: Final = 120
LONGEST_RUN_SECONDS: Final = 240

CONFIGURATION: Final = f"""
hooks = {str(Path(__file__).with_name("schemathesis_hooks.py"))!r}

[auth.wfc]
path = "users.json"
peers = ["{OWNER}", "{OTHER}"]

[phases.examples]
fill-missing = true
"""

_ACCESS: Final = re.compile(r'"([A-Z]+) ([^ ?]+)[^"]*" ([0-9]{3})')


@dataclass(frozen=True, slots=True)
class Run:
    """A completed run of schemathesis, and its server."""

    server: Server
    tokens: dict[str, str]
    screen: str
    report: dict[str, Any]

    @property
    def answers(self) -> Counter[tuple[str, str, int]]:
        """The number of answers with a status to a method on a path."""
        return Counter((method, path, int(status)) for method, path, status in _ACCESS.findall(self.server.output()))

    def ask(self, email: str, method: str, path: str, **body: object) -> Any:
        """A user's request to the server, after the run."""
        headers = {"Authorization": f"Bearer {self.tokens[email]}"}
        return self.server.client.request(method, path, headers=headers, **body)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    machine = Machine(tmp_path_factory.mktemp("schemathesis"), {"JWT_SECRET_KEY": KEY, "REGISTRATION_ENABLED": "true"})
    with ExitStack() as stack:
        if request.param == "postgresql":
            databases, migrated = request.getfixturevalue("databases"), request.getfixturevalue("migrated")
            machine = machine.given(DATABASE_URL=stack.enter_context(databases.fresh(migrated)).setting)
        for email in (OWNER, OTHER):
            machine.run("tradingagents", "users", "create", email, "--password-stdin", typed=f"{PASSWORD}\n")
        server = stack.enter_context(machine.serving(*SERVE, "--access-log"))
        tokens = {email: server.token(email, PASSWORD) for email in (OWNER, OTHER)}
        screen, report = run_schemathesis(machine, server, tokens)
        yield Run(server, tokens, screen, report)


def run_schemathesis(machine: Machine, server: Server, tokens: dict[str, str]) -> tuple[str, dict[str, Any]]:
    users = [
        {"name": email, "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {token}"}]}
        for email, token in tokens.items()
    ]
    (machine.folder / "users.json").write_text(json.dumps({"auth": users}))
    (machine.folder / "schemathesis.toml").write_text(CONFIGURATION)
    report = machine.folder / "report.json"
    with machine.started(
        *("schemathesis", "run", str(server.client.base_url.join("/openapi.json"))),
        *("--checks", "all", "--phases", ",".join(PHASES), "--mode", "all", "--continue-on-failure"),
        *("--max-examples", str(TEST_CASES_OF_AN_OPERATION), "--seed", "1", "--generation-database", "none"),
        *(part for operation in END_CREDENTIALS for part in ("--exclude-operation-id", operation)),
        *("--report", "json", "--report-json-path", str(report), "--no-color"),
    ) as process:
        output, errors = process.communicate(timeout=LONGEST_RUN_SECONDS)
    screen = output + errors
    assert report.exists(), screen
    return screen, json.loads(Path(report).read_text())


def test_every_phase_passes_for_every_operation(run: Run, numbers: Callable[..., None]) -> None:
    assert run.report["failures"] == [], run.screen
    assert run.report["errors"] == [], run.screen
    assert {phase: result["status"] for phase, result in run.report["phases"].items()} == dict.fromkeys(
        PHASES, "success"
    )
    assert (run.report["operations"]["tested"], run.report["complete"]) == (OPERATIONS, True)
    assert run.report["exit_code"] == 0, run.screen
    numbers(
        requests=run.answers.total(),
        test_cases=run.report["test_cases"]["generated"],
        seconds=round(run.report["running_time"]),
    )


def test_nothing_is_warned_of(run: Run) -> None:
    assert {name: where for name, where in run.report["warnings"].items() if where} == {}, run.screen


def test_every_operation_was_reached_with_valid_requests(run: Run) -> None:
    accepted = {
        operation: sum(rate["accepted"] for rate in phases.values())
        for operation, phases in run.report["valid_rates"].items()
    }

    assert len(accepted) == OPERATIONS
    assert min(accepted.values()) > 0, accepted


def test_logins_were_granted_and_refused_and_at_last_slowed_down(run: Run) -> None:
    statuses = {status for _, path, status in run.answers if path == "/api/v1/auth/login"}

    assert {200, 401, 422, 429} <= statuses


def test_nothing_was_answered_with_a_server_error(run: Run) -> None:
    assert {status for _, _, status in run.answers if status >= 500} == set()
    assert "Traceback" not in run.server.output()


def test_everything_that_was_stored_can_be_listed_and_read(run: Run) -> None:
    listed = run.ask(OWNER, "GET", f"{STRATEGIES}?limit=1000").json()

    assert listed["total"] == len(listed["items"]) > 0
    for item in listed["items"]:
        assert run.ask(OWNER, "GET", f"{STRATEGIES}/{item['id']}").json() == item


def test_what_one_user_has_is_to_the_other_like_what_does_not_exist(run: Run) -> None:
    listed = run.ask(OWNER, "GET", f"{STRATEGIES}?limit=1000").json()
    requests = (("GET", {}), ("PUT", {"json": {"name": "stolen"}}), ("DELETE", {}))
    nowhere = [run.ask(OTHER, method, f"{STRATEGIES}/999999999", **body) for method, body in requests]

    for item in listed["items"]:
        theirs = [run.ask(OTHER, method, f"{STRATEGIES}/{item['id']}", **body) for method, body in requests]
        assert [(each.status_code, each.content) for each in theirs] == [
            (each.status_code, each.content) for each in nowhere
        ]
    assert {each.status_code for each in nowhere} == {404}
    assert run.ask(OTHER, "GET", STRATEGIES).json()["total"] == 0
    assert run.ask(OWNER, "GET", f"{STRATEGIES}?limit=1000").json() == listed
