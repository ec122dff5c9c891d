"""Sessions over HTTP: each login opens one, and whoever opened it can see and end it, on every store."""

import asyncio
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, Final

import httpx
import pytest
from in_process import (
    CACHE_SECONDS,
    PASSWORD,
    TOKEN_LIFETIME,
    Api,
    CountedStore,
    OpenStores,
    bearer,
    core_over,
    eventually,
)

from tradingagents_http import create_app

pytestmark = pytest.mark.anyio

LOGIN: Final = "/api/v1/auth/login"
LOGOUT: Final = "/api/v1/auth/logout"
SESSIONS: Final = "/api/v1/auth/sessions"
STRATEGIES: Final = "/api/v1/strategies"

FIELDS: Final = ["id", "created_at", "last_used_at", "expires_at", "current"]
REFUSED: Final = (401, 'Bearer error="invalid_token"')


async def logged_in(api: Api, email: str = "ann@example.com") -> dict[str, str]:
    """The header of requests in a new session."""
    answer = await api.stranger.post(LOGIN, data={"username": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return bearer(answer.json()["access_token"])


async def sessions_of(client: httpx.AsyncClient, **request: Any) -> list[dict[str, Any]]:
    answer = await client.get(SESSIONS, **request)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def refusal(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.headers.get("WWW-Authenticate")


# See


async def test_a_session_is_listed_with_exactly_its_fields(api: Api) -> None:
    answer = await api.ann.get(SESSIONS)

    assert answer.status_code == 200
    assert list(answer.json()) == ["items", "total", "skip", "limit"]
    (session,) = answer.json()["items"]
    assert list(session) == FIELDS
    for field in FIELDS[1:4]:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", session[field])


async def test_a_session_lasts_as_long_as_its_token(api: Api) -> None:
    now = api.clock.stop()
    headers = await logged_in(api)
    session = (await sessions_of(api.stranger, headers=headers))[-1]

    times = [session["created_at"], session["last_used_at"], session["expires_at"]]
    assert times == [f"{time:%Y-%m-%dT%H:%M:%S}Z" for time in (now, now, now + TOKEN_LIFETIME)]


async def test_sessions_are_listed_oldest_first_and_that_of_the_token_is_marked(api: Api) -> None:
    headers = [await logged_in(api) for _ in range(3)]
    listed = await sessions_of(api.stranger, headers=headers[1])

    assert [session["id"] for session in listed] == sorted(session["id"] for session in listed)
    assert [session["current"] for session in listed] == [False, False, True, False]


async def test_nobody_sees_the_sessions_of_others(api: Api) -> None:
    assert not {each["id"] for each in await sessions_of(api.ann)} & {each["id"] for each in await sessions_of(api.bob)}


async def test_sessions_are_read_page_by_page(api: Api) -> None:
    for _ in range(4):
        await logged_in(api)
    everything = await sessions_of(api.ann)
    page = (await api.ann.get(f"{SESSIONS}?skip=1&limit=2")).json()

    assert page == {"items": everything[1:3], "total": 5, "skip": 1, "limit": 2}


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "skip=-1", "skip=x", "active_only=true", "verbose=1"])
async def test_any_other_query_is_refused(api: Api, query: str) -> None:
    answer = await api.ann.get(f"{SESSIONS}?{query}")

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", query.partition("=")[0]]


async def test_the_last_use_is_noted_at_most_once_a_minute(
    open_stores: OpenStores, api_over: Callable[..., AbstractAsyncContextManager[Api]]
) -> None:
    async with open_stores() as stores:
        counted = CountedStore(stores.accounts)
        async with api_over(replace(stores, accounts=counted)) as api:
            api.clock.stop()
            headers = await logged_in(api)
            counted.writes = 0
            for _ in range(2):
                api.clock.move(seconds=27)
                await api.stranger.get(STRATEGIES, headers=headers)
                # The block would begin now.
                await asyncio.sleep(0)
            assert counted.writes == 0

            noted = f"{api.clock.move(seconds=6):%Y-%m-%dT%H:%M:%S}Z"
            await api.stranger.get(STRATEGIES, headers=headers)

            async def is_noted() -> bool:
                return (await sessions_of(api.stranger, headers=headers))[-1]["last_used_at"] == noted

            await eventually(is_noted)
            assert counted.writes == 1


async def test_an_expired_session_is_neither_listed_nor_kept(api: Api) -> None:
    api.clock.stop()
    await logged_in(api)
    (_, old) = await sessions_of(api.ann)
    api.clock.move(minutes=31)
    headers = await logged_in(api)

    assert [session["current"] for session in await sessions_of(api.stranger, headers=headers)] == [True]
    async with api.stores.accounts.read() as view:
        assert await view.sessions.find(old["id"]) is None


# Log out


async def test_a_logout_ends_the_session_of_its_token_and_no_other(api: Api) -> None:
    headers = await logged_in(api)
    answer = await api.stranger.post(LOGOUT, headers=headers)

    assert (answer.status_code, answer.content) == (204, b"")
    assert refusal(await api.stranger.get(STRATEGIES, headers=headers)) == REFUSED
    assert len(await sessions_of(api.ann)) == 1


async def test_a_global_logout_ends_all_sessions_of_the_user(api: Api) -> None:
    headers = await logged_in(api)
    assert (await api.ann.post(f"{LOGOUT}?scope=global")).status_code == 204

    assert refusal(await api.ann.get(STRATEGIES)) == REFUSED
    assert refusal(await api.stranger.get(STRATEGIES, headers=headers)) == REFUSED
    assert (await api.bob.get(STRATEGIES)).status_code == 200


@pytest.mark.parametrize("query", ["scope=local", "scope=GLOBAL", "scope=", "everywhere=true"])
async def test_a_logout_with_another_query_is_refused_and_ends_nothing(api: Api, query: str) -> None:
    answer = await api.ann.post(f"{LOGOUT}?{query}")

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", query.partition("=")[0]]
    assert len(await sessions_of(api.ann)) == 1


async def test_a_session_ends_once(api: Api) -> None:
    headers = await logged_in(api)
    answers = await asyncio.gather(*(api.stranger.post(LOGOUT, headers=headers) for _ in range(8)))

    assert {answer.status_code for answer in answers} <= {204, 401}
    assert refusal(await api.stranger.post(LOGOUT, headers=headers)) == REFUSED


@pytest.mark.parametrize(("method", "path"), [("POST", LOGOUT), ("GET", SESSIONS), ("DELETE", f"{SESSIONS}/1")])
async def test_every_route_of_sessions_wants_a_token(api: Api, method: str, path: str) -> None:
    assert refusal(await api.stranger.request(method, path)) == (401, "Bearer")
    assert refusal(await api.stranger.request(method, path, headers=bearer("x.y.z"))) == REFUSED


# End


async def test_a_session_is_ended_by_its_id(api: Api) -> None:
    headers = await logged_in(api)
    other = (await sessions_of(api.ann))[-1]["id"]
    answer = await api.ann.delete(f"{SESSIONS}/{other}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert refusal(await api.stranger.get(STRATEGIES, headers=headers)) == REFUSED
    assert (await api.ann.delete(f"{SESSIONS}/{other}")).status_code == 404


async def test_the_session_of_the_token_can_be_ended_by_its_id_too(api: Api) -> None:
    (session,) = await sessions_of(api.ann)
    assert (await api.ann.delete(f"{SESSIONS}/{session['id']}")).status_code == 204

    assert refusal(await api.ann.get(STRATEGIES)) == REFUSED


async def test_anothers_session_is_answered_like_one_that_does_not_exist(api: Api) -> None:
    (session,) = await sessions_of(api.bob)
    answers = [await api.ann.delete(f"{SESSIONS}/{number}") for number in (session["id"], 999999, 2**63 - 1, 2**63)]

    assert [answer.status_code for answer in answers] == [404] * 4
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json() == {"detail": "Session not found"}
    assert (await api.bob.get(STRATEGIES)).status_code == 200


async def test_an_expired_session_is_not_found(api: Api) -> None:
    api.clock.stop()
    (session,) = await sessions_of(api.ann)
    api.clock.move(minutes=31)
    answer = await api.stranger.delete(f"{SESSIONS}/{session['id']}", headers=await logged_in(api))

    assert answer.status_code == 404


@pytest.mark.parametrize("number", ["x", "1.0", "01", "+1", "1_0"])
async def test_what_is_no_integer_is_no_id(api: Api, number: str) -> None:
    answer = await api.ann.delete(f"{SESSIONS}/{number}")

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["path", "id"]


async def test_a_session_that_is_ended_while_it_is_used_is_refused_from_then_on(api: Api) -> None:
    headers = await logged_in(api)
    other = (await sessions_of(api.ann))[-1]["id"]

    async def use() -> set[int]:
        return {(await api.stranger.get(STRATEGIES, headers=headers)).status_code for _ in range(20)}

    *used, ended = await asyncio.gather(use(), use(), use(), api.ann.delete(f"{SESSIONS}/{other}"))

    assert set().union(*used) <= {200, 401}
    assert ended.status_code == 204
    assert refusal(await api.stranger.get(STRATEGIES, headers=headers)) == REFUSED


async def test_another_process_refuses_an_ended_session_when_its_cache_has_expired(api: Api) -> None:
    api.clock.stop()
    app = create_app(core_over(api.stores, api.clock))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as there:
        there.headers.update(api.ann.headers)
        assert (await there.get(STRATEGIES)).status_code == 200
        await api.ann.post(LOGOUT)
        api.clock.move(seconds=CACHE_SECONDS)
        assert refusal(await there.get(STRATEGIES)) == REFUSED
