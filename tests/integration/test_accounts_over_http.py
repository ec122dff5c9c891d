"""The own account over HTTP: to read it, to change its password, and to create one, on every store."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import httpx
import pytest
from in_process import PASSWORD, Api, OpenStores, bearer, core_over

from tradingagents_core.domain.login_throttle import FREE_FAILURES_FROM_ONE_SOURCE

pytestmark = pytest.mark.anyio

LOGIN: Final = "/api/v1/auth/login"
ME: Final = "/api/v1/auth/me"
PASSWORDS: Final = "/api/v1/auth/password"
REGISTER: Final = "/api/v1/auth/register"
STRATEGIES: Final = "/api/v1/strategies"

FIELDS: Final = ["id", "email", "is_active", "created_at", "scopes"]
SCOPES: Final = ["strategies:read", "strategies:write"]
NEW: Final = "AnotherPassword456"
CHANGE: Final = {"current_password": PASSWORD, "new_password": NEW}
CARL: Final = {"email": "carl@example.com", "password": PASSWORD}

WRONG_PASSWORD: Final = {
    "detail": [
        {
            "loc": ["body", "current_password"],
            "msg": "current_password should be your present password",
            "type": "value_error.wrong_password",
        }
    ]
}


@pytest.fixture
async def api(open_stores: OpenStores, api_over: Callable[..., AbstractAsyncContextManager[Api]]) -> AsyncIterator[Api]:
    """The API of an operator who lets everybody create an account."""
    async with open_stores() as stores, api_over(stores, registration_enabled=True) as opened:
        yield opened


async def login(api: Api, password: str, email: str = "ann@example.com") -> httpx.Response:
    return await api.stranger.post(LOGIN, data={"username": email, "password": password, "scope": "offline_access"})


# Me


async def test_an_account_is_answered_with_exactly_its_fields(api: Api) -> None:
    user = await api.core.accounts.find(email="ann@example.com")
    answer = await api.ann.get(ME)

    assert (answer.status_code, list(answer.json())) == (200, FIELDS)
    assert answer.json() == {
        "id": user.id,
        "email": "ann@example.com",
        "is_active": True,
        "created_at": f"{user.created_at:%Y-%m-%dT%H:%M:%S}Z",
        "scopes": SCOPES,
    }


async def test_an_account_is_shown_to_its_user_only(api: Api) -> None:
    answers = [await api.stranger.get(ME), await api.stranger.get(ME, headers=bearer("x.y.z"))]

    assert [(answer.status_code, answer.headers["WWW-Authenticate"]) for answer in answers] == [
        (401, "Bearer"),
        (401, 'Bearer error="invalid_token"'),
    ]


async def test_no_query_is_taken(api: Api) -> None:
    for answer in (
        await api.ann.get(f"{ME}?verbose=1"),
        await api.ann.post(f"{PASSWORDS}?verbose=1", json=CHANGE),
        await api.stranger.post(f"{REGISTER}?verbose=1", json=CARL),
    ):
        assert answer.status_code == 422
        assert [problem["loc"] for problem in answer.json()["detail"]] == [["query", "verbose"]]


async def test_a_user_whom_another_process_has_deleted_is_refused(api: Api) -> None:
    assert (await api.ann.get(ME)).status_code == 200
    await core_over(api.stores, api.clock).accounts.delete(email="ann@example.com")
    answers = [
        await api.ann.get(ME),
        await api.ann.post(PASSWORDS, json=CHANGE),
        await api.ann.post("/api/v1/api-keys", json={"name": "bot", "scopes": SCOPES}),
    ]

    assert [(answer.status_code, answer.headers["WWW-Authenticate"]) for answer in answers] == [
        (401, 'Bearer error="invalid_token"')
    ] * 3


# The password


async def test_a_changed_password_is_the_one_to_log_in_with(api: Api) -> None:
    answer = await api.ann.post(PASSWORDS, json=CHANGE)

    assert (answer.status_code, answer.content) == (204, b"")
    assert (await login(api, PASSWORD)).status_code == 401
    assert (await login(api, NEW)).status_code == 200


async def test_a_changed_password_ends_the_other_sessions_and_keeps_this_one(api: Api) -> None:
    other = (await login(api, PASSWORD)).json()
    assert (await api.ann.post(PASSWORDS, json=CHANGE)).status_code == 204

    assert (await api.stranger.get(STRATEGIES, headers=bearer(other["access_token"]))).status_code == 401
    form = {"grant_type": "refresh_token", "refresh_token": other["refresh_token"]}
    assert (await api.stranger.post("/api/v1/auth/refresh", data=form)).status_code == 401
    assert (await api.ann.get(STRATEGIES)).status_code == 200
    assert (await api.bob.get(STRATEGIES)).status_code == 200


async def test_a_wrong_present_password_is_named_and_changes_nothing(api: Api) -> None:
    answer = await api.ann.post(PASSWORDS, json={**CHANGE, "current_password": "WrongPassword123"})

    assert (answer.status_code, answer.json()) == (422, WRONG_PASSWORD)
    assert (await login(api, PASSWORD)).status_code == 200


async def test_wrong_present_passwords_count_like_failed_logins(api: Api) -> None:
    api.clock.stop()
    for _ in range(FREE_FAILURES_FROM_ONE_SOURCE):
        assert (
            await api.ann.post(PASSWORDS, json={**CHANGE, "current_password": "WrongPassword123"})
        ).status_code == 422
    answers = [await api.ann.post(PASSWORDS, json=CHANGE), await login(api, PASSWORD)]

    assert [answer.status_code for answer in answers] == [429, 429]
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"new_password": "short"}, ["body", "new_password"]),
        ({"new_password": "x" * 1025}, ["body", "new_password"]),
        ({"new_password": "ü" * 513}, ["body", "new_password"]),
        ({"new_password": 12345678}, ["body", "new_password"]),
        ({"current_password": None}, ["body", "current_password"]),
        ({"email": "bob@example.com"}, ["body", "email"]),
    ],
)
async def test_a_change_that_breaks_a_rule_is_refused(api: Api, change: dict[str, object], loc: list[str]) -> None:
    answer = await api.ann.post(PASSWORDS, json=CHANGE | change)

    assert answer.status_code == 422
    assert [problem["loc"] for problem in answer.json()["detail"]] == [loc]
    assert (await login(api, PASSWORD)).status_code == 200


@pytest.mark.parametrize("field", ["current_password", "new_password"])
async def test_a_password_with_a_lone_surrogate_is_refused(api: Api, field: str) -> None:
    body = json.dumps({**CHANGE, field: "\ud800longer"})
    answer = await api.ann.post(PASSWORDS, content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 422
    assert [problem["loc"] for problem in answer.json()["detail"]] == [["body", field]]


async def test_of_several_changes_at_once_one_is_made(api: Api) -> None:
    passwords = [f"{NEW}{number}" for number in range(3)]
    answers = await asyncio.gather(
        *(api.ann.post(PASSWORDS, json={**CHANGE, "new_password": password}) for password in passwords)
    )

    assert sorted(answer.status_code for answer in answers) == [204, 422, 422]
    (made,) = [password for password, answer in zip(passwords, answers, strict=True) if answer.status_code == 204]
    assert (await login(api, made)).status_code == 200


# Register


async def test_a_new_account_is_answered_like_the_own_account_and_can_log_in(api: Api) -> None:
    answer = await api.stranger.post(REGISTER, json=CARL)
    token = (await login(api, PASSWORD, CARL["email"])).json()["access_token"]
    me = await api.stranger.get(answer.headers["Location"], headers=bearer(token))

    assert (answer.status_code, list(answer.json())) == (201, FIELDS)
    assert answer.headers["Location"] == ME
    assert me.json() == answer.json()
    assert (answer.json()["email"], answer.json()["is_active"], answer.json()["scopes"]) == (
        "carl@example.com",
        True,
        SCOPES,
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer.json()["created_at"])


@pytest.mark.parametrize("email", ["ann@example.com", "Ann@Example.COM"])
async def test_an_address_that_is_taken_is_a_conflict(api: Api, email: str) -> None:
    answer = await api.stranger.post(REGISTER, json={"email": email, "password": NEW})

    assert (answer.status_code, answer.json()) == (409, {"detail": "A user with this e-mail already exists"})
    assert (await login(api, PASSWORD)).status_code == 200


async def test_of_several_registrations_of_one_address_at_once_one_is_made(api: Api) -> None:
    answers = await asyncio.gather(
        *(api.stranger.post(REGISTER, json={**CARL, "password": f"{PASSWORD}{number}"}) for number in range(5))
    )

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    (made,) = [number for number, answer in enumerate(answers) if answer.status_code == 201]
    assert (await login(api, f"{PASSWORD}{made}", CARL["email"])).status_code == 200


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"email": "carl"}, ["body", "email"]),
        ({"email": "carl@example.com "}, ["body", "email"]),
        ({"email": "c" * 250 + "@example.com"}, ["body", "email"]),
        ({"email": "carl\x00@example.com"}, ["body", "email"]),
        ({"password": "short"}, ["body", "password"]),
        ({"password": ["SecurePassword123"]}, ["body", "password"]),
        ({"is_active": True}, ["body", "is_active"]),
    ],
)
async def test_a_registration_that_breaks_a_rule_is_refused(
    api: Api, change: dict[str, object], loc: list[str]
) -> None:
    answer = await api.stranger.post(REGISTER, json=CARL | change)

    assert answer.status_code == 422
    assert [problem["loc"] for problem in answer.json()["detail"]] == [loc]


async def test_nobody_creates_an_account_unless_the_operator_allows_that(
    open_stores: OpenStores, api_over: Callable[..., AbstractAsyncContextManager[Api]]
) -> None:
    async with open_stores() as stores, api_over(stores) as api:
        answer = await api.stranger.post(REGISTER, json=CARL)
        assert (await login(api, PASSWORD, CARL["email"])).status_code == 401

    assert answer.status_code == 403
    assert answer.json() == {"detail": "Accounts are created by the operator of this service"}
    assert "WWW-Authenticate" not in answer.headers


async def test_no_answer_and_no_log_repeats_a_password(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    secret = "Unrepeatable-7391"
    bodies: tuple[tuple[str, dict[str, Any]], ...] = (
        (PASSWORDS, {"current_password": secret, "new_password": NEW}),
        (PASSWORDS, {"current_password": PASSWORD, "new_password": [secret]}),
        (PASSWORDS, {"current_password": secret, "new_password": "short"}),
        (REGISTER, {"email": "no address", "password": secret}),
        (REGISTER, {"email": "carl@example.com", "password": {"is": secret}}),
        (REGISTER, {"email": "carl@example.com", "password": secret}),
    )
    with caplog.at_level(logging.DEBUG):
        answers = [await api.ann.post(path, json=body) for path, body in bodies]

    assert [answer.status_code for answer in answers] == [422] * 5 + [201]
    assert not any(secret in answer.text for answer in answers)
    assert secret not in caplog.text
