"""Refresh tokens over HTTP: given on request only, used once, and safe to ask for twice, on every store."""

import asyncio
import logging
from typing import Any, Final

import httpx
import pytest
from in_process import PASSWORD, Api, bearer

from tradingagents_core.domain.secrets import hash_of
from tradingagents_core.use_cases.authentication import REFRESH_LIFETIME, REFRESH_REUSE

pytestmark = pytest.mark.anyio

LOGIN: Final = "/api/v1/auth/login"
REFRESH: Final = "/api/v1/auth/refresh"
LOGOUT: Final = "/api/v1/auth/logout"
SESSIONS: Final = "/api/v1/auth/sessions"
PASSWORDS: Final = "/api/v1/auth/password"
STRATEGIES: Final = "/api/v1/strategies"

FORM: Final = {"username": "ann@example.com", "password": PASSWORD}
THREE: Final = ["access_token", "token_type", "expires_in"]
FOUR: Final = [*THREE, "refresh_token"]

INVALID: Final = {
    "detail": "Invalid or expired refresh token",
    "error": "invalid_grant",
    "error_description": "Invalid or expired refresh token",
}


async def logged_in(api: Api) -> dict[str, Any]:
    """The answer to a login that asks for a refresh token."""
    answer = await api.stranger.post(LOGIN, data={**FORM, "scope": "offline_access"})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refresh(api: Api, token: str) -> httpx.Response:
    return await api.stranger.post(REFRESH, data={"grant_type": "refresh_token", "refresh_token": token})


async def refreshed(api: Api, token: str) -> dict[str, Any]:
    answer = await refresh(api, token)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def is_open(api: Api, tokens: dict[str, Any]) -> bool:
    """Whether the access token is accepted."""
    answer = await api.stranger.get(STRATEGIES, headers=bearer(tokens["access_token"]))
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


async def assert_ended(api: Api, *answered: dict[str, Any]) -> None:
    """Assert that neither the access tokens nor the refresh tokens are accepted."""
    for tokens in answered:
        assert not await is_open(api, tokens)
        assert (await refresh(api, tokens["refresh_token"])).status_code == 401


# The login


@pytest.mark.parametrize("scope", ["offline_access", "openid offline_access strategies:read"])
async def test_a_login_that_asks_for_it_answers_a_refresh_token_too_and_nothing_else(api: Api, scope: str) -> None:
    answer = await api.stranger.post(LOGIN, data={**FORM, "scope": scope})

    assert (answer.status_code, list(answer.json())) == (200, FOUR)
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("bearer", 1800)
    assert answer.headers.get_list("Cache-Control") == ["no-store"]


@pytest.mark.parametrize(
    "scope", ["", "strategies:read", "openid profile", "OFFLINE_ACCESS", "offline_access_2", "\x00"]
)
async def test_other_and_empty_scopes_change_nothing(api: Api, scope: str) -> None:
    answer = await api.stranger.post(LOGIN, data={**FORM, "scope": scope})

    assert (answer.status_code, list(answer.json())) == (200, THREE)


async def test_a_refresh_token_is_stored_as_its_hash_only(api: Api) -> None:
    token = (await logged_in(api))["refresh_token"]

    async with api.stores.accounts.read() as view:
        assert await view.sessions.find_by_refresh_token(token) is None
        assert await view.sessions.find_by_refresh_token(hash_of(token)) is not None


# The refresh


async def test_a_refresh_answers_new_tokens_in_exactly_four_fields(api: Api) -> None:
    first = await logged_in(api)
    answer = await refresh(api, first["refresh_token"])

    assert (answer.status_code, list(answer.json())) == (200, FOUR)
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("bearer", 1800)
    assert answer.headers.get_list("Cache-Control") == ["no-store"]
    assert answer.json()["access_token"] != first["access_token"]
    assert answer.json()["refresh_token"] != first["refresh_token"]
    assert await is_open(api, answer.json())


async def test_a_session_goes_on_with_each_refresh(api: Api) -> None:
    api.clock.stop()
    tokens = await logged_in(api)
    before = (await api.stranger.get(SESSIONS, headers=bearer(tokens["access_token"]))).json()["items"][-1]
    now = api.clock.move(minutes=29)
    tokens = await refreshed(api, tokens["refresh_token"])
    after = (await api.stranger.get(SESSIONS, headers=bearer(tokens["access_token"]))).json()["items"][-1]

    assert (after["id"], after["created_at"], after["current"]) == (before["id"], before["created_at"], True)
    assert after["last_used_at"] == f"{now:%Y-%m-%dT%H:%M:%S}Z"
    assert after["expires_at"] == f"{now + REFRESH_LIFETIME:%Y-%m-%dT%H:%M:%S}Z"


async def test_an_old_token_is_answered_again_for_a_short_time_and_all_answers_go_on_working(api: Api) -> None:
    api.clock.stop()
    first = await logged_in(api)
    second = await refreshed(api, first["refresh_token"])
    api.clock.move(seconds=REFRESH_REUSE.total_seconds())
    third = await refreshed(api, first["refresh_token"])

    for tokens in (first, second, third):
        assert await is_open(api, tokens)
    for tokens in (second, third):
        assert await is_open(api, await refreshed(api, tokens["refresh_token"]))


async def test_many_refreshes_of_one_token_at_once_are_all_answered_and_all_go_on_working(api: Api) -> None:
    api.clock.stop()
    first = await logged_in(api)
    answers = await asyncio.gather(*(refresh(api, first["refresh_token"]) for _ in range(20)))

    assert [answer.status_code for answer in answers] == [200] * 20
    assert len({answer.json()["refresh_token"] for answer in answers}) == 20
    for answer in answers:
        assert await is_open(api, answer.json())
        assert (await refresh(api, answer.json()["refresh_token"])).status_code == 200


async def test_a_late_use_of_an_old_token_ends_the_session_and_is_logged(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    api.clock.stop()
    first = await logged_in(api)
    second = await refreshed(api, first["refresh_token"])
    newest = await refreshed(api, second["refresh_token"])
    api.clock.move(seconds=REFRESH_REUSE.total_seconds() + 1)
    caplog.clear()

    with caplog.at_level(logging.DEBUG):
        answer = await refresh(api, first["refresh_token"])

    assert (answer.status_code, answer.json()) == (401, INVALID)
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "a retired refresh token was used" in record.getMessage()
    assert first["refresh_token"] not in caplog.text
    await assert_ended(api, first, second, newest)
    assert len((await api.ann.get(SESSIONS)).json()["items"]) == 1


async def test_many_late_uses_at_once_are_all_refused(api: Api) -> None:
    api.clock.stop()
    first = await logged_in(api)
    newest = await refreshed(api, first["refresh_token"])
    api.clock.move(minutes=1)
    answers = await asyncio.gather(*(refresh(api, first["refresh_token"]) for _ in range(10)))

    assert [answer.status_code for answer in answers] == [401] * 10
    await assert_ended(api, newest)


async def test_a_refresh_token_expires_after_its_time_without_use(api: Api) -> None:
    api.clock.stop()
    tokens = await logged_in(api)
    api.clock.move(seconds=REFRESH_LIFETIME.total_seconds() - 1)
    tokens = await refreshed(api, tokens["refresh_token"])
    api.clock.move(seconds=REFRESH_LIFETIME.total_seconds() - 1)
    tokens = await refreshed(api, tokens["refresh_token"])
    api.clock.move(seconds=REFRESH_LIFETIME.total_seconds())

    assert (await refresh(api, tokens["refresh_token"])).status_code == 401


@pytest.mark.parametrize("token", ["x", "tr_" + "A" * 43, "ta_" + "A" * 43, "ü€\x00", "a" * 4000])
async def test_an_unknown_refresh_token_is_refused(api: Api, token: str) -> None:
    answer = await refresh(api, token)

    assert (answer.status_code, answer.json()) == (401, INVALID)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_an_access_token_is_no_refresh_token_and_the_other_way_round(api: Api) -> None:
    tokens = await logged_in(api)

    assert (await refresh(api, tokens["access_token"])).status_code == 401
    assert (await api.stranger.get(STRATEGIES, headers=bearer(tokens["refresh_token"]))).status_code == 401


@pytest.mark.parametrize(
    ("form", "error", "field"),
    [
        ({"grant_type": "password", "refresh_token": "x"}, "unsupported_grant_type", "grant_type"),
        ({"refresh_token": "x"}, "invalid_request", "grant_type"),
        ({"grant_type": "refresh_token"}, "invalid_request", "refresh_token"),
        ({"grant_type": "refresh_token", "refresh_token": ""}, "invalid_request", "refresh_token"),
    ],
)
async def test_a_form_that_is_not_a_refresh_is_refused(api: Api, form: dict[str, str], error: str, field: str) -> None:
    answer = await api.stranger.post(REFRESH, data=form)

    assert (answer.status_code, answer.json()["error"]) == (422, error)
    assert [problem["loc"] for problem in answer.json()["detail"]] == [["body", field]]


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b'{"grant_type": "refresh_token", "refresh_token": "x"}', "application/json", 415),
        (b"grant_type=refresh_token&refresh_token=%FF", "application/x-www-form-urlencoded", 400),
        (b"grant_type=refresh_token&refresh_token=" + b"x" * 8192, "application/x-www-form-urlencoded", 413),
    ],
)
async def test_only_an_urlencoded_form_is_a_refresh(api: Api, content: bytes, content_type: str, status: int) -> None:
    answer = await api.stranger.post(REFRESH, content=content, headers={"Content-Type": content_type})

    assert answer.status_code == status


# The end of a session


async def test_a_refresh_token_ends_with_its_session(api: Api) -> None:
    tokens = await logged_in(api)
    await api.stranger.post(LOGOUT, headers=bearer(tokens["access_token"]))

    await assert_ended(api, tokens)


async def test_a_refresh_token_ends_with_the_account(api: Api) -> None:
    tokens = await logged_in(api)
    await api.core.accounts.deactivate(email="ann@example.com")

    await assert_ended(api, tokens)


async def test_no_refresh_survives_a_logout_that_comes_at_the_same_time(api: Api) -> None:
    tokens = await logged_in(api)
    *answers, ended = await asyncio.gather(
        *(refresh(api, tokens["refresh_token"]) for _ in range(10)),
        api.stranger.post(f"{LOGOUT}?scope=global", headers=bearer(tokens["access_token"])),
    )

    assert ended.status_code == 204
    assert {answer.status_code for answer in answers} <= {200, 401}
    await assert_ended(api, tokens, *(answer.json() for answer in answers if answer.status_code == 200))


async def test_no_refresh_survives_a_change_of_the_password_that_comes_at_the_same_time(api: Api) -> None:
    tokens = await logged_in(api)
    answers: list[httpx.Response] = []
    change = asyncio.create_task(
        api.ann.post(PASSWORDS, json={"current_password": PASSWORD, "new_password": "AnotherPassword456"})
    )
    newest = tokens["refresh_token"]
    while not change.done():
        answers.append(await refresh(api, newest))
        # A request to a store in memory never waits, so that no other task would run.
        await asyncio.sleep(0)
        if answers[-1].status_code == 200:
            newest = answers[-1].json()["refresh_token"]

    assert (await change).status_code == 204
    assert {answer.status_code for answer in answers} <= {200, 401}
    await assert_ended(api, tokens, *(answer.json() for answer in answers if answer.status_code == 200))
    assert (await api.ann.get(STRATEGIES)).status_code == 200


async def test_no_login_with_the_old_password_survives_a_change_of_the_password(api: Api) -> None:
    change, *logins = await asyncio.gather(
        api.ann.post(PASSWORDS, json={"current_password": PASSWORD, "new_password": "AnotherPassword456"}),
        *(api.stranger.post(LOGIN, data={**FORM, "scope": "offline_access"}) for _ in range(3)),
    )

    assert change.status_code == 204
    assert {login.status_code for login in logins} <= {200, 401}
    await assert_ended(api, *(login.json() for login in logins if login.status_code == 200))
