"""API keys over HTTP: bots use them in the place of tokens, with few rights, on every store."""

import asyncio
import logging
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Final

import httpx
import pytest
from in_process import PASSWORD, Api, CountedStore, OpenStores, bearer, eventually

from tradingagents_core.domain.api_keys import API_KEY_PATTERN, API_KEYS_MAX
from tradingagents_core.domain.secrets import hash_of

pytestmark = pytest.mark.anyio

KEYS: Final = "/api/v1/api-keys"
ME: Final = "/api/v1/auth/me"
STRATEGIES: Final = "/api/v1/strategies"

FIELDS: Final = ["id", "key", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at"]
READ: Final = "strategies:read"
WRITE: Final = "strategies:write"
BOTH: Final = [READ, WRITE]
REFUSED: Final = (401, 'Bearer error="invalid_token"')


async def created(client: httpx.AsyncClient, **content: Any) -> dict[str, Any]:
    """A new key; by default with all scopes."""
    answer = await client.post(KEYS, json={"name": "bot", "scopes": BOTH} | content)
    assert answer.status_code == 201, answer.text
    return answer.json()


def refusal(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.headers.get("WWW-Authenticate")


def written(time: Any) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}Z"


# Create


async def test_a_new_key_is_answered_with_exactly_its_fields_and_where_it_is(api: Api) -> None:
    now = api.clock.stop()
    expiry = now + timedelta(days=1)
    answer = await api.ann.post(
        KEYS, json={"name": "bot", "scopes": [WRITE, READ, READ], "expires_at": written(expiry)}
    )
    key = answer.json()

    assert (answer.status_code, list(key)) == (201, FIELDS)
    assert (key["name"], key["scopes"], key["last_used_at"]) == ("bot", BOTH, None)
    assert (key["created_at"], key["expires_at"]) == (written(now), written(expiry))
    assert answer.headers["Location"] == f"{KEYS}/{key['id']}"
    assert answer.headers.get_list("Cache-Control") == ["no-store"]


async def test_a_key_has_the_documented_form_and_begins_with_its_prefix(api: Api) -> None:
    key = await created(api.ann)

    assert API_KEY_PATTERN == "ta_[A-Za-z0-9_-]{43}"
    assert re.fullmatch(API_KEY_PATTERN, key["key"])
    assert key["key"].startswith(key["prefix"])
    assert len(key["prefix"]) < 16


async def test_a_key_is_stored_as_its_hash_only(api: Api) -> None:
    key = (await created(api.ann))["key"]

    async with api.stores.accounts.read() as view:
        assert await view.api_keys.find_by_hash(key) is None
        assert await view.api_keys.find_by_hash(hash_of(key)) is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2999-01-31T12:00:00Z", "2999-01-31T12:00:00Z"),
        ("2999-01-31t12:00:00z", "2999-01-31T12:00:00Z"),
        ("2999-01-31T12:00:00.123456789+05:30", "2999-01-31T06:30:00Z"),
        (None, None),
    ],
)
async def test_an_expiry_is_a_time_with_a_zone_or_none(api: Api, text: str | None, expected: str | None) -> None:
    assert (await created(api.ann, expires_at=text))["expires_at"] == expected


@pytest.mark.parametrize(
    ("expiry", "rule"),
    [
        ("2024-01-15T10:30:00Z", "future"),
        ("2999-01-31T12:00:00", "timezone_aware"),
        ("9999-12-31T23:59:59-01:00", "time_range"),
        ("2999-01-31", "datetime_parsing"),
        ("2999-01-31 12:00:00Z", "datetime_parsing"),
        ("2999-02-30T12:00:00Z", "datetime_parsing"),
        ("2999-01-31T12:00Z", "datetime_parsing"),
        ("2999-01-31T12:00:00+99:00", "datetime_parsing"),
        ("٢999-01-31T12:00:00Z", "datetime_parsing"),
        ("tomorrow", "datetime_parsing"),
        (32503680000, "datetime_parsing"),
        (True, "datetime_parsing"),
    ],
)
async def test_another_expiry_is_refused(api: Api, expiry: object, rule: str) -> None:
    answer = await api.ann.post(KEYS, json={"name": "bot", "scopes": BOTH, "expires_at": expiry})

    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert (problem["loc"], problem["type"]) == (["body", "expires_at"], f"value_error.{rule}")


async def test_the_present_is_no_expiry(api: Api) -> None:
    now = api.clock.stop()
    answer = await api.ann.post(KEYS, json={"name": "bot", "scopes": BOTH, "expires_at": written(now)})

    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"name": ""}, ["body", "name"]),
        ({"name": " "}, ["body", "name"]),
        ({"name": "a\x00"}, ["body", "name"]),
        ({"name": "a" * 101}, ["body", "name"]),
        ({"name": 1}, ["body", "name"]),
        ({"scopes": []}, ["body", "scopes"]),
        ({"scopes": ["strategies:delete"]}, ["body", "scopes"]),
        ({"scopes": READ}, ["body", "scopes"]),
        ({"scopes": [1]}, ["body", "scopes", 0]),
        ({"key": "ta_mine"}, ["body", "key"]),
        ({"user_id": 1}, ["body", "user_id"]),
    ],
)
async def test_a_key_that_breaks_a_rule_is_refused_and_not_stored(
    api: Api, change: dict[str, object], loc: list[str | int]
) -> None:
    answer = await api.ann.post(KEYS, json={"name": "bot", "scopes": BOTH} | change)

    assert answer.status_code == 422
    assert [problem["loc"] for problem in answer.json()["detail"]] == [loc]
    assert (await api.ann.get(KEYS)).json()["total"] == 0


@pytest.mark.parametrize("missing", ["name", "scopes"])
async def test_a_missing_field_is_named(api: Api, missing: str) -> None:
    body: dict[str, object] = {"name": "bot", "scopes": BOTH}
    del body[missing]
    answer = await api.ann.post(KEYS, json=body)

    assert answer.json() == {
        "detail": [{"loc": ["body", missing], "msg": "field required", "type": "value_error.missing"}]
    }


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [(b"name=bot", "application/x-www-form-urlencoded", 415), (b" " * 20_000, "application/json", 413)],
)
async def test_only_a_short_body_in_json_is_a_key(api: Api, content: bytes, content_type: str, status: int) -> None:
    answer = await api.ann.post(KEYS, content=content, headers={"Content-Type": content_type})

    assert answer.status_code == status


async def test_a_user_has_at_most_a_hundred_live_keys(api: Api) -> None:
    now = api.clock.stop()
    await created(api.ann, expires_at=written(now + timedelta(minutes=1)))
    keys = [await created(api.ann) for _ in range(API_KEYS_MAX - 1)]
    body = {"name": "one more", "scopes": BOTH}
    refused = await api.ann.post(KEYS, json=body)
    await created(api.bob)

    assert (refused.status_code, refused.json()) == (409, {"detail": "You have 100 API keys already; revoke one first"})
    await api.ann.delete(f"{KEYS}/{keys[0]['id']}")
    assert (await api.ann.post(KEYS, json=body)).status_code == 201
    assert (await api.ann.post(KEYS, json=body)).status_code == 409
    api.clock.move(minutes=1)
    assert (await api.ann.post(KEYS, json=body)).status_code == 201


async def test_many_keys_that_are_made_at_once_do_not_exceed_the_limit(api: Api) -> None:
    for _ in range(API_KEYS_MAX - 3):
        await created(api.ann)
    answers = await asyncio.gather(*(api.ann.post(KEYS, json={"name": "bot", "scopes": BOTH}) for _ in range(10)))

    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 7


# List


async def test_keys_are_listed_oldest_first_without_the_keys_themselves(api: Api) -> None:
    keys = [await created(api.ann, name=name) for name in ("same", "same", "other")]
    await created(api.bob)
    answer = await api.ann.get(KEYS)

    shown = [{field: key[field] for field in FIELDS if field != "key"} for key in keys]
    assert answer.json() == {"items": shown, "total": 3, "skip": 0, "limit": 100}
    assert [list(item) for item in answer.json()["items"]] == [[field for field in FIELDS if field != "key"]] * 3
    assert not any(key["key"] in answer.text for key in keys)


async def test_keys_are_read_page_by_page(api: Api) -> None:
    for name in "abcd":
        await created(api.ann, name=name)
    page = (await api.ann.get(f"{KEYS}?skip=1&limit=2")).json()

    assert [item["name"] for item in page.pop("items")] == ["b", "c"]
    assert page == {"total": 4, "skip": 1, "limit": 2}


@pytest.mark.parametrize("query", ["limit=0", "skip=-1", "active_only=true"])
async def test_any_other_query_is_refused(api: Api, query: str) -> None:
    answer = await api.ann.get(f"{KEYS}?{query}")

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", query.partition("=")[0]]


async def test_the_last_use_is_noted_at_most_once_a_minute(
    open_stores: OpenStores, api_over: Callable[..., AbstractAsyncContextManager[Api]]
) -> None:
    async with open_stores() as stores:
        counted = CountedStore(stores.accounts)
        async with api_over(replace(stores, accounts=counted)) as api:
            api.clock.stop()
            headers = bearer((await created(api.ann))["key"])
            counted.writes = 0

            async def last_use_is(time: str) -> bool:
                return (await api.ann.get(KEYS)).json()["items"][0]["last_used_at"] == time

            async def use(*, after_seconds: int) -> str:
                time = written(api.clock.move(seconds=after_seconds))
                await api.stranger.get(STRATEGIES, headers=headers)
                # The block of a use that is noted would begin now.
                await asyncio.sleep(0)
                return time

            await eventually(partial(last_use_is, await use(after_seconds=10)))
            assert counted.writes == 1
            await use(after_seconds=27)
            await use(after_seconds=27)
            assert counted.writes == 1
            last = await use(after_seconds=6)
            assert counted.writes == 2
            await eventually(partial(last_use_is, last))


# Use


async def test_a_key_opens_every_strategy_route(api: Api) -> None:
    headers = bearer((await created(api.ann))["key"])
    made = await api.stranger.post(STRATEGIES, json={"name": "bot's"}, headers=headers)
    path = made.headers["Location"]
    answers = [
        await api.stranger.get(STRATEGIES, headers=headers),
        await api.stranger.get(path, headers=headers),
        await api.stranger.put(path, json={"name": "renamed"}, headers=headers),
        await api.ann.get(path),
        await api.stranger.delete(path, headers=headers),
    ]

    assert [answer.status_code for answer in (made, *answers)] == [201, 200, 200, 200, 200, 204]


@pytest.mark.parametrize(
    ("scope", "other", "method", "path"),
    [
        (READ, WRITE, "GET", ""),
        (READ, WRITE, "GET", "/{id}"),
        (WRITE, READ, "POST", ""),
        (WRITE, READ, "PUT", "/{id}"),
        (WRITE, READ, "DELETE", "/{id}"),
    ],
)
async def test_a_key_without_the_scope_is_refused_and_told_the_scope(
    api: Api, scope: str, other: str, method: str, path: str
) -> None:
    mine = (await api.ann.post(STRATEGIES, json={"name": "mine"})).json()
    body = {"json": {"name": "changed"}} if method in ("POST", "PUT") else {}
    url = STRATEGIES + path.replace("{id}", str(mine["id"]))
    answers = {
        allowed: await api.stranger.request(
            method, url, headers=bearer((await created(api.ann, scopes=[allowed]))["key"]), **body
        )
        for allowed in (other, scope)
    }

    assert refusal(answers[other]) == (403, f'Bearer error="insufficient_scope", scope="{scope}"')
    assert answers[other].json() == {"detail": f"This needs the scope {scope}"}
    assert answers[scope].is_success


async def test_a_key_may_ask_whose_it_is_and_what_it_allows(api: Api) -> None:
    key = await created(api.ann, scopes=[READ])
    answer = await api.stranger.get(ME, headers=bearer(key["key"]))

    assert (answer.status_code, answer.json()["email"], answer.json()["scopes"]) == (200, "ann@example.com", [READ])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/v1/auth/logout", None),
        ("POST", "/api/v1/auth/logout?scope=global", None),
        ("GET", "/api/v1/auth/sessions", None),
        ("DELETE", "/api/v1/auth/sessions/1", None),
        ("POST", "/api/v1/auth/password", {"current_password": PASSWORD, "new_password": "AnotherPassword456"}),
        ("POST", KEYS, {"name": "another", "scopes": [READ]}),
        ("GET", KEYS, None),
        ("DELETE", f"{KEYS}/1", None),
    ],
)
async def test_a_key_manages_neither_keys_nor_sessions_nor_passwords(
    api: Api, method: str, path: str, body: object
) -> None:
    key = await created(api.ann)
    answer = await api.stranger.request(method, path, json=body, headers=bearer(key["key"]))

    assert refusal(answer) == (403, None)
    assert answer.json() == {"detail": "An API key may not do this; log in"}
    assert (await api.ann.get(KEYS)).json()["total"] == 1
    assert (await api.stranger.get(STRATEGIES, headers=bearer(key["key"]))).status_code == 200


@pytest.mark.parametrize("key", ["ta_", "ta_" + "A" * 43, "ta_ü", "ta_" + "A" * 5000, "tr_" + "A" * 43])
async def test_an_unknown_key_is_refused(api: Api, key: str) -> None:
    answer = await api.stranger.get(STRATEGIES, headers={"Authorization": f"Bearer {key}".encode("latin-1")})

    assert refusal(answer) == REFUSED


async def test_an_expired_key_is_refused_and_still_listed_for_a_while(api: Api) -> None:
    now = api.clock.stop()
    key = await created(api.ann, expires_at=written(now + timedelta(minutes=1)))
    api.clock.move(seconds=59)
    assert (await api.stranger.get(STRATEGIES, headers=bearer(key["key"]))).status_code == 200
    api.clock.move(seconds=1)

    assert refusal(await api.stranger.get(STRATEGIES, headers=bearer(key["key"]))) == REFUSED
    assert (await api.ann.get(KEYS)).json()["total"] == 1


async def test_a_key_outlives_sessions_and_passwords(api: Api) -> None:
    key = await created(api.ann)
    change = {"current_password": PASSWORD, "new_password": "AnotherPassword456"}
    assert (await api.ann.post("/api/v1/auth/password", json=change)).status_code == 204
    assert (await api.ann.post("/api/v1/auth/logout?scope=global")).status_code == 204

    assert (await api.stranger.get(STRATEGIES, headers=bearer(key["key"]))).status_code == 200


async def test_the_keys_of_a_disabled_user_are_refused_at_once(api: Api) -> None:
    key = await created(api.ann)
    assert (await api.stranger.get(STRATEGIES, headers=bearer(key["key"]))).status_code == 200
    await api.core.accounts.deactivate(email="ann@example.com")

    assert refusal(await api.stranger.get(STRATEGIES, headers=bearer(key["key"]))) == REFUSED


# Revoke


async def test_a_revoked_key_is_refused_at_once(api: Api) -> None:
    key, other = await created(api.ann), await created(api.ann)
    assert (await api.stranger.get(STRATEGIES, headers=bearer(key["key"]))).status_code == 200
    answer = await api.ann.delete(f"{KEYS}/{key['id']}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert refusal(await api.stranger.get(STRATEGIES, headers=bearer(key["key"]))) == REFUSED
    assert (await api.stranger.get(STRATEGIES, headers=bearer(other["key"]))).status_code == 200
    assert (await api.ann.delete(f"{KEYS}/{key['id']}")).status_code == 404


async def test_a_key_that_is_revoked_while_it_is_used_is_refused_from_then_on(api: Api) -> None:
    key = await created(api.ann)

    async def use() -> set[int]:
        return {(await api.stranger.get(STRATEGIES, headers=bearer(key["key"]))).status_code for _ in range(20)}

    *used, revoked = await asyncio.gather(use(), use(), use(), api.ann.delete(f"{KEYS}/{key['id']}"))

    assert set().union(*used) <= {200, 401}
    assert revoked.status_code == 204
    assert refusal(await api.stranger.get(STRATEGIES, headers=bearer(key["key"]))) == REFUSED


async def test_anothers_key_is_answered_like_one_that_does_not_exist(api: Api) -> None:
    key = await created(api.bob)
    answers = [await api.ann.delete(f"{KEYS}/{number}") for number in (key["id"], 999999, 2**63 - 1, 2**63)]

    assert [answer.status_code for answer in answers] == [404] * 4
    assert {answer.content for answer in answers} == {b'{"detail":"API key not found"}'}
    assert (await api.stranger.get(STRATEGIES, headers=bearer(key["key"]))).status_code == 200


@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("GET", ""), ("DELETE", "/1")])
async def test_every_route_of_keys_wants_a_token(api: Api, method: str, path: str) -> None:
    assert refusal(await api.stranger.request(method, KEYS + path, content=b"{")) == (401, "Bearer")
    assert refusal(await api.stranger.request(method, KEYS + path, headers=bearer("x.y.z"))) == REFUSED


async def test_the_log_has_no_key(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        key = await created(api.ann)
        await api.stranger.get(STRATEGIES, headers=bearer(key["key"]))
        await api.ann.delete(f"{KEYS}/{key['id']}")
        await api.stranger.get(STRATEGIES, headers=bearer(key["key"]))

    assert key["key"] not in caplog.text
    assert key["key"].removeprefix(key["prefix"]) not in caplog.text
