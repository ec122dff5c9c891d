"""The exact limits of a request, and refusals before a request costs anything."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import pytest
from in_process import Api, Stores

from tradingagents_core.domain.parameters import PARAMETERS_MAX_BYTES
from tradingagents_core.domain.strategies import DESCRIPTION_MAX_LENGTH, NAME_MAX_LENGTH
from tradingagents_http.middleware.head_limit import HEAD_MAX_BYTES, TARGET_MAX_LENGTH
from tradingagents_http.requests.bodies import FORM_FIELDS_MAX, JSON_FIELDS_MAX, JSON_MAX_BYTES

pytestmark = pytest.mark.anyio

STRATEGIES: Final = "/api/v1/strategies"
LOGIN: Final = "/api/v1/auth/login"
JSON: Final = {"Content-Type": "application/json"}
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def api(api_over: Callable[[Stores], AbstractAsyncContextManager[Api]]) -> AsyncIterator[Api]:
    async with api_over(Stores.in_memory()) as opened:
        yield opened


def padded(size: int) -> bytes:
    body = b'{"name":"padded"}'
    return body + b" " * (size - len(body))


async def in_chunks(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), 50_000):
        yield body[at : at + 50_000]


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "in chunks"])
@pytest.mark.parametrize(("more", "status"), [(0, 201), (1, 413)])
async def test_a_body_may_be_as_long_as_the_limit_and_no_byte_longer(
    api: Api, more: int, status: int, chunked: bool
) -> None:
    body = padded(JSON_MAX_BYTES + more)
    answer = await api.ann.post(STRATEGIES, content=in_chunks(body) if chunked else body, headers=JSON)
    assert answer.status_code == status


@pytest.mark.parametrize(("more", "status"), [(0, 401), (1, 413)])
async def test_a_login_may_be_as_long_as_the_limit_and_no_byte_longer(api: Api, more: int, status: int) -> None:
    body = b"username=nobody@example.com&password="
    answer = await api.stranger.post(LOGIN, content=body + b"x" * (8192 - len(body) + more), headers=FORM)
    assert answer.status_code == status


def escaped(text: str) -> str:
    return "".join(f"\\u{unit:04x}" for unit in memoryview(text.encode("utf-16-le")).cast("H"))


async def test_the_largest_strategy_may_be_sent_with_every_character_escaped(api: Api) -> None:
    name, description = "𝄞" * NAME_MAX_LENGTH, "𝄞" * DESCRIPTION_MAX_LENGTH
    value = "x" * (PARAMETERS_MAX_BYTES - len('{"k":""}'))
    body = (
        f'{{"name": "{escaped(name)}", "description": "{escaped(description)}",'
        f' "parameters": {{"{escaped("k")}": "{escaped(value)}"}}}}'
    )
    answer = await api.ann.post(STRATEGIES, content=body.encode(), headers=JSON)
    assert answer.status_code == 201, answer.text[:300]
    assert answer.json()["parameters"] == {"k": value}


@pytest.mark.parametrize("indent", [None, 2, 4])
async def test_as_many_values_as_parameters_may_hold_are_taken_however_they_are_indented(
    api: Api, indent: int | None
) -> None:
    parameters = {"values": [1] * ((PARAMETERS_MAX_BYTES - len('{"values":[]}')) // 2)}
    body = json.dumps({"name": "many", "parameters": parameters}, indent=indent)
    answer = await api.ann.post(STRATEGIES, content=body.encode(), headers=JSON)
    assert answer.status_code == 201, answer.text[:300]


async def test_separators_within_texts_are_no_values(api: Api) -> None:
    body = {
        "name": "," * NAME_MAX_LENGTH,
        "description": ":" * DESCRIPTION_MAX_LENGTH,
        "parameters": {"k": "[" * (PARAMETERS_MAX_BYTES - len('{"k":""}'))},
    }
    answer = await api.ann.post(STRATEGIES, json=body)
    assert answer.status_code == 201, answer.text[:300]


@pytest.mark.parametrize("unit", ["1", "[]", "{}", '""', '{"":1}'])
async def test_more_values_than_any_strategy_holds_are_refused_before_they_are_read(api: Api, unit: str) -> None:
    body = '{"name":"a","parameters":{"a":[' + ",".join([unit] * ((JSON_MAX_BYTES - 100) // (len(unit) + 1))) + "]}}"
    answer = await api.ann.post(STRATEGIES, content=body.encode(), headers=JSON)
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert (problem["loc"], problem["type"]) == (["body"], "value_error.too_large")


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_very_many_fields_are_refused_together(api: Api, method: str) -> None:
    made = (await api.ann.post(STRATEGIES, json={"name": "a"})).json()["id"]
    fields: dict[str, Any] = {f"field{number}": 1 for number in range(JSON_FIELDS_MAX + 1)}
    path = STRATEGIES if method == "POST" else f"{STRATEGIES}/{made}"
    answer = await api.ann.request(method, path, json=fields)
    assert answer.status_code == 422
    assert [problem["type"] for problem in answer.json()["detail"]] == ["value_error.too_many_fields"]


async def test_a_422_lists_ten_problems_and_repeats_nothing_that_a_stranger_wrote(api: Api) -> None:
    fields = {f"field{number}": 1 for number in range(JSON_FIELDS_MAX - 1)} | {"<script>alert(1)</script>": 1}
    answer = await api.ann.post(STRATEGIES, json=fields)
    *listed, last = answer.json()["detail"]
    assert (len(listed), last["msg"]) == (10, f"{JSON_FIELDS_MAX + 1 - 10} more problems not listed")
    odd = await api.ann.post(STRATEGIES, json={"name": "a", "<script>": 1})
    assert [problem["loc"] for problem in odd.json()["detail"]] == [["body"]]


TYPES: Final[dict[str, list[tuple[str, str]]]] = {
    "a long media type": [("Content-Type", "application/json; " + "a=b; " * 12_000)],
    "two media types": [("Content-Type", "application/json"), ("Content-Type", "application/json")],
    "a coded body": [("Content-Type", "application/json"), ("Content-Encoding", "gzip")],
    "no media type": [],
}


@pytest.mark.parametrize("headers", TYPES.values(), ids=TYPES.keys())
async def test_a_body_that_does_not_say_plainly_what_it_is_is_415(api: Api, headers: list[tuple[str, str]]) -> None:
    answer = await api.ann.post(STRATEGIES, content=b'{"name":"a"}', headers=headers)
    assert answer.status_code == 415


@pytest.mark.parametrize(("more", "status"), [(0, 401), (1, 400)])
async def test_a_form_has_so_many_fields_and_no_more(api: Api, more: int, status: int) -> None:
    fields = {"username": "nobody@example.com", "password": "x"}
    fields |= {f"field{number}": "x" for number in range(FORM_FIELDS_MAX - len(fields) + more)}
    answer = await api.stranger.post(LOGIN, data=fields)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/health", {"X-Filler": "x" * HEAD_MAX_BYTES}, 431),
        ("/health", {"X-Filler": "x" * (HEAD_MAX_BYTES - 500)}, 200),
        ("/health?" + "x" * TARGET_MAX_LENGTH, {}, 414),
        ("/" + "x" * TARGET_MAX_LENGTH, {}, 414),
        ("/static-offline-docs/" + "a/" * (TARGET_MAX_LENGTH // 2), {}, 414),
        ("/" + "x" * (TARGET_MAX_LENGTH - 1), {}, 404),
    ],
    ids=["headers", "long headers", "a query", "a path", "a path of a file", "a long path"],
)
async def test_a_head_has_limits_in_the_application(api: Api, path: str, headers: dict[str, str], status: int) -> None:
    answer = await api.stranger.get(path, headers=headers)
    assert answer.status_code == status
    assert list(answer.json()) == (["status", "version"] if status == 200 else ["detail"])
