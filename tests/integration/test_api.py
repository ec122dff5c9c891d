"""The reference, sentence by sentence, over every store."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from in_process import PASSWORD, Api, bearer

from tradingagents_core import __version__
from tradingagents_http.requests.bodies import JSON_MAX_BYTES

pytestmark = pytest.mark.anyio

LOGIN = "/api/v1/auth/login"
STRATEGIES = "/api/v1/strategies"

FIELDS = ["id", "name", "description", "parameters", "is_active", "created_at", "updated_at"]

SAME_ID = {"X-Request-ID": "test"}
"""The same request id for requests whose answers are compared."""

EXAMPLE = {
    "name": "RSI Mean Reversion",
    "description": "Buy oversold, sell overbought",
    "parameters": {"rsi_period": 14, "oversold": 30, "overbought": 70},
    "is_active": True,
}


# Health


async def test_health_tells_status_and_version(api: Api) -> None:
    response = await api.stranger.get("/health")

    assert (response.status_code, response.json()) == (200, {"status": "healthy", "version": "1.0.0"})
    assert __version__ == "1.0.0"


# Login


async def test_login_answers_exactly_a_token_its_type_and_its_lifetime(api: Api) -> None:
    response = await api.stranger.post(LOGIN, data={"username": "ann@example.com", "password": PASSWORD})

    assert response.status_code == 200
    assert list(response.json()) == ["access_token", "token_type", "expires_in"]
    assert response.json()["token_type"] == "bearer"


async def test_the_token_opens_the_strategies(api: Api) -> None:
    response = await api.stranger.post(LOGIN, data={"username": "ann@example.com", "password": PASSWORD})
    headers = {"Authorization": f"Bearer {response.json()['access_token']}"}

    assert (await api.stranger.get(STRATEGIES, headers=headers)).status_code == 200


async def test_the_email_is_compared_in_lower_case(api: Api) -> None:
    response = await api.stranger.post(LOGIN, data={"username": "ANN@example.COM", "password": PASSWORD})

    assert response.status_code == 200


async def test_what_oauth_clients_send_besides_is_accepted(api: Api) -> None:
    form = {
        "grant_type": "password",
        "username": "ann@example.com",
        "password": PASSWORD,
        "scope": "",
        "client_id": "swagger",
        "client_secret": "",
    }

    assert (await api.stranger.post(LOGIN, data=form)).status_code == 200


async def test_unknown_user_wrong_password_and_inactive_user_are_one_and_the_same_401(api: Api) -> None:
    await api.core.accounts.deactivate(email="bob@example.com")
    answers = [
        await api.stranger.post(LOGIN, data={"username": username, "password": password}, headers=SAME_ID)
        for username, password in (
            ("nobody@example.com", PASSWORD),
            ("ann@example.com", "WrongPassword123"),
            ("bob@example.com", PASSWORD),
            ("no address \x00", PASSWORD),
        )
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert len({(answer.content, str(answer.headers)) for answer in answers}) == 1
    assert isinstance(answers[0].json()["detail"], str)
    assert "WWW-Authenticate" in answers[0].headers


async def test_a_missing_form_field_is_named(api: Api) -> None:
    response = await api.stranger.post(LOGIN, data={"username": "ann@example.com"})

    assert response.status_code == 422
    assert response.json()["detail"] == [
        {"loc": ["body", "password"], "msg": "field required", "type": "value_error.missing"}
    ]


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b'{"username": "a", "password": "b"}', "application/json", 415),
        (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x", 415),
        (b"username=a&password=b", "application/x-www-form-urlencoded; charset=utf-16", 415),
        (b"username=a&password=b", "", 415),
        (b"username=a&password=b", "application/x-www-form-urlencoded;charset=UTF-8", 401),
        (b"username=a&password=%FF", "application/x-www-form-urlencoded", 400),
        (b"username=a&password=b&password=c", "application/x-www-form-urlencoded", 400),
        (b"username=a&password=" + b"b" * 8192, "application/x-www-form-urlencoded", 413),
        (b"", "", 422),
    ],
)
async def test_only_an_urlencoded_form_is_a_login(api: Api, content: bytes, content_type: str, status: int) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = await api.stranger.post(LOGIN, content=content, headers=headers)

    assert response.status_code == status
    assert "detail" in response.json()


# Tokens


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("POST", ""), ("GET", "/1"), ("PUT", "/1"), ("DELETE", "/1"), ("GET", "/x"), ("PUT", "/x")],
)
async def test_every_strategy_route_wants_a_token(api: Api, method: str, path: str) -> None:
    without = await api.stranger.request(method, STRATEGIES + path, content=b"{", headers={"Content-Type": "x/y"})
    wrong = await api.stranger.request(method, STRATEGIES + path, headers={"Authorization": "Bearer x.y.z"})

    assert (without.status_code, without.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert (wrong.status_code, wrong.headers["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')
    assert isinstance(without.json()["detail"], str)
    assert isinstance(wrong.json()["detail"], str)


@pytest.mark.parametrize("sent", ["Basic YW5uOng=", "Bearer", "Bearer ", "bearer", ""])
async def test_another_scheme_and_a_scheme_alone_are_no_token(api: Api, sent: str) -> None:
    response = await api.stranger.get(STRATEGIES, headers={"Authorization": sent})

    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")


async def test_two_authorization_headers_are_refused(api: Api) -> None:
    token = api.ann.headers["Authorization"]
    response = await api.stranger.get(STRATEGIES, headers=[("Authorization", token), ("Authorization", token)])

    assert response.status_code == 400


async def test_a_disabled_users_token_is_refused_from_the_next_request_on(api: Api) -> None:
    assert (await api.ann.get(STRATEGIES)).status_code == 200
    await api.core.accounts.deactivate(email="ann@example.com")
    assert (await api.ann.get(STRATEGIES)).status_code == 401


async def test_a_user_who_is_enabled_again_logs_in_again(api: Api) -> None:
    await api.core.accounts.deactivate(email="ann@example.com")
    await api.core.accounts.activate(email="ann@example.com")
    assert (await api.ann.get(STRATEGIES)).status_code == 401
    form = {"username": "ann@example.com", "password": PASSWORD}
    token = (await api.stranger.post(LOGIN, data=form)).json()["access_token"]
    assert (await api.stranger.get(STRATEGIES, headers=bearer(token))).status_code == 200


# Create


async def test_creating_answers_the_strategy_and_where_it_is(api: Api) -> None:
    before = datetime.now(UTC)
    response = await api.ann.post(STRATEGIES, json=EXAMPLE)
    created = response.json()

    assert response.status_code == 201
    assert list(created) == FIELDS
    assert {field: created[field] for field in EXAMPLE} == EXAMPLE
    assert created["created_at"] == created["updated_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", created["created_at"])
    assert before - timedelta(seconds=5) < datetime.fromisoformat(created["created_at"]) < before + timedelta(seconds=5)
    assert response.headers["Location"] == f"{STRATEGIES}/{created['id']}"
    assert (await api.ann.get(response.headers["Location"])).json() == created


async def test_a_name_is_enough(api: Api) -> None:
    created = (await api.ann.post(STRATEGIES, json={"name": "a"})).json()

    assert (created["description"], created["parameters"], created["is_active"]) == (None, {}, True)


async def test_a_missing_name_answers_the_documents_example(api: Api) -> None:
    response = await api.ann.post(STRATEGIES, json={"description": "no name"})

    assert response.status_code == 422
    assert response.json() == {
        "detail": [{"loc": ["body", "name"], "msg": "field required", "type": "value_error.missing"}]
    }


async def test_a_name_that_is_taken_is_a_conflict(api: Api) -> None:
    await api.ann.post(STRATEGIES, json=EXAMPLE)
    response = await api.ann.post(STRATEGIES, json=EXAMPLE)

    assert response.status_code == 409
    assert isinstance(response.json()["detail"], str)
    assert (await api.bob.post(STRATEGIES, json=EXAMPLE)).status_code == 201


REFUSED = {
    "blank name": (b'{"name": " \\u2003 "}', ["body", "name"]),
    "empty name": (b'{"name": ""}', ["body", "name"]),
    "long name": (b'{"name": "' + b"x" * 256 + b'"}', ["body", "name"]),
    "control character": (b'{"name": "a\\u0007"}', ["body", "name"]),
    "NUL in name": (b'{"name": "a\\u0000"}', ["body", "name"]),
    "surrogate in name": (b'{"name": "\\ud800"}', ["body", "name"]),
    "null name": (b'{"name": null}', ["body", "name"]),
    "number as name": (b'{"name": 1}', ["body", "name"]),
    "long description": (b'{"name": "a", "description": "' + b"x" * 10_001 + b'"}', ["body", "description"]),
    "NUL in description": (b'{"name": "a", "description": "\\u0000"}', ["body", "description"]),
    "surrogate in description": (b'{"name": "a", "description": "\\udfff"}', ["body", "description"]),
    "list as parameters": (b'{"name": "a", "parameters": []}', ["body", "parameters"]),
    "null as parameters": (b'{"name": "a", "parameters": null}', ["body", "parameters"]),
    "surrogate in parameters": (b'{"name": "a", "parameters": {"a": "\\ud800"}}', ["body", "parameters", "a"]),
    "surrogate in a key": (b'{"name": "a", "parameters": {"\\ud800": 1}}', ["body", "parameters"]),
    "too deep": (
        b'{"name": "a", "parameters": ' + b'{"a":' * 32 + b"{}" + b"}" * 33,
        ["body", "parameters", *32 * ["a"]],
    ),
    "too long": (b'{"name": "a", "parameters": {"a": "' + b"x" * 65_536 + b'"}}', ["body", "parameters"]),
    "number too large": (b'{"name": "a", "parameters": {"a": 1e400}}', ["body", "parameters", "a"]),
    "integer too large": (b'{"name": "a", "parameters": {"a": 9223372036854775808}}', ["body", "parameters", "a"]),
    "inside an array": (b'{"name": "a", "parameters": {"a": [1, {"b": 1e400}]}}', ["body", "parameters", "a", 1, "b"]),
    "inside a key that is no field name": (
        b'{"name": "a", "parameters": {"a": {"not a name": {"b": 1e400}}}}',
        ["body", "parameters", "a"],
    ),
    "text as is_active": (b'{"name": "a", "is_active": "yes"}', ["body", "is_active"]),
    "number as is_active": (b'{"name": "a", "is_active": 1}', ["body", "is_active"]),
    "unknown field": (b'{"name": "a", "colour": "red"}', ["body", "colour"]),
    "id": (b'{"name": "a", "id": 7}', ["body", "id"]),
    "NaN": (b'{"name": "a", "parameters": {"a": NaN}}', ["body"]),
    "NaN in a typed field": (b'{"name": "a", "is_active": NaN}', ["body"]),
    "key twice": (b'{"name": "a", "name": "b"}', ["body"]),
    "key twice inside": (b'{"name": "a", "parameters": {"a": 1, "a": 1}}', ["body"]),
    "not JSON": (b'{"name": ', ["body"]),
    "nested without end": (b"[" * 100_000, ["body"]),
    "very long number": (b'{"name": ' + b"9" * 5000 + b"}", ["body"]),
    "list": (b'[{"name": "a"}]', ["body"]),
    "null": (b"null", ["body"]),
    "nothing": (b"", ["body"]),
}


@pytest.mark.parametrize(("body", "loc"), REFUSED.values(), ids=REFUSED)
async def test_what_breaks_a_rule_is_refused_and_not_stored(api: Api, body: bytes, loc: list[str | int]) -> None:
    stored = (await api.ann.post(STRATEGIES, json={"name": "stored"})).json()
    headers = {"Content-Type": "application/json"}
    answers = [await api.ann.post(STRATEGIES, content=body, headers=headers)]
    if loc != ["body", "id"]:  # an update ignores these fields
        answers.append(await api.ann.put(f"{STRATEGIES}/{stored['id']}", content=body, headers=headers))

    for response in answers:
        assert response.status_code == 422
        assert len(response.content) < 4096
        [problem] = response.json()["detail"]
        assert list(problem) == ["loc", "msg", "type"]
        assert problem["loc"] == loc
        assert problem["type"].startswith("value_error.")
        assert problem["msg"][0].islower()
    assert (await api.ann.get(STRATEGIES)).json()["items"] == [stored]


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b'{"name": "a"}', "text/plain", 415),
        (b'{"name": "a"}', None, 415),
        ('{"name": "a"}'.encode("utf-16"), "application/json", 400),
        (b'{"name": "\xed\xa0\x80"}', "application/json", 400),
        (b'{"name": "a"}', "application/json; charset=UTF-8", 201),
        (b"x" * (JSON_MAX_BYTES + 1), "application/json", 413),
    ],
)
async def test_a_body_is_json_in_utf_8_and_at_most_a_mebibyte(
    api: Api, content: bytes, content_type: str | None, status: int
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = await api.ann.post(STRATEGIES, content=content, headers=headers)

    assert response.status_code == status
    assert status == 201 or isinstance(response.json()["detail"], str)


async def test_a_body_without_announced_length_is_cut_off_at_a_mebibyte(api: Api) -> None:
    sent = 0

    async def chunks():
        nonlocal sent
        for _ in range(100):
            sent += 65_536
            yield b" " * 65_536

    response = await api.ann.post(STRATEGIES, content=chunks(), headers={"Content-Type": "application/json"})

    assert (response.status_code, list(response.json())) == (413, ["detail"])
    assert sent <= JSON_MAX_BYTES + 2 * 65_536


async def test_parameters_come_back_value_for_value_in_key_order(api: Api) -> None:
    text = (
        '{"z":1,"a":[1,1.0,-0.0,1e+22,5e-324,9223372036854775807,-9223372036854775808,true,null,"1"],'
        '"":{"y":{},"b":[]},"\\u0000":"\\u2028 🚀 \\" \\\\ \\n"}'
    )
    response = await api.ann.post(
        STRATEGIES, content=f'{{"name":"a","parameters":{text}}}', headers={"Content-Type": "application/json"}
    )
    listed = await api.ann.get(STRATEGIES)

    expected = [1, 1.0, -0.0, 1e22, 5e-324, 2**63 - 1, -(2**63), True, None, "1"]
    for parameters in (response.json()["parameters"], listed.json()["items"][0]["parameters"]):
        assert list(parameters) == ["z", "a", "", "\x00"]
        assert [(type(value), repr(value)) for value in parameters["a"]] == [
            (type(value), repr(value)) for value in expected
        ]
        assert list(parameters[""]) == ["y", "b"]
        assert parameters["\x00"] == '\u2028 🚀 " \\ \n'


# List


async def test_an_empty_list_has_its_envelope(api: Api) -> None:
    response = await api.ann.get(STRATEGIES)

    assert response.status_code == 200
    assert list(response.json().items()) == [("items", []), ("total", 0), ("skip", 0), ("limit", 100)]


async def test_a_page_is_what_skip_limit_and_active_only_say(api: Api) -> None:
    for number in range(6):
        await api.ann.post(STRATEGIES, json={"name": f"s{number}", "is_active": number % 2 == 0})
    page = (await api.ann.get(STRATEGIES, params={"skip": 1, "limit": 2})).json()
    active = (await api.ann.get(STRATEGIES, params={"skip": 1, "limit": 1, "active_only": True})).json()

    assert [item["name"] for item in page["items"]] == ["s1", "s2"]
    assert (page["total"], page["skip"], page["limit"]) == (6, 1, 2)
    assert [item["name"] for item in active["items"]] == ["s2"]
    assert (active["total"], active["skip"], active["limit"]) == (3, 1, 1)
    assert list(page["items"][0]) == FIELDS


@pytest.mark.parametrize(
    ("query", "names"),
    [("", ["on", "off"]), ("?active_only=false", ["on", "off"]), ("?active_only=true", ["on"])],
)
async def test_inactive_strategies_are_left_out_when_that_is_asked_for(api: Api, query: str, names: list[str]) -> None:
    for name in ("on", "off"):
        await api.ann.post(STRATEGIES, json={"name": name, "is_active": name == "on"})
    assert [item["name"] for item in (await api.ann.get(STRATEGIES + query)).json()["items"]] == names


async def test_all_that_is_wrong_with_a_body_is_said_at_once(api: Api) -> None:
    wrong = {"name": "", "description": 1, "parameters": {"n": 2**63}, "is_active": "yes"}
    locations = [["body", "name"], ["body", "description"], ["body", "parameters", "n"], ["body", "is_active"]]
    response = await api.ann.post(STRATEGIES, json=wrong)

    assert response.status_code == 422
    assert [problem["loc"] for problem in response.json()["detail"]] == locations


@pytest.mark.parametrize("query", ["limit=1000", "limit=1", "skip=9223372036854775807", "active_only=false"])
async def test_the_limits_of_the_query_are_allowed(api: Api, query: str) -> None:
    assert (await api.ann.get(f"{STRATEGIES}?{query}")).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        *("limit=1001", "limit=0", "limit=-1", "skip=-1", "skip=9223372036854775808", "skip=1_000", "skip=%201"),
        *("skip=%2B1", "skip=1.0", "skip=01", "skip=", "limit=x", "active_only=yes", "active_only=1", "active_only="),
        *("skip=" + "9" * 5000, "skip=%EF%BC%91", "is_active=true"),
    ],
)
async def test_any_other_query_is_refused(api: Api, query: str) -> None:
    response = await api.ann.get(f"{STRATEGIES}?{query}")

    assert response.status_code == 422
    [problem] = response.json()["detail"]
    assert problem["loc"] == ["query", query.partition("=")[0]]


# Get, update, delete


async def test_an_update_keeps_what_is_not_sent(api: Api) -> None:
    created = (await api.ann.post(STRATEGIES, json=EXAMPLE)).json()
    path = f"{STRATEGIES}/{created['id']}"
    response = await api.ann.put(path, json={"name": "Updated Strategy Name", "parameters": {"new_param": 42}})
    updated = response.json()

    assert response.status_code == 200
    assert list(updated) == FIELDS
    assert updated.pop("updated_at") >= created.pop("updated_at")
    assert updated == created | {"name": "Updated Strategy Name", "parameters": {"new_param": 42}}
    assert (await api.ann.get(path)).json() == response.json()


@pytest.mark.parametrize(
    "change",
    [{}, {"description": None}, {"is_active": False}, {"description": ""}, {"parameters": {}}, {"name": "same name?"}],
)
async def test_each_field_can_be_changed_alone(api: Api, change: dict[str, object]) -> None:
    created = (await api.ann.post(STRATEGIES, json=EXAMPLE)).json()
    updated = (await api.ann.put(f"{STRATEGIES}/{created['id']}", json=change)).json()

    assert updated == created | change | {"updated_at": updated["updated_at"]}


async def test_what_get_answered_can_be_sent_back(api: Api) -> None:
    created = (await api.ann.post(STRATEGIES, json=EXAMPLE)).json()
    other = created | {"id": 999, "created_at": "yesterday", "updated_at": None, "name": "new"}
    updated = (await api.ann.put(f"{STRATEGIES}/{created['id']}", json=other)).json()

    assert updated == created | {"name": "new", "updated_at": updated["updated_at"]}


async def test_an_update_cannot_take_anothers_name(api: Api) -> None:
    await api.ann.post(STRATEGIES, json={"name": "a"})
    other = (await api.ann.post(STRATEGIES, json={"name": "b"})).json()
    path = f"{STRATEGIES}/{other['id']}"

    assert (await api.ann.put(path, json={"name": "a"})).status_code == 409
    assert (await api.ann.put(path, json={"name": "b"})).status_code == 200


async def test_deleting_answers_204_and_nothing(api: Api) -> None:
    created = (await api.ann.post(STRATEGIES, json=EXAMPLE)).json()
    path = f"{STRATEGIES}/{created['id']}"
    response = await api.ann.delete(path)

    assert (response.status_code, response.content) == (204, b"")
    assert (await api.ann.get(path)).status_code == 404
    assert (await api.ann.delete(path)).status_code == 404
    assert (await api.ann.post(STRATEGIES, json=EXAMPLE)).json()["id"] != created["id"]


@pytest.mark.parametrize(
    "strategy_id", ["0", "-1", "999999", "2147483648", "9223372036854775807", "9223372036854775808"]
)
async def test_an_id_that_was_not_given_is_not_found(api: Api, strategy_id: str) -> None:
    path = f"{STRATEGIES}/{strategy_id}"
    answers = [await api.ann.get(path), await api.ann.put(path, json={"name": "a"}), await api.ann.delete(path)]

    assert [(answer.status_code, answer.json()) for answer in answers] == [(404, {"detail": "Strategy not found"})] * 3


@pytest.mark.parametrize("strategy_id", ["x", "1.0", "0001", "+1", "%201", "1_0", "%EF%BC%91", "9" * 5000, "1e3"])
async def test_what_is_no_integer_is_no_id(api: Api, strategy_id: str) -> None:
    response = await api.ann.get(f"{STRATEGIES}/{strategy_id}")

    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["path", "id"]


async def test_anothers_strategy_is_answered_like_one_that_does_not_exist(api: Api) -> None:
    theirs = (await api.bob.post(STRATEGIES, json=EXAMPLE)).json()
    path, nowhere = f"{STRATEGIES}/{theirs['id']}", f"{STRATEGIES}/999999"

    for method, body in (("GET", None), ("PUT", {"name": "stolen"}), ("DELETE", None)):
        there = await api.ann.request(method, path, json=body, headers=SAME_ID)
        not_there = await api.ann.request(method, nowhere, json=body, headers=SAME_ID)
        assert (there.status_code, there.content, there.headers) == (404, not_there.content, not_there.headers)
    assert (await api.bob.get(path)).json() == theirs
    assert (await api.ann.get(STRATEGIES)).json()["total"] == 0


# Errors of the framework


async def test_an_unknown_path_is_404_in_json(api: Api) -> None:
    response = await api.stranger.get("/nowhere")

    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})
    assert "Allow" not in response.headers


@pytest.mark.parametrize("path", ["/health/", f"{STRATEGIES}/", f"{STRATEGIES}/1/", f"{LOGIN}/"])
async def test_a_trailing_slash_is_another_path(api: Api, path: str) -> None:
    assert (await api.ann.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/health", {"GET", "HEAD"}),
        (LOGIN, {"POST"}),
        (STRATEGIES, {"GET", "HEAD", "POST"}),
        (f"{STRATEGIES}/1", {"GET", "HEAD", "PUT", "DELETE"}),
        ("/static-offline-docs/swagger-ui.css", {"GET", "HEAD"}),
    ],
)
async def test_405_names_all_methods(api: Api, path: str, allowed: set[str]) -> None:
    response = await api.ann.patch(path)

    assert (response.status_code, response.json()) == (405, {"detail": "Method Not Allowed"})
    assert set(response.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", ["/health", STRATEGIES, f"{STRATEGIES}/999", "/docs", "/redoc", "/openapi.json"])
async def test_head_answers_like_get_without_the_body(api: Api, path: str) -> None:
    got, head = await api.ann.get(path, headers=SAME_ID), await api.ann.head(path, headers=SAME_ID)

    assert (head.status_code, head.headers, head.content) == (got.status_code, got.headers, b"")


async def test_an_origin_that_is_configured_may_read_answers_without_credentials(api: Api) -> None:
    origin = {"Origin": "https://app.example.com"}
    response = await api.ann.get(STRATEGIES, headers=origin)
    preflight = await api.stranger.options(
        STRATEGIES,
        headers=origin
        | {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization,content-type"},
    )

    assert response.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    exposed = set(response.headers["Access-Control-Expose-Headers"].split(", "))
    assert exposed == {"Location", "Retry-After", "WWW-Authenticate", "X-Request-ID"}
    assert (preflight.status_code, preflight.text) == (200, "OK")
    assert set(preflight.headers["Access-Control-Allow-Methods"].split(", ")) == {
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "DELETE",
    }
    assert "Access-Control-Allow-Credentials" not in {*response.headers, *preflight.headers}


async def test_a_refused_preflight_is_json(api: Api) -> None:
    response = await api.stranger.options(
        STRATEGIES, headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"}
    )

    assert (response.status_code, response.json()) == (400, {"detail": "Disallowed CORS origin"})
    assert "Access-Control-Allow-Origin" not in response.headers
    assert response.headers["Vary"].startswith("Origin")
