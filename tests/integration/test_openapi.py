"""The published openapi.json, which describes exactly what the service does, and the two pages that show it."""

import copy
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urljoin

import httpx
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import example, given
from hypothesis import strategies as st
from in_process import PASSWORD, Api, OpenStores, bearer, core_over
from pydantic import TypeAdapter, ValidationError

from tradingagents_core import __version__
from tradingagents_core.domain.api_keys import API_KEYS_MAX
from tradingagents_core.domain.login_throttle import FREE_FAILURES_FROM_ONE_SOURCE
from tradingagents_core.domain.strategies import DESCRIPTION_MAX_LENGTH, NAME_MAX_LENGTH, StrategyContent
from tradingagents_core.errors import InvalidInput, StoreUnavailable
from tradingagents_core.use_cases import UseCases
from tradingagents_http.app import create_app
from tradingagents_http.requests.bodies import JSON_MAX_BYTES
from tradingagents_http.routes import health
from tradingagents_http.schemas.strategies import StrategyCreate
from tradingagents_service.document import openapi_document

pytestmark = pytest.mark.anyio

STATUSES = {
    ("get", "/health"): ("health", {200, 413, 422, 500}),
    ("get", "/.well-known/jwks.json"): ("list_public_keys", {200, 413, 422, 500}),
    ("post", "/api/v1/auth/login"): ("login", {200, 400, 401, 413, 415, 422, 429, 500, 503}),
    ("post", "/api/v1/auth/refresh"): ("refresh", {200, 400, 401, 413, 415, 422, 500, 503}),
    ("post", "/api/v1/auth/logout"): ("logout", {204, 400, 401, 403, 413, 422, 500, 503}),
    ("get", "/api/v1/auth/sessions"): ("list_sessions", {200, 400, 401, 403, 413, 422, 500, 503}),
    ("delete", "/api/v1/auth/sessions/{id}"): ("end_session", {204, 400, 401, 403, 404, 413, 422, 500, 503}),
    ("post", "/api/v1/api-keys"): ("create_api_key", {201, 400, 401, 403, 409, 413, 415, 422, 500, 503}),
    ("get", "/api/v1/api-keys"): ("list_api_keys", {200, 400, 401, 403, 413, 422, 500, 503}),
    ("delete", "/api/v1/api-keys/{id}"): ("revoke_api_key", {204, 400, 401, 403, 404, 413, 422, 500, 503}),
    ("get", "/api/v1/auth/me"): ("get_account", {200, 400, 401, 413, 422, 500, 503}),
    ("post", "/api/v1/auth/password"): ("change_password", {204, 400, 401, 403, 413, 415, 422, 429, 500, 503}),
    ("post", "/api/v1/auth/register"): ("register", {201, 400, 403, 409, 413, 415, 422, 500, 503}),
    ("get", "/api/v1/strategies"): ("list_strategies", {200, 400, 401, 403, 413, 422, 500, 503}),
    ("post", "/api/v1/strategies"): ("create_strategy", {201, 400, 401, 403, 409, 413, 415, 422, 500, 503}),
    ("get", "/api/v1/strategies/{id}"): ("get_strategy", {200, 400, 401, 403, 404, 413, 422, 500, 503}),
    ("put", "/api/v1/strategies/{id}"): (
        "update_strategy",
        {200, 400, 401, 403, 404, 409, 413, 415, 422, 500, 503},
    ),
    ("delete", "/api/v1/strategies/{id}"): ("delete_strategy", {204, 400, 401, 403, 404, 413, 422, 500, 503}),
}

PATHS: Final = {operation: (method, path) for (method, path), (operation, _) in STATUSES.items()}
ANSWERS: Final = (
    *("Strategy", "StrategyPage", "Token", "Health", "ErrorResponse", "ValidationErrorResponse", "Problem"),
    *("TokenErrorResponse", "TokenValidationErrorResponse", "RefreshedToken", "Session", "SessionPage"),
    *("ApiKey", "NewApiKey", "ApiKeyPage", "Account"),
    *("PublicKeySet", "RsaPublicKey", "EcPublicKey", "OkpPublicKey"),
)
REQUESTS: Final = {
    "StrategyCreate": ["name", "description", "parameters", "is_active"],
    "StrategyUpdate": ["name", "description", "parameters", "is_active"],
    "ApiKeyCreate": ["name", "scopes", "expires_at"],
    "PasswordChange": ["current_password", "new_password"],
    "Registration": ["email", "password"],
}
FORMS: Final = ("LoginForm", "RefreshForm")
OPEN_TO_ALL: Final = {"health", "list_public_keys", "login", "refresh", "register"}
TAKE_API_KEYS: Final = {
    "get_account",
    *(operation for operation, _ in STATUSES.values() if operation.endswith(("strategy", "strategies"))),
}
DOCUMENTED: Final = [(operation, status) for operation, statuses in STATUSES.values() for status in sorted(statuses)]


@pytest.fixture
async def api(
    open_memory_stores: OpenStores, api_over: Callable[..., AbstractAsyncContextManager[Api]]
) -> AsyncIterator[Api]:
    """The API over stores of one kind: the document is the same for every kind."""
    async with open_memory_stores() as stores, api_over(stores, registration_enabled=True) as opened:
        yield opened


@pytest.fixture(scope="session")
def document() -> dict[str, Any]:
    # As published in JSON: for example, lists in place of tuples.
    return json.loads(json.dumps(openapi_document()))


@pytest.fixture(scope="session")
def is_valid(document: dict[str, Any]) -> Callable[[str, object], bool]:
    """Whether a value is valid for a schema of the document."""
    names = document["components"]["schemas"]
    components = {"components": document["components"]}
    validators = {
        name: jsonschema_rs.Draft202012Validator({"$ref": f"#/components/schemas/{name}", **components})
        for name in names
    }
    return lambda name, value: validators[name].is_valid(value)


@pytest.fixture(scope="session")
def is_exactly(document: dict[str, Any]) -> Callable[[str, object], bool]:
    """Whether a value is valid for a schema of the document, and has no field that the schema does not name."""
    closed = copy.deepcopy(document["components"])
    for schema in closed["schemas"].values():
        schema["additionalProperties"] = False
    validators = {
        name: jsonschema_rs.Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": closed})
        for name in closed["schemas"]
    }
    return lambda name, value: validators[name].is_valid(value)


async def test_the_published_document_is_this_one(api: Api, document: dict[str, Any]) -> None:
    assert (await api.stranger.get("/openapi.json")).json() == document


def test_the_document_is_of_this_version(document: dict[str, Any]) -> None:
    assert document["info"]["version"] == __version__


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    # A URL may be relative to the document's URL (OpenAPI 3.1, 4.6), but this meta-schema does not allow that.
    resolved = copy.deepcopy(document)
    for scheme in resolved["components"]["securitySchemes"].values():
        for flow in scheme.get("flows", {}).values():
            for url in ("tokenUrl", "refreshUrl"):
                flow[url] = urljoin("http://localhost:8000/openapi.json", flow[url])
    schemathesis.openapi.from_dict(resolved).validate()


def test_every_schema_of_the_document_is_a_valid_json_schema(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]})


def test_every_route_has_its_operation_id_and_its_statuses(document: dict[str, Any]) -> None:
    assert {
        (method, path): (operation["operationId"], {int(status) for status in operation["responses"]})
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    } == STATUSES


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_always_has_all_its_fields(document: dict[str, Any], name: str) -> None:
    schema = document["components"]["schemas"][name]
    on_request = {"refresh_token"} if name == "Token" else set()
    assert set(schema["required"]) == schema["properties"].keys() - on_request


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_may_have_more_fields_one_day(document: dict[str, Any], name: str) -> None:
    schema = document["components"]["schemas"][name]
    assert schema.get("additionalProperties", True) is True
    limits = {"pattern", "minLength", "maxLength", "minimum", "maximum"}
    assert not any(limits & each.keys() for each in schema["properties"].values())


def test_what_is_sent_has_exactly_the_fields_that_count(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name, fields in REQUESTS.items():
        assert list(schemas[name]["properties"]) == fields
        assert schemas[name]["additionalProperties"] is False


def test_every_schema_belongs_to_a_request_or_an_answer(document: dict[str, Any]) -> None:
    assert document["components"]["schemas"].keys() == {*ANSWERS, *REQUESTS, *FORMS}


def test_parameters_are_objects_of_anything(document: dict[str, Any]) -> None:
    for name in ("StrategyCreate", "StrategyUpdate", "Strategy"):
        parameters = document["components"]["schemas"][name]["properties"]["parameters"]
        assert (parameters["type"], parameters["additionalProperties"]) == ("object", True)


def test_what_can_be_left_out_says_what_it_is_then(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    def defaults(name: str) -> dict[str, Any]:
        properties = schemas[name]["properties"]
        required = schemas[name].get("required", [])
        return {
            field: properties[field].get("default", "none is said") for field in properties if field not in required
        }

    assert defaults("StrategyCreate") == {"description": None, "parameters": {}, "is_active": True}
    assert defaults("ApiKeyCreate") == {"expires_at": None}
    assert defaults("LoginForm") == {"grant_type": "password", "scope": "none is said"}
    # A field that an update leaves out does not change.
    assert set(defaults("StrategyUpdate").values()) == {"none is said"}
    parameters = document["paths"]["/api/v1/strategies"]["get"]["parameters"]
    assert {each["name"]: each["schema"]["default"] for each in parameters} == {
        "skip": 0,
        "limit": 100,
        "active_only": False,
    }


def test_every_number_of_the_document_is_one_that_javascript_holds(document: dict[str, Any]) -> None:
    def numbers(value: object) -> Iterator[float]:
        match value:
            case dict():
                for each in value.values():
                    yield from numbers(each)
            case list():
                for each in value:
                    yield from numbers(each)
            case int() | float():
                yield value

    assert max(map(abs, numbers(document))) < 2**53


def test_no_line_separator_gets_into_the_source_of_a_client(document: dict[str, Any]) -> None:
    assert not re.search(r"2028|2029", json.dumps(document))


def test_every_error_answer_has_its_body(document: dict[str, Any]) -> None:
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    schema = answer["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                    body = "ValidationErrorResponse" if status == "422" else "ErrorResponse"
                    issues_tokens = operation["operationId"] in {"login", "refresh"}
                    has_code = issues_tokens and int(status) in {400, 401, 415, 422}
                    assert schema == (f"Token{body}" if has_code else body)


def test_examples_are_the_references(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    assert schemas["StrategyCreate"]["properties"]["name"]["examples"] == ["RSI Mean Reversion"]
    assert schemas["Problem"]["properties"]["type"]["examples"] == ["value_error.missing"]


def test_the_example_of_an_update_changes_name_and_parameters_and_nothing_else(document: dict[str, Any]) -> None:
    body = document["paths"]["/api/v1/strategies/{id}"]["put"]["requestBody"]["content"]["application/json"]
    [example] = body["examples"].values()
    assert example["value"] == {"name": "Updated Strategy Name", "parameters": {"new_param": 42}}


def test_schemes_say_how_tokens_and_keys_are_sent(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert schemes.keys() == {"Bearer", "OAuth2Password", "ApiKey"}
    for name in ("Bearer", "ApiKey"):
        assert (schemes[name]["type"], schemes[name]["scheme"]) == ("http", "bearer")
    assert schemes["OAuth2Password"]["flows"]["password"]["tokenUrl"] == "/api/v1/auth/login"
    assert schemes["OAuth2Password"]["flows"]["password"]["refreshUrl"] == "/api/v1/auth/refresh"
    assert "ta_[A-Za-z0-9_-]{43}" in schemes["ApiKey"]["description"]


def test_every_operation_says_whether_it_needs_a_token_and_whether_it_takes_a_key(document: dict[str, Any]) -> None:
    def expected(operation: str) -> list[dict[str, list[str]]]:
        if operation in OPEN_TO_ALL:
            return []
        keys: list[dict[str, list[str]]] = [{"ApiKey": []}] if operation in TAKE_API_KEYS else []
        return [{"Bearer": []}, {"OAuth2Password": []}, *keys]

    assert {
        operation["operationId"]: operation["security"]
        for operations in document["paths"].values()
        for operation in operations.values()
    } == {operation: expected(operation) for operation, _ in STATUSES.values()}


def test_the_document_comes_from_the_server_that_it_describes(document: dict[str, Any]) -> None:
    assert [server["url"] for server in document["servers"]] == ["/"]


def test_every_tag_is_described(document: dict[str, Any]) -> None:
    described = {tag["name"] for tag in document["tags"] if tag["description"]}
    assert described == {
        tag
        for operations in document["paths"].values()
        for operation in operations.values()
        for tag in operation["tags"]
    }


async def test_the_introduction_says_how_to_log_in_page_and_retry_and_its_links_lead_on(
    api: Api, document: dict[str, Any]
) -> None:
    introduction = document["info"]["description"]
    links = re.findall(r"\]\(([^)]+)\)", introduction)

    for word in ("POST /api/v1/auth/login", "Authorization: Bearer", "`skip`", "`limit`", "`total`", "`Retry-After`"):
        assert word in introduction
    assert links == ["docs", "redoc", "openapi.json"]
    for link in links:
        assert (await api.stranger.get(f"/{link}")).status_code == 200


def test_every_example_is_valid(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        for each in schema.get("properties", {}).values():
            validator = jsonschema_rs.Draft202012Validator({**each, "components": document["components"]})
            assert all(validator.is_valid(value) for value in each.get("examples", []))


# Statuses


class Broken:
    """A use case that raises a given error."""

    def __init__(self, failure: Exception) -> None:
        self._failure = failure

    async def __call__(self, **_: object) -> None:
        raise self._failure


BODIES: Final[dict[str, dict[str, Any]]] = {
    "create_strategy": {"name": "another"},
    "update_strategy": {"name": "another"},
    "create_api_key": {"name": "bot", "scopes": ["strategies:read"]},
    "change_password": {"current_password": PASSWORD, "new_password": "AnotherPassword456"},
    "register": {"email": "carl@example.com", "password": PASSWORD},
}
INVALID_BODIES: Final[dict[str, dict[str, Any]]] = {
    "create_strategy": {},
    "update_strategy": {"name": ""},
    "create_api_key": {"scopes": ["strategies:read"]},
    "change_password": {**BODIES["change_password"], "current_password": "wrong password"},
    "register": {"email": "carl@example.com"},
}
INVALID_QUERIES: Final = {
    "list_strategies": "?limit=0",
    "list_sessions": "?limit=0",
    "list_api_keys": "?limit=0",
    "logout": "?scope=local",
    "get_account": "?verbose=1",
    "health": "?verbose=1",
    "list_public_keys": "?kid=1",
}
USE_CASES: Final = {
    "login": ("authentication", "login"),
    "refresh": ("authentication", "refresh"),
    "logout": ("authentication", "log_out"),
    "list_sessions": ("sessions", "list"),
    "end_session": ("sessions", "end"),
    "create_api_key": ("api_keys", "create"),
    "list_api_keys": ("api_keys", "list"),
    "revoke_api_key": ("api_keys", "revoke"),
    "get_account": ("accounts", "get"),
    "change_password": ("accounts", "change_password"),
    "register": ("accounts", "register"),
    "list_public_keys": ("authentication", "public_keys"),
    "list_strategies": ("strategies", "list"),
    "create_strategy": ("strategies", "create"),
    "get_strategy": ("strategies", "get"),
    "update_strategy": ("strategies", "update"),
    "delete_strategy": ("strategies", "delete"),
}


@dataclass(frozen=True)
class Prepared:
    """What a request may need: its own form, ids of what exists, and credentials."""

    forms: dict[str, dict[str, Any]]
    ids: dict[str, int]
    token: str
    other_key: str
    """A key without the scope of the operation."""


def to_be_answered(status: int, operation: str, prepared: Prepared) -> tuple[str, dict[str, Any]]:
    """The URL and the parts of a request whose answer has to have this status."""
    _, path = PATHS[operation]
    form = prepared.forms.get(operation)
    url = path.replace("{id}", "999" if status == 404 else str(prepared.ids.get(operation)))
    request: dict[str, Any] = {"headers": {"Authorization": prepared.token}}
    if form is not None:
        request["data"] = dict(form)
    elif operation in BODIES:
        request["json"] = dict(BODIES[operation])
    match status:
        case 400 if form is not None:
            request["data"][next(iter(form))] = ["twice", "twice"]
        case 400 if operation == "register":
            request = {"content": b'{"email": "\xff"}', "headers": {"Content-Type": "application/json"}}
        case 400:
            request["headers"] = [("Authorization", prepared.token)] * 2
        case 401 if form is not None:
            request["data"][list(form)[-1]] = "wrong"
        case 401:
            request["headers"] = {"Authorization": "Bearer x.y.z"}
        case 403:
            request["headers"] = bearer(prepared.other_key)
        case 409:
            request["json"] |= {"email": "user@example.com"} if operation == "register" else {"name": "taken"}
        case 413:
            request = {**request, "json": None, "data": None, "content": b" " * (JSON_MAX_BYTES + 1)}
        case 415:
            request["headers"]["Content-Type"] = "text/plain"
        case 422:
            url = invalid(operation, url, path, request)
    return url, request


def invalid(operation: str, url: str, path: str, request: dict[str, Any]) -> str:
    """Make the request invalid, and return its URL."""
    if operation in INVALID_BODIES:
        request["json"] = INVALID_BODIES[operation]
        return url
    if "data" in request:
        request["data"].popitem()
        return url
    return path.replace("{id}", "x") + INVALID_QUERIES.get(operation, "")


def with_broken(core: UseCases, operation: str, error: Exception) -> UseCases:
    """The core with a use case for this operation that raises the error."""
    group, name = USE_CASES[operation]
    return replace(core, **{group: replace(getattr(core, group), **{name: Broken(error)})})


async def prepared(api: Api, operation: str) -> Prepared:
    """Everything that the requests of an operation may need."""
    await api.core.accounts.create(email="user@example.com", password=PASSWORD)
    mine = (await api.ann.post("/api/v1/strategies", json={"name": "mine"})).json()
    await api.ann.post("/api/v1/strategies", json={"name": "taken"})
    form = {"username": "ann@example.com", "password": PASSWORD}
    login = await api.stranger.post(PATHS["login"][1], data={**form, "scope": "offline_access"})
    sessions = (await api.ann.get(PATHS["list_sessions"][1])).json()["items"]
    reads = PATHS[operation][0] == "get"
    scopes = ["strategies:write" if reads else "strategies:read"]
    key = (await api.ann.post(PATHS["create_api_key"][1], json={"name": "bot", "scopes": scopes})).json()
    ids = dict.fromkeys(("get_strategy", "update_strategy", "delete_strategy"), mine["id"])
    return Prepared(
        forms={
            "login": form,
            "refresh": {"grant_type": "refresh_token", "refresh_token": login.json()["refresh_token"]},
        },
        ids=ids | {"end_session": sessions[-1]["id"], "revoke_api_key": key["id"]},
        token=api.ann.headers["Authorization"],
        other_key=key["key"],
    )


@pytest.fixture
def answered(api: Api, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], Awaitable[httpx.Response]]:
    """The answer of an operation, which has to have this status."""

    async def answer(operation: str, status: int) -> httpx.Response:
        method = PATHS[operation][0].upper()
        ready = await prepared(api, operation)
        url, request = to_be_answered(status, operation, ready)
        core = api.core
        match status:
            case 403 if operation == "register":
                core = core_over(api.stores, api.clock)
            case 409 if operation == "create_api_key":
                for _ in range(API_KEYS_MAX):
                    await api.ann.post(url, json=BODIES[operation])
            case 429:
                _, wrong = to_be_answered(401 if operation == "login" else 422, operation, ready)
                for _ in range(FREE_FAILURES_FROM_ONE_SOURCE + 1):
                    await api.stranger.request(method, url, **wrong)
            case 500 if operation == "health":
                monkeypatch.setattr(health, "__version__", None)
            case 500:
                core = with_broken(core, operation, RuntimeError())
            case 503:
                core = with_broken(core, operation, StoreUnavailable(reason="away", retry_after=1))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(create_app(core)), base_url="http://test") as client:
            return await client.request(method, url, **request)

    return answer


@pytest.mark.parametrize(("operation", "status"), DOCUMENTED)
async def test_every_documented_status_is_answered_as_documented(
    document: dict[str, Any],
    is_exactly: Callable[[str, object], bool],
    answered: Callable[[str, int], Awaitable[httpx.Response]],
    operation: str,
    status: int,
) -> None:
    method, path = PATHS[operation]
    documented = document["paths"][path][method]["responses"][str(status)]
    response = await answered(operation, status)

    assert response.status_code == status, response.text
    for name, header in documented.get("headers", {}).items():
        value = response.headers[name]
        typed = int(value) if header["schema"]["type"] == "integer" else value
        assert jsonschema_rs.is_valid(header["schema"], typed)
    if "content" in documented:
        [(media_type, content)] = documented["content"].items()
        assert response.headers["Content-Type"] == media_type
        assert is_exactly(content["schema"]["$ref"].rpartition("/")[2], response.json())
        assert status < 400 or content["example"] == response.json()
    else:
        assert response.content == b""


# Rules


def is_accepted(**content: Any) -> bool:
    try:
        StrategyContent(**content)
    except InvalidInput:
        return False
    return True


# Blank and control characters, their neighbours, and other white space by Unicode or ECMA 262.
EDGES: Final = (
    "\0\t\n\r\x1b\x1c\x1f !~\x7f\x80\x85\x9f\xa0\xa1\xad\u1680\u180e\u1fff\u2000\u200a\u200b\u2028\u2029\u202f\u205f"
)
edgy_texts: Final = st.text(
    st.sampled_from(EDGES + "\u2060\u3000\ufeff\uffff\U0010ffff") | st.characters(codec="utf-8")
)


@given(edgy_texts)
@example("")
@example("x" * NAME_MAX_LENGTH)
@example("x" * (NAME_MAX_LENGTH + 1))
@example("\U0001f680" * NAME_MAX_LENGTH)
@example(" " * NAME_MAX_LENGTH)
@example(" " * (NAME_MAX_LENGTH - 1) + "x")
@example("x\n")
def test_the_document_and_the_domain_allow_the_same_names(is_valid: Callable[[str, object], bool], name: str) -> None:
    assert is_valid("StrategyCreate", {"name": name}) is is_accepted(name=name)


@pytest.mark.parametrize("template", ["{}", "x{}", "{}x"])
def test_every_character_of_unicode_is_allowed_in_names_by_both_or_by_neither(
    is_valid: Callable[[str, object], bool], template: str
) -> None:
    # The planes above the first hold neither white space nor control characters.
    characters = [chr(code) for code in range(0x10000) if not 0xD800 <= code <= 0xDFFF]

    assert [
        character
        for character in characters
        if is_valid("StrategyCreate", {"name": template.format(character)})
        is not is_accepted(name=template.format(character))
    ] == []


@given(st.none() | edgy_texts)
@example("x" * DESCRIPTION_MAX_LENGTH)
@example("x" * (DESCRIPTION_MAX_LENGTH + 1))
@example("\0")
@example("\n")
def test_the_document_and_the_domain_allow_the_same_descriptions(
    is_valid: Callable[[str, object], bool], description: str | None
) -> None:
    assert is_valid("StrategyCreate", {"name": "a", "description": description}) is is_accepted(
        name="a", description=description
    )


json_values: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | edgy_texts,
    lambda items: st.lists(items, max_size=3) | st.dictionaries(edgy_texts, items, max_size=3),
    max_leaves=8,
)
bodies: Final = json_values | st.fixed_dictionaries(
    {},
    optional={
        "name": edgy_texts | json_values,
        "description": edgy_texts | json_values,
        "parameters": st.dictionaries(edgy_texts, json_values, max_size=3) | json_values,
        "is_active": st.booleans() | json_values,
        "id": json_values,
    },
)


@given(bodies)
def test_the_document_and_the_service_allow_the_same_bodies(
    is_valid: Callable[[str, object], bool], body: object
) -> None:
    def is_stored() -> bool:
        try:
            TypeAdapter(StrategyCreate).validate_python(body).content()
        except (ValidationError, InvalidInput):
            return False
        return True

    assert is_valid("StrategyCreate", body) is is_stored()


# Pages


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_a_page_loads_everything_from_here(api: Api, page: str) -> None:
    response = await api.stranger.get(page)
    sources = re.findall(r'(?:src|href|spec-url)="([^"]+)"', response.text)

    assert response.status_code == 200
    assert len(sources) >= 2
    for source in sources:
        assert source.startswith("/")
        assert (await api.stranger.get(source)).status_code == 200


async def test_redoc_asks_no_other_host_for_its_logo(api: Api) -> None:
    page = (await api.stranger.get("/redoc")).text
    [script] = re.findall(r'src="([^"]+)"', page)
    response = await api.stranger.get(script)

    assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert not re.search(r"""(src|href):["']https?://[^"']+\.(svg|png|css|js)""", response.text)
    assert "fonts.googleapis.com" not in page + response.text
