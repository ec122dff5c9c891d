"""A random script of requests to the API over every store: the answers are the same for all stores."""

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from in_process import PASSWORD, Stores
from postgresql import Database
from sqlalchemy.engine import URL

from tradingagents_adapters.argon2_passwords import Argon2PasswordHasher
from tradingagents_adapters.database_url import read_database_url
from tradingagents_adapters.jwt_tokens import JwtTokenService
from tradingagents_adapters.login_queue import RoundRobinLoginQueue
from tradingagents_adapters.memory import MemoryLoginFailures
from tradingagents_adapters.sql import open_database
from tradingagents_adapters.sql.login_failures import SqlLoginFailures
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_adapters.sql.schema import migrate
from tradingagents_core.domain.parameters import PARAMETERS_MAX_BYTES, PARAMETERS_MAX_DEPTH
from tradingagents_core.ports import LoginFailures
from tradingagents_core.use_cases import UseCases
from tradingagents_http.app import create_app
from tradingagents_http.requests.bodies import JSON_MAX_BYTES

pytestmark = pytest.mark.anyio

LOGIN: Final = "/api/v1/auth/login"
_PLAIN_DIFFERENCES: Final = {"content-length", "x-request-id"}
"""Headers that differ between equal answers."""
STRATEGIES: Final = "/api/v1/strategies"

SCRIPTS: Final = 50
SHORTEST_SCRIPT: Final = 10
LONGEST_SCRIPT: Final = 40

USERS: Final = ("ann", "bob")
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


# Requests


@dataclass(frozen=True, slots=True)
class Known:
    """The path of the strategy with this number in the order of creation; after the last, numbers start again."""

    number: int


@dataclass(frozen=True, slots=True)
class Request:
    """A request. `{ann}` and `{bob}` in `authorization` stand for the tokens of the users."""

    method: str
    path: str | Known
    query: str = ""
    authorization: tuple[bytes, ...] = ()
    content_type: tuple[bytes, ...] = ()
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content: bytes = b""


def mostly(usual: st.SearchStrategy[Any], unusual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 9).flatmap(lambda roll: unusual if roll == 9 else usual)


def nested(opening: str, closing: str, depth: int) -> bytes:
    return (f'{{"name": "a", "parameters": {{"a": {opening * depth}{closing * depth}}}}}').encode()


def json_bytes(value: object) -> st.SearchStrategy[bytes]:
    return st.booleans().map(lambda ascii_: json.dumps(value, ensure_ascii=ascii_).encode(errors="surrogatepass"))


texts: Final = st.text(max_size=12)
any_texts: Final = st.text(st.characters(exclude_categories=[]), max_size=12)
json_values: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_texts,
    lambda items: st.lists(items, max_size=3) | st.dictionaries(any_texts, items, max_size=3),
    max_leaves=8,
)
names: Final = st.sampled_from(["a", "b", "A", "ä", "a\u0308", "策略 🚀", " a ", "x" * 255]) | texts
parameters: Final = st.dictionaries(
    texts,
    st.sampled_from([0, -0.0, 1.0, 1e22, 5e-324, 2**63 - 1, -(2**63), True, None, "\x00", "\u2028", {"z": 1, "a": []}])
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    max_size=4,
)
fields: Final = {"description": st.none() | texts, "parameters": parameters, "is_active": st.booleans()}
contents: Final = st.fixed_dictionaries({"name": names}, optional=fields)
changes: Final = st.fixed_dictionaries({}, optional={"name": names, "id": st.integers(), **fields})

hostile_values: Final = json_values | st.sampled_from(
    [
        *("", " ", "\u2003", "\x00", "\ud800", "\udfff", "a\x07", "x" * 256, "x" * 10_001, "1", "true"),
        *([], {}, [{}], None, 0, 1, 1.5, -1, 2**31, 2**63, -(2**63) - 1, 10**400, float("nan"), float("inf")),
        *({"a": 2**63}, {"a": "\ud800"}, {"\udc00": 1}, {"a": float("nan")}, {"a": "x" * PARAMETERS_MAX_BYTES}),
        {"a": ["é" * 40_000]},
    ]
)
slightly_broken: Final = st.builds(
    lambda content, name, value: {**content, name: value},
    contents,
    st.sampled_from(["name", "description", "parameters", "is_active", "id", "owner_id", "created_at", "", "\ud800"]),
    hostile_values,
)
hostile_texts: Final = st.sampled_from(
    [
        *(
            b"",
            b" ",
            b"null",
            b"[]",
            b"{}",
            b"{",
            b'"',
            b"NaN",
            b"-Infinity",
            b"1",
            b'{"name"',
            b"'a'",
            b'{"name": "a",}',
        ),
        *(b'{"name": "a"} x', b'{"name": "a"}{}', b'{"name": "a", "name": "a"}', b'{"name": "\\ud83d"}', b"\x00"),
        *(b'{"name": "a", "parameters": {"a": 1, "a": 2}}', b'{"name": "a", "parameters": {"a": 1e400}}'),
        *(b'{"name": "a", "parameters": {"a": 1e-400, "b": -0, "c": 1E2, "d": 0.1e1}}', b'{"name": "a\xff"}'),
        *(b'{"name": "\xed\xa0\x80"}', b'\xef\xbb\xbf{"name": "a"}', '{"name": "a"}'.encode("utf-16"), b"a=1&b=2"),
        *(b"[" * 100_000, b'{"a":' * 20_000, b'{"name": ' + b"9" * 5000 + b"}", b'{"name": ' + b"-" * 5000 + b"1}"),
        *(nested("[", "]", PARAMETERS_MAX_DEPTH - 1), nested("[", "]", PARAMETERS_MAX_DEPTH)),
        *(nested('{"a":', "}", 500), b'{"name": "' + b"x" * JSON_MAX_BYTES + b'"}', b" " * JSON_MAX_BYTES + b"1"),
    ]
) | st.binary(max_size=30)
hostile_bodies: Final = slightly_broken.flatmap(json_bytes) | json_values.flatmap(json_bytes) | hostile_texts

ids: Final = st.sampled_from(
    [
        *("0", "-1", "-0", "1", "7", "999999", "2147483648", "9223372036854775807", "9223372036854775808", "1" * 5000),
        *(
            "x",
            "01",
            "+1",
            "1.0",
            "1e3",
            "1_0",
            "0x1",
            "%201",
            "1%20",
            "%EF%BC%91",
            "%00",
            "1%00",
            "%FF",
            "1;2",
            "null",
        ),
        *("1/", "1//", "1/x", "..%2F1", "%2e%2e", "{id}", "1?", "%25", "'", "1%27--"),
    ]
)
paths: Final = st.builds(Known, st.integers(0, 5)) | ids.map(lambda each: f"{STRATEGIES}/{each}")
other_paths: Final = st.sampled_from(
    [
        *("/", "/health", "/health/", "/nowhere", STRATEGIES + "/", LOGIN, LOGIN + "/", STRATEGIES.upper()),
        *("//api/v1/strategies", "/api/v1", "/openapi.json", "/%00", "/api/v1/strategies%2F1", "/docs/x"),
    ]
)

query_values: Final = st.sampled_from(
    [
        *("0", "1", "2", "3", "100", "1000", "1001", "-1", "-0", "9223372036854775807", "9223372036854775808", ""),
        *("true", "false", "True", "TRUE", "yes", "1.0", "01", "+1", " 1", "1_0", "\uff11", "\x00", "9" * 5000, "null"),
    ]
)
query_names: Final = mostly(
    st.sampled_from(["skip", "limit", "active_only"]), st.sampled_from(["", "x", "Skip", "limit[]", "\x00"]) | texts
)
queries: Final = st.lists(st.tuples(query_names, query_values), max_size=3).map(urlencode)
other_queries: Final = st.binary(max_size=12).map(quote)

own_tokens: Final = st.sampled_from([(b"Bearer {ann}",), (b"Bearer {bob}",)])
other_tokens: Final = st.sampled_from(
    [
        *((), (b"",), (b"Bearer",), (b"Bearer ",), (b"Bearer x.y.z",), (b"Bearer {ann}x",), (b"Bearer {ann} ",)),
        *((b"bearer {bob}",), (b"BEARER {bob}",), (b"Bearer  {ann}",), (b"Bearer\t{ann}",), (b"{ann}",)),
        *((b"Basic {ann}",), (b"Bearer {ann}", b"Bearer {bob}"), (b"Bearer {ann}, Bearer {bob}",), (b"Bearer \xff",)),
        *((b"Bearer {ann}.",), (b"Bearer " + b"x" * 20_000,), (b"Token {ann}",), (b'Bearer "{ann}"',)),
    ]
) | st.binary(max_size=20).map(lambda token: (b"Bearer " + token,))

json_types: Final = st.just((b"application/json",))
form_types: Final = st.just((b"application/x-www-form-urlencoded",))
other_types: Final = st.sampled_from(
    [
        *((), (b"",), (b"text/plain",), (b"application/json; charset=utf-8",), (b"application/json;charset=UTF-16",)),
        *((b"APPLICATION/JSON",), (b"application/json", b"text/plain"), (b"application/merge-patch+json",), (b"*/*",)),
        *((b"application/json, text/plain",), (b"multipart/form-data; boundary=x",), (b"application/json; x=\xff",)),
        *((b"application/x-www-form-urlencoded",), (b"application/x-www-form-urlencoded; charset=latin-1",)),
    ]
)
origins: Final = st.sampled_from([b"https://app.example.com", b"null", b"\xff", b""])
preflights: Final = st.builds(
    lambda origin, method, names: (
        (b"Origin", origin),
        (b"Access-Control-Request-Method", method),
        (b"Access-Control-Request-Headers", names),
    ),
    origins,
    st.sampled_from([b"PUT", b"PATCH", b"BREW", b"\xff", b""]),
    st.sampled_from([b"authorization,content-type", b"x-anything", b"\xff", b""]),
)
headers: Final = mostly(
    st.just(()),
    st.sampled_from(
        [
            ((b"Content-Encoding", b"gzip"),),
            ((b"Accept", b"text/html"),),
            ((b"If-Match", b'"1"'),),
            ((b"X-HTTP-Method-Override", b"DELETE"),),
            ((b"Cookie", b"a=\xff; b"),),
            ((b"Range", b"bytes=0-1"),),
        ]
    )
    | origins.map(lambda origin: ((b"Origin", origin),)),
)

emails: Final = st.sampled_from([f"{user}@example.com" for user in USERS])
other_emails: Final = st.sampled_from(["ANN@example.com", "nobody@example.com", "ann", "", "\x00", "a" * 300]) | texts
wrong_passwords: Final = st.sampled_from([PASSWORD + " ", PASSWORD.lower(), "x" * 2000, "\x00"]) | texts.filter(bool)
other_fields: Final = st.lists(
    st.tuples(st.sampled_from(["grant_type", "scope", "username", ""]), st.just("password") | texts), max_size=3
)


def form(email: str, password: str, others: Sequence[tuple[str, str]] = ()) -> bytes:
    return urlencode([("username", email), ("password", password), *others]).encode()


wrong_forms: Final = st.builds(form, emails | other_emails, wrong_passwords)
forms: Final = (
    st.builds(form, emails, st.just(PASSWORD)) | wrong_forms | st.builds(form, emails, st.just(PASSWORD), other_fields)
)
hostile_forms: Final = st.sampled_from(
    [
        *(b"", b"&", b"=", b"username", b"username=a", b"password=%FF&username=a", b"username=%00&password=%ED%A0%80"),
        *(b"username=a&password=b&password=c", b"username=a&password=" + b"b" * 8192, b"&".join([b"a=1"] * 100)),
        *(b'{"username": "a", "password": "b"}', b"username=a;password=b", b"username=a&password=b&\xff=1"),
    ]
)


def requests(method: str, path: st.SearchStrategy[Any], **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Request]:
    usual = {"authorization": mostly(own_tokens, other_tokens), "headers": headers}
    return st.builds(Request, st.just(method), path, **{**usual, **parts})


json_type: Final = mostly(json_types, other_types)
collection: Final = st.just(STRATEGIES)
login: Final = st.just(LOGIN)
form_type: Final = mostly(form_types, other_types)
any_requests: Final = st.one_of(
    requests("POST", collection, content_type=json_types, content=contents.flatmap(json_bytes)),
    requests("POST", collection, content_type=json_type, content=contents.flatmap(json_bytes)),
    requests("POST", collection, content_type=json_type, content=hostile_bodies),
    requests("GET", collection, query=mostly(queries, other_queries)),
    requests("GET", paths, query=mostly(st.just(""), queries)),
    requests("PUT", paths, content_type=json_type, content=changes.flatmap(json_bytes)),
    requests("PUT", paths, content_type=json_type, content=hostile_bodies),
    requests("DELETE", paths, content=mostly(st.just(b""), hostile_texts)),
    requests("OPTIONS", paths | collection | login, headers=preflights),
    requests("POST", login, content_type=form_type, content=forms),
    requests("POST", login, content_type=form_type, content=hostile_forms),
    st.sampled_from(["HEAD", "OPTIONS", "PATCH", "TRACE", "GET", "POST", "PUT", "DELETE", "BREW"]).flatmap(
        lambda method: requests(
            method, paths | collection | other_paths, query=queries, content_type=json_type, content=hostile_bodies
        )
    ),
)
# Enough failures to be throttled.
guesses: Final = st.builds(
    lambda request: [request] * 15, requests("POST", login, content_type=form_types, content=wrong_forms)
)
alone: Final = any_requests.map(lambda request: [request])
scripts: Final = st.lists(mostly(alone, mostly(alone, guesses)), min_size=SHORTEST_SCRIPT, max_size=LONGEST_SCRIPT).map(
    lambda parts: [request for part in parts for request in part]
)


# Services


class SteeredClock:
    """One clock for all services, so that their times are equal."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer without the values that differ between services: ids become their order of creation, tokens a word."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str


@dataclass(slots=True)
class Service:
    """The API over one store, with two users for each script."""

    core: UseCases
    client: httpx.AsyncClient
    script: int = 0
    sent: int = 0
    tokens: dict[str, str] = field(default_factory=dict)
    ids: list[int] = field(default_factory=list)

    async def begin(self) -> None:
        """Start a script with two new users."""
        self.script += 1
        self.ids = []
        for user in USERS:
            email = f"{user}@{self.script}.example.com"
            await self.core.accounts.create(email=email, password=PASSWORD)
            token = await self.core.authentication.login(email=email, password=PASSWORD, source="192.0.2.1")
            self.tokens[user] = token.access_token

    async def send(self, request: Request) -> httpx.Response:
        path = request.path
        if isinstance(path, Known):
            path = f"{STRATEGIES}/{self.ids[path.number % len(self.ids)] if self.ids else 0}"
        headers = [
            (b"X-Forwarded-For", b"10.0.%d.%d" % divmod(self.script, 256)),
            *((b"Authorization", self._with_tokens(value)) for value in request.authorization),
            *((b"Content-Type", value) for value in request.content_type),
            *request.headers,
        ]
        url = f"http://test{path}" + (f"?{request.query}" if request.query else "")
        # Every script has accounts of its own.
        content = request.content.replace(b"%40example.com", b"%%40%d.example.com" % self.script)
        self.sent += 1
        response = await self.client.request(request.method, url, headers=headers, content=content)
        if response.status_code == 201:
            self.ids.append(response.json()["id"])
        return response

    async def ask(self, user: str, method: str, path: str, content: bytes = b"") -> httpx.Response:
        """Send an ordinary request."""
        authorization, content_type = (b"Bearer {%s}" % user.encode(),), (b"application/json",)
        return await self.send(Request(method, path, "", authorization, content_type, content=content))

    async def lists(self) -> list[Answer]:
        """The lists of all strategies of the users."""
        return [self.comparable(await self.ask(user, "GET", f"{STRATEGIES}?limit=1000")) for user in USERS]

    def comparable(self, response: httpx.Response) -> Answer:
        headers = {name: value for name, value in response.headers.multi_items() if name not in _PLAIN_DIFFERENCES}
        if "location" in headers:
            path, _, strategy_id = headers["location"].rpartition("/")
            headers["location"] = f"{path}/{self._ordinal(int(strategy_id))}"
        body = response.text
        if headers.get("content-type") == "application/json" and body:
            body = json.dumps(self._without_ids(response.json()))
        return Answer(response.status_code, tuple(sorted(headers.items())), body)

    def _without_ids(self, value: Any) -> Any:
        match value:
            case {"id": int() as strategy_id, "name": _, "created_at": _}:
                return {**value, "id": self._ordinal(strategy_id)}
            case {"items": list() as items, "total": _}:
                return {**value, "items": [self._without_ids(item) for item in items]}
            case {"access_token": str(), "token_type": _}:
                return {**value, "access_token": "a token"}
        return value

    def _ordinal(self, strategy_id: int) -> str:
        return f"created {self.ids.index(strategy_id)}."

    def _with_tokens(self, value: bytes) -> bytes:
        return re.sub(rb"\{(ann|bob)\}", lambda match: self.tokens[match[1].decode()].encode(), value)


@pytest.fixture
def clock() -> SteeredClock:
    return SteeredClock()


@pytest.fixture
async def services(
    tmp_path: Path, database: Database, clock: SteeredClock, numbers: Callable[..., None]
) -> AsyncIterator[Mapping[str, Service]]:
    """The API over a store of each kind. Login failures are in the same database as the strategies."""
    async with AsyncExitStack() as stack:

        async def over(stores: Stores, failures: LoginFailures) -> Service:
            core = UseCases.over(
                strategies=stores.strategies,
                accounts=stores.accounts,
                failures=failures,
                login_queue=RoundRobinLoginQueue(turns=1),
                tokens=JwtTokenService(secret_key="k" * 64, algorithm="HS256", lifetime=timedelta(days=1), clock=clock),
                passwords=Argon2PasswordHasher(memory_kib=8, time_cost=1),
                clock=clock,
            )
            # The client raises every exception that the application does not handle, so that the test fails.
            transport = httpx.ASGITransport(create_app(core, trusted_proxies=[ip_network("127.0.0.1")]))
            return Service(core, await stack.enter_async_context(httpx.AsyncClient(transport=transport)))

        async def over_sql(url: URL) -> Service:
            settings = DatabaseOptions(url=read_database_url(url))
            await migrate(settings)
            database = await stack.enter_async_context(open_database(settings))
            return await over(Stores.over(database), SqlLoginFailures(database))

        services = {
            "memory": await over(Stores.in_memory(), MemoryLoginFailures()),
            "sqlite": await over_sql(URL.create("sqlite+aiosqlite", database=str(tmp_path / "store.db"))),
            "postgresql": await over_sql(database.url),
        }
        yield services
        numbers(scripts=services["memory"].script, requests=sum(service.sent for service in services.values()))


# Answers


def the_one(answers: Mapping[str, Any]) -> Any:
    """The answer of all services, after a check that their answers are equal."""
    expected, *others = answers.values()
    assert all(other == expected for other in others), answers
    return expected


def assert_as_documented(method: str, response: httpx.Response) -> None:
    status = response.status_code
    assert status < 500
    if status < 400 or method == "HEAD":
        return
    assert response.headers["content-type"] == "application/json"
    assert len(response.content) < 4096
    body = response.json()
    refused_login = response.request.url.path == LOGIN and status in {400, 401, 415, 422}
    assert list(body) == ["detail", *(["error", "error_description"] if refused_login and "error" in body else [])]
    if status == 422:
        assert 1 <= len(body["detail"]) <= 11
        assert all(list(problem) == ["loc", "msg", "type"] for problem in body["detail"])
    else:
        assert isinstance(body["detail"], str)
    wanted = {401: "www-authenticate", 405: "allow", 429: "retry-after"}
    assert status not in wanted or wanted[status] in response.headers


async def assert_everything_is_served(service: Service) -> None:
    for user, other in (USERS, USERS[::-1]):
        listed = (await service.ask(user, "GET", f"{STRATEGIES}?limit=1000")).json()
        assert listed["total"] == len(listed["items"])
        for item in listed["items"]:
            path = f"{STRATEGIES}/{item['id']}"
            assert (await service.ask(user, "GET", path)).json() == item
            assert (await service.ask(other, "GET", path)).json() == {"detail": "Strategy not found"}


@given(script=scripts)
@settings(
    max_examples=SCRIPTS,
    # All scripts share the services, but every script has users of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
async def test_a_script_is_answered_alike_over_every_store_and_refusals_change_nothing(
    services: Mapping[str, Service], clock: SteeredClock, script: Sequence[Request]
) -> None:
    for service in services.values():
        await service.begin()
    stored = the_one({name: await service.lists() for name, service in services.items()})
    kept = 0
    for request in script:
        clock.now += timedelta(seconds=1)
        responses = {name: await service.send(request) for name, service in services.items()}
        answer = the_one({name: services[name].comparable(response) for name, response in responses.items()})
        for response in responses.values():
            assert_as_documented(request.method, response)
        kept += {201: 1, 204: -1}.get(answer.status, 0)
        if request.method not in SAFE_METHODS:
            before, stored = stored, the_one({name: await service.lists() for name, service in services.items()})
            assert answer.status < 400 or stored == before
    assert sum(json.loads(listed.body)["total"] for listed in stored) == kept
    for service in services.values():
        await assert_everything_is_served(service)
