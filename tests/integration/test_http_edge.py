"""The edge of HTTP: credentials, bodies, queries, answers, tokens, and pages of other origins."""

import gzip
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import httpx
import pytest
from in_process import PASSWORD, Api, Stores

from tradingagents_http.app import create_app
from tradingagents_http.pages import WHOLE_MAX_BYTES

pytestmark = pytest.mark.anyio

STRATEGIES: Final = "/api/v1/strategies"
LOGIN: Final = "/api/v1/auth/login"
ANN: Final = {"username": "ann@example.com", "password": PASSWORD}
PAGE: Final = "https://app.example.com"
"""The origin whose pages may call the API of these tests."""


@pytest.fixture
async def api(api_over: Callable[[Stores], AbstractAsyncContextManager[Api]]) -> AsyncIterator[Api]:
    async with api_over(Stores.in_memory()) as opened:
        yield opened


# Credentials


@pytest.mark.parametrize("form", ["Bearer {}", "Bearer  {}", "Bearer {} ", "bearer \t{}\t", "  BEARER     {}  "])
async def test_blanks_around_a_token_do_not_matter(api: Api, form: str) -> None:
    token = api.ann.headers["Authorization"].removeprefix("Bearer ")
    blanks = form.replace("\t", " ")
    answer = await api.stranger.get(STRATEGIES, headers={"Authorization": blanks.format(token)})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("headers", "query", "said"),
    [
        ({}, "", "with a token from /api/v1/auth/login"),
        ({"Authorization": "Basic YW5uOnNlY3JldA=="}, "", "HTTP Basic is not taken here"),
        ({"Authorization": "Bearer"}, "", "no token follows Bearer"),
        ({"Authorization": "Bearer  "}, "", "no token follows Bearer"),
        ({"Authorization": "Token abc"}, "", "does not begin with Bearer"),
        ({}, "?access_token=abc", "a token in the query is not taken"),
        ({}, "?token=abc", "a token in the query is not taken"),
    ],
)
async def test_a_caller_without_a_token_is_told_how_to_send_it(
    api: Api, headers: dict[str, str], query: str, said: str
) -> None:
    answer = await api.stranger.get(STRATEGIES + query, headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    detail = answer.json()["detail"]
    assert detail.startswith("Not authenticated: ")
    assert said in detail
    assert "Authorization: Bearer" in detail
    assert "abc" not in detail


# Bodies and queries


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"', "iso-8859-1", "utf-16", "none-such"])
async def test_the_charset_of_json_has_no_effect(api: Api, charset: str) -> None:
    headers = {"Content-Type": f"application/json; charset={charset}"}
    answer = await api.ann.post(STRATEGIES, content='{"name": "Größe"}'.encode(), headers=headers)
    assert (answer.status_code, answer.json()["name"]) == (201, "Größe")


@pytest.mark.parametrize("body", ["[]", '"name"', "1", "null", "true", '[{"name": "a"}]'])
async def test_a_body_that_is_no_object_is_told_so(api: Api, body: str) -> None:
    created = (await api.ann.post(STRATEGIES, json={"name": "a"})).json()
    for method, path in (("POST", STRATEGIES), ("PUT", f"{STRATEGIES}/{created['id']}")):
        answer = await api.ann.request(method, path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422
        assert answer.json()["detail"] == [
            {"loc": ["body"], "msg": "the body should be a JSON object", "type": "value_error.dict_type"}
        ]


async def test_an_unknown_query_parameter_is_refused_on_every_route(api: Api) -> None:
    one = f"{STRATEGIES}/{(await api.ann.post(STRATEGIES, json={'name': 'a'})).json()['id']}"
    answers = [
        await api.ann.get(f"{STRATEGIES}?wrong=1"),
        await api.ann.post(f"{STRATEGIES}?wrong=1", json={"name": "b"}),
        await api.ann.get(f"{one}?wrong=1"),
        await api.ann.put(f"{one}?wrong=1", json={"name": "c"}),
        await api.ann.delete(f"{one}?wrong"),
        await api.stranger.post(f"{LOGIN}?wrong=1", data=ANN),
        await api.stranger.get("/health?wrong=1"),
    ]
    problem = {
        "loc": ["query", "wrong"],
        "msg": "extra inputs are not permitted",
        "type": "value_error.extra_forbidden",
    }
    assert [(answer.status_code, answer.json()["detail"]) for answer in answers] == [(422, [problem])] * 7
    assert (await api.ann.get(STRATEGIES)).json()["total"] == 1
    assert (await api.ann.get(one)).json()["name"] == "a"


async def test_a_stranger_is_not_told_which_query_parameters_there_are(api: Api) -> None:
    answer = await api.stranger.get(f"{STRATEGIES}/1?wrong=1", headers={"Authorization": "Bearer abc"})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("problems", "more"), [(10, ""), (11, "1 more problem not listed"), (25, "15 more problems not listed")]
)
async def test_a_list_of_problems_that_is_cut_off_says_how_many_are_missing(api: Api, problems: int, more: str) -> None:
    body = {f"field{number}": 1 for number in range(problems - 1)} | {"name": ""}
    listed = (await api.ann.post(STRATEGIES, json=body)).json()["detail"]
    assert len(listed) == min(problems, 10) + bool(more)
    if more:
        assert listed[-1] == {"loc": ["body"], "msg": more, "type": "value_error.too_many_problems"}


async def test_an_update_that_changes_nothing_leaves_the_time_of_the_last_change(api: Api) -> None:
    created = (await api.ann.post(STRATEGIES, json={"name": "a", "parameters": {"b": 1}})).json()
    place = f"{STRATEGIES}/{created['id']}"
    async with api.core.strategies.update.store.read() as view:
        before = await view.strategies.get(owner_id=1, strategy_id=created["id"])
    for body in ({}, {"name": "a"}, created):
        answer = await api.ann.put(place, json=body)
        assert (answer.status_code, answer.json()) == (200, created)
    async with api.core.strategies.update.store.read() as view:
        assert await view.strategies.get(owner_id=1, strategy_id=created["id"]) == before


# Answers


async def test_times_are_written_in_whole_seconds(api: Api) -> None:
    created = (await api.ann.post(STRATEGIES, json={"name": "a"})).json()
    listed = (await api.ann.get(STRATEGIES)).json()["items"][0]
    times = [created["created_at"], created["updated_at"], listed["created_at"], listed["updated_at"]]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time) for time in times)


async def test_an_answer_without_a_body_has_no_content_type(api: Api) -> None:
    created = (await api.ann.post(STRATEGIES, json={"name": "a"})).json()
    answer = await api.ann.delete(f"{STRATEGIES}/{created['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert not {"content-type", "content-length", "content-encoding"} & answer.headers.keys()


@pytest.mark.parametrize("sent", ["a", "A.b_c-9", "x" * 128])
async def test_the_id_of_a_request_is_kept(api: Api, sent: str) -> None:
    for client in (api.ann, api.stranger):
        answer = await client.get(STRATEGIES, headers={"X-Request-ID": sent})
        assert answer.headers.get_list("X-Request-ID") == [sent]


@pytest.mark.parametrize("sent", [None, "", "x" * 129, "two words", "a\n", "ü"])
async def test_a_request_without_a_usable_id_is_given_one(api: Api, sent: str | None) -> None:
    headers = {} if sent is None else {"X-Request-ID": sent.encode()}
    ids = [
        (await api.stranger.get(path, headers=headers)).headers["X-Request-ID"]
        for path in ("/health", STRATEGIES, "/no/such/path", "/docs", "/health")
    ]
    assert all(re.fullmatch("[0-9a-f]{16}", request_id) for request_id in ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("accepted", ["gzip", "gzip, deflate, br", "br;q=1.0, gzip;q=0.8, *;q=0.1"])
async def test_a_large_answer_is_compressed_for_clients_that_ask_for_it(api: Api, accepted: str) -> None:
    await api.ann.post(STRATEGIES, json={"name": "a", "description": "d" * 2000})
    async with api.ann.stream("GET", STRATEGIES, headers={"Accept-Encoding": accepted}) as answer:
        compressed = b"".join([part async for part in answer.aiter_raw()])
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert (
        gzip.decompress(compressed) == (await api.ann.get(STRATEGIES, headers={"Accept-Encoding": "identity"})).content
    )


@pytest.mark.parametrize("accepted", ["identity", "br", "gzip;q=0", "identity, gzip; q=0.0, br"])
async def test_an_answer_is_not_compressed_for_others(api: Api, accepted: str) -> None:
    await api.ann.post(STRATEGIES, json={"name": "a", "description": "d" * 2000})
    answer = await api.ann.get(STRATEGIES, headers={"Accept-Encoding": accepted})
    assert "Content-Encoding" not in answer.headers


async def test_a_small_answer_is_not_compressed(api: Api) -> None:
    answer = await api.ann.get(STRATEGIES, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in answer.headers


# Tokens


async def test_a_token_comes_with_its_lifetime(api: Api) -> None:
    response = await api.stranger.post(LOGIN, data=ANN, headers={"Accept-Encoding": "gzip"})
    answer = response.json()
    assert answer.keys() == {"access_token", "token_type", "expires_in"}
    assert answer["expires_in"] == 1800
    # Its length would reveal the length of the secret in it.
    assert "Content-Encoding" not in response.headers


@pytest.mark.parametrize(
    ("form", "status", "error", "description"),
    [
        (ANN | {"password": "wrong"}, 401, "invalid_grant", "Incorrect e-mail or password"),
        ({"username": "ann@example.com"}, 422, "invalid_request", "password: field required"),
        ({}, 422, "invalid_request", "username: field required; password: field required"),
        (ANN | {"grant_type": "refresh_token"}, 422, "unsupported_grant_type", "grant_type: .*"),
        (ANN | {f"field{number}": "x" for number in range(20)}, 400, "invalid_request", "The form should be .*"),
    ],
)
async def test_a_refused_login_says_what_oauth_libraries_look_for(
    api: Api, form: dict[str, str], status: int, error: str, description: str
) -> None:
    answer = await api.stranger.post(LOGIN, data=form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert re.fullmatch(description, answer.json()["error_description"])
    # The characters of a description (RFC 6749, 5.2).
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", answer.json()["error_description"])
    assert "detail" in answer.json()


async def test_json_in_place_of_the_form_is_an_invalid_request(api: Api) -> None:
    answer = await api.stranger.post(LOGIN, json=ANN)
    assert (answer.status_code, answer.json()["error"]) == (415, "invalid_request")


async def test_refusals_of_other_routes_carry_the_detail_alone(api: Api) -> None:
    answers = [
        await api.stranger.get(STRATEGIES),
        await api.ann.get(f"{STRATEGIES}/99"),
        await api.ann.post(STRATEGIES),
    ]
    assert [answer.json().keys() for answer in answers] == [{"detail"}] * 3


# Pages of other origins


async def test_a_page_may_send_every_header_and_read_the_id_of_a_request(api: Api) -> None:
    asked = "authorization, content-type, traceparent, sentry-trace, baggage, x-requested-with, x-request-id"
    preflight = await api.stranger.options(
        STRATEGIES,
        headers={
            "Origin": PAGE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": asked,
        },
    )
    assert (preflight.status_code, preflight.headers["Access-Control-Allow-Headers"]) == (200, asked)
    answer = await api.ann.get(STRATEGIES, headers={"Origin": PAGE})
    assert "X-Request-ID" in answer.headers["Access-Control-Expose-Headers"].split(", ")


async def test_headers_that_pages_may_send_can_be_limited(api: Api) -> None:
    app = create_app(api.core, cors_origins=[PAGE], cors_allow_headers=["Authorization", "Content-Type"])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        asked = {"Origin": PAGE, "Access-Control-Request-Method": "GET"}
        preflights = [
            await client.options(STRATEGIES, headers=asked | {"Access-Control-Request-Headers": name})
            for name in ("authorization", "traceparent")
        ]
    assert [preflight.status_code for preflight in preflights] == [200, 400]


async def test_a_page_that_is_written_in_pieces_is_compressed_piece_by_piece(api: Api) -> None:
    for number in range(30):
        await api.ann.post(STRATEGIES, json={"name": f"{number}", "parameters": {"text": f"{number}" * 30_000}})
    page = f"{STRATEGIES}?limit=1000"
    plain = await api.ann.get(page, headers={"Accept-Encoding": "identity"})
    assert len(plain.content) > WHOLE_MAX_BYTES
    compressed = await api.ann.get(page, headers={"Accept-Encoding": "gzip"})
    assert (compressed.headers["Content-Encoding"], compressed.content) == ("gzip", plain.content)
