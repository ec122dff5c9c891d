"""The routes in the FastAPI application of another project: `build_router`, and `create_app` mounted."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, cast
from urllib.parse import urljoin

import httpx
import pytest
import schemathesis
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Security
from fastapi.exceptions import FastAPIDeprecationWarning, RequestValidationError
from fastapi.responses import PlainTextResponse
from fastapi.security import APIKeyHeader, OAuth2PasswordBearer
from in_process import PASSWORD, Api, OpenStores, Stores
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from tradingagents_core.domain.authentication import Caller
from tradingagents_core.errors import NotRunning, StoreUnavailable, StrategyNotFound, TradingAgentsError
from tradingagents_core.use_cases import UseCases
from tradingagents_http import build_router, create_app
from tradingagents_http.requests.bodies import ACCOUNT_BODY_MAX_BYTES, JSON_MAX_BYTES, LOGIN_BODY_MAX_BYTES
from tradingagents_service import open_core

pytestmark = pytest.mark.anyio

LOGIN: Final = "/api/v1/auth/login"
REFRESH: Final = "/api/v1/auth/refresh"
STRATEGIES: Final = "/api/v1/strategies"
FORM: Final = {"username": "ann@example.com", "password": PASSWORD}
KEY: Final = {"X-Key": "ann's key"}


@pytest.fixture
async def api(
    open_memory_stores: OpenStores, api_over: Callable[[Stores], AbstractAsyncContextManager[Api]]
) -> AsyncIterator[Api]:
    """The API over stores in memory: the way into an application is the same for every kind."""
    async with open_memory_stores() as stores, api_over(stores) as opened:
        yield opened


@pytest.fixture
def core(api: Api) -> UseCases:
    return api.core


@dataclass(frozen=True)
class Door:
    """A way in which an application takes in the routes, and where clients find them."""

    take_in: Callable[[UseCases], FastAPI]
    prefix: str
    document: str = "/openapi.json"
    stripped: str = ""
    """The prefix that a proxy strips, and that the server sets as `root_path`."""
    is_restored: bool = False
    """Whether the server restores the stripped prefix in the path, as uvicorn does."""

    def client(self, core: UseCases) -> httpx.AsyncClient:
        """A client that sends its requests through the proxy."""
        app = self.take_in(core)

        async def proxy_and_server(scope: Scope, receive: Receive, send: Send) -> None:
            assert scope["path"].startswith(self.stripped)
            path = scope["path"] if self.is_restored else scope["path"].removeprefix(self.stripped)
            await app({**scope, "path": path, "root_path": self.stripped}, receive, send)

        return client_of(proxy_and_server)


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def at_a_prefix(core: UseCases) -> FastAPI:
    app = FastAPI()
    app.include_router(build_router(core), prefix="/trading")
    return app


def without_a_prefix(core: UseCases) -> FastAPI:
    app = FastAPI()
    app.include_router(build_router(core))
    return app


def at_a_prefix_with_a_parameter(core: UseCases) -> FastAPI:
    app = FastAPI()
    app.include_router(build_router(core), prefix="/tenants/{tenant}")
    return app


def nested(core: UseCases) -> FastAPI:
    inner, outer, app = APIRouter(prefix="/inner"), APIRouter(prefix="/outer"), FastAPI()
    inner.include_router(build_router(core), prefix="/api/v1")
    outer.include_router(inner)
    app.include_router(outer)
    return app


def mounted(core: UseCases) -> FastAPI:
    app = FastAPI()
    app.mount("/trading", create_app(core))
    return app


DOORS: Final = {
    "at a prefix": Door(at_a_prefix, "/trading"),
    "without a prefix": Door(without_a_prefix, ""),
    "at a prefix with a parameter": Door(at_a_prefix_with_a_parameter, "/tenants/acme"),
    "nested": Door(nested, "/outer/inner/api/v1"),
    "mounted": Door(mounted, "/trading", "/trading/openapi.json"),
    "behind a proxy": Door(at_a_prefix, "/proxy/trading", "/proxy/openapi.json", "/proxy"),
    "behind a proxy, on uvicorn": Door(at_a_prefix, "/proxy/trading", "/proxy/openapi.json", "/proxy", True),
    "mounted behind a proxy": Door(mounted, "/proxy/trading", "/proxy/trading/openapi.json", "/proxy"),
    "mounted behind a proxy, on uvicorn": Door(
        mounted, "/proxy/trading", "/proxy/trading/openapi.json", "/proxy", True
    ),
}


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Door:
    return DOORS[request.param]


@pytest.fixture
async def client(door: Door, api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application; it has no token."""
    async with door.client(api.core) as client:
        yield client


async def token_of(client: httpx.AsyncClient, login: str) -> dict[str, str]:
    answer = await client.post(login, data=FORM)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


# Everywhere


async def test_a_strategy_can_be_created_found_by_its_location_changed_and_deleted(
    client: httpx.AsyncClient, door: Door
) -> None:
    client.headers.update(await token_of(client, door.prefix + LOGIN))

    created = await client.post(door.prefix + STRATEGIES, json={"name": "mine", "parameters": {"a": 1}})
    assert created.status_code == 201, created.text
    location = created.headers["Location"]
    assert location == f"{door.prefix}{STRATEGIES}/{created.json()['id']}"
    assert (await client.get(location)).json() == created.json()
    assert (await client.put(location, json={"name": "changed"})).json()["name"] == "changed"
    assert (await client.get(door.prefix + STRATEGIES)).json()["total"] == 1
    assert (await client.delete(location)).status_code == 204
    assert (await client.get(location)).json() == {"detail": "Strategy not found"}


@pytest.mark.parametrize("credentials", ["", "Basic YTpi"])
async def test_a_request_without_a_token_is_told_a_login_that_works(
    client: httpx.AsyncClient, door: Door, credentials: str
) -> None:
    answer = await client.get(door.prefix + STRATEGIES, headers={"Authorization": credentials})
    assert answer.status_code == 401
    (path,) = re.findall(r"/\S*login", answer.json()["detail"])
    await token_of(client, path)


# FastAPI tells nobody the prefix of a proxy while it makes the document of a host's application.
@pytest.mark.parametrize(
    "door", [name for name, door in DOORS.items() if door.take_in is mounted or not door.stripped], indirect=True
)
async def test_the_token_url_of_the_document_is_a_login_that_works(client: httpx.AsyncClient, door: Door) -> None:
    document = (await client.get(door.document)).json()
    (url,) = [
        urljoin(str(client.base_url.join(door.document)), flow["tokenUrl"])
        for scheme in document["components"]["securitySchemes"].values()
        for flow in scheme.get("flows", {}).values()
    ]
    await token_of(client, url.replace("{tenant}", "acme"))


async def test_the_refresh_url_of_the_document_refreshes_the_tokens_of_a_login(
    client: httpx.AsyncClient, door: Door
) -> None:
    if door.take_in is at_a_prefix and door.stripped:
        pytest.skip("FastAPI tells nobody the prefix of a proxy while it makes the document of an application")
    document = (await client.get(door.document)).json()
    (url,) = [
        urljoin(str(client.base_url.join(door.document)), flow["refreshUrl"])
        for scheme in document["components"]["securitySchemes"].values()
        for flow in scheme.get("flows", {}).values()
    ]
    tokens = (await client.post(door.prefix + LOGIN, data={**FORM, "scope": "offline_access"})).json()
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert (await client.post(url.replace("{tenant}", "acme"), data=form)).status_code == 200


async def test_a_key_can_be_made_used_and_revoked_by_its_location(client: httpx.AsyncClient, door: Door) -> None:
    token = await token_of(client, door.prefix + LOGIN)
    body = {"name": "bot", "scopes": ["strategies:read"]}
    made = await client.post(f"{door.prefix}/api/v1/api-keys", json=body, headers=token)
    key = {"Authorization": f"Bearer {made.json()['key']}"}
    assert made.headers["Location"] == f"{door.prefix}/api/v1/api-keys/{made.json()['id']}"
    assert made.headers.get_list("Cache-Control") == ["no-store"]
    assert (await client.get(door.prefix + STRATEGIES, headers=key)).status_code == 200
    assert (await client.delete(made.headers["Location"], headers=token)).status_code == 204
    assert (await client.get(door.prefix + STRATEGIES, headers=key)).status_code == 401


async def test_errors_have_the_documented_form(client: httpx.AsyncClient, door: Door) -> None:
    wrong = await client.post(door.prefix + LOGIN, data={**FORM, "password": "wrong"})
    assert (wrong.status_code, wrong.json()) == (
        401,
        {
            "detail": "Incorrect e-mail or password",
            "error": "invalid_grant",
            "error_description": "Incorrect e-mail or password",
        },
    )
    client.headers.update(await token_of(client, door.prefix + LOGIN))
    strategies = door.prefix + STRATEGIES
    await client.post(strategies, json={"name": "taken"})
    answers = [
        await client.post(strategies, json={"name": ""}),
        await client.post(strategies, json={"name": "taken"}),
        await client.post(strategies, content=b"name", headers={"Content-Type": "text/plain"}),
        await client.get(f"{strategies}/1?verbose=1"),
        await client.get(f"{strategies}?verbose=1"),
        await client.get(f"{strategies}/999"),
    ]
    assert [answer.status_code for answer in answers] == [422, 409, 415, 422, 422, 404]
    assert all(answer.json().keys() == {"detail"} for answer in answers)
    assert all(
        problem.keys() == {"loc", "msg", "type"}
        for answer in answers
        if answer.status_code == 422
        for problem in answer.json()["detail"]
    )


@pytest.mark.parametrize(
    ("method", "path", "most"),
    [
        ("POST", LOGIN, LOGIN_BODY_MAX_BYTES),
        ("POST", STRATEGIES, JSON_MAX_BYTES),
        ("PUT", f"{STRATEGIES}/1", JSON_MAX_BYTES),
        ("GET", STRATEGIES, JSON_MAX_BYTES),
        ("DELETE", f"{STRATEGIES}/1", JSON_MAX_BYTES),
        ("POST", REFRESH, LOGIN_BODY_MAX_BYTES),
        ("POST", "/api/v1/api-keys", ACCOUNT_BODY_MAX_BYTES),
        ("POST", "/api/v1/auth/register", ACCOUNT_BODY_MAX_BYTES),
    ],
)
async def test_a_long_body_is_refused_before_the_caller_is_known(
    client: httpx.AsyncClient, door: Door, method: str, path: str, most: int
) -> None:
    announced = await client.request(method, door.prefix + path, content=b" " * (most + 1))
    assert (announced.status_code, announced.json()) == (413, {"detail": f"The body should have at most {most} bytes"})


@pytest.mark.parametrize(("path", "most"), [(LOGIN, LOGIN_BODY_MAX_BYTES), (STRATEGIES, JSON_MAX_BYTES)])
async def test_a_long_body_of_unknown_length_is_refused_while_it_is_read(
    client: httpx.AsyncClient, door: Door, path: str, most: int
) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 64 * 1024
            yield b" " * 64 * 1024

    answer = await client.post(door.prefix + path, content=body())
    assert (answer.status_code, answer.json()) == (413, {"detail": f"The body should have at most {most} bytes"})
    assert sent < most + 2 * 64 * 1024


async def test_a_login_is_not_cached(client: httpx.AsyncClient, door: Door) -> None:
    answer = await client.post(door.prefix + LOGIN, data=FORM)
    assert answer.headers.get_list("Cache-Control") == ["no-store"]


# Beside the application's own routes


class HostError(Exception):
    """An exception of the application."""


class Host:
    """An application with handlers of its own for everything, and what they and its middleware have seen."""

    def __init__(self, core: UseCases, **options: Any) -> None:
        self.handled: list[str] = []
        self.started: list[str] = []
        self.app = FastAPI(lifespan=self._lifespan, docs_url="/host-docs")
        for family in (
            TradingAgentsError,
            StrategyNotFound,
            RequestValidationError,
            StarletteHTTPException,
            HostError,
            404,
            409,
        ):
            self.app.add_exception_handler(family, self._handle)

        @self.app.get("/strategy/{number}")
        async def strategy(number: int) -> None:
            raise StrategyNotFound(number)

        @self.app.get("/gone")
        async def gone() -> None:
            raise HTTPException(404, "gone")

        self.app.include_router(build_router(core, **options), prefix="/trading")

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        self.started.append("host")
        yield

    async def _handle(self, _: Request, error: Exception) -> PlainTextResponse:
        self.handled.append(type(error).__name__)
        return PlainTextResponse("handled by the host", 418)


async def test_the_applications_handlers_serve_its_own_routes_and_unknown_paths_and_nothing_else(
    api: Api,
) -> None:
    host = Host(api.core)
    async with client_of(host.app) as client:
        client.headers.update(api.ann.headers)
        own = [
            await client.get("/strategy/1"),
            await client.get("/strategy/x"),
            await client.get("/gone"),
            await client.get("/nowhere"),
            await client.get("/trading/api/v1/nowhere"),
            await client.patch(f"/trading{STRATEGIES}"),
        ]
        assert [answer.status_code for answer in own] == [418] * 6
        host.handled.clear()
        ours = [
            await client.get(f"/trading{STRATEGIES}/999"),
            await client.get(f"/trading{STRATEGIES}/x"),
            await client.post(f"/trading{STRATEGIES}", json={}),
            await client.get(f"/trading{STRATEGIES}", headers={"Authorization": ""}),
        ]
        assert [answer.status_code for answer in ours] == [404, 422, 422, 401]
        assert host.handled == []


async def test_pages_that_fail_while_they_are_sent_are_answered_in_the_documented_form(
    core: UseCases,
) -> None:
    app = FastAPI()
    app.include_router(build_router(failing(core, StoreUnavailable(reason="away", retry_after=7))))
    async with client_of(app) as client:
        client.headers.update(await token_of(client, LOGIN))
        answer = await client.get(STRATEGIES)
    assert (answer.status_code, answer.headers["Retry-After"], list(answer.json())) == (503, "7", ["detail"])


class Failing:
    """A use case that raises an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def __call__(self, **_: object) -> None:
        raise self._error


def failing(core: UseCases, error: Exception) -> UseCases:
    """The core, with a list of strategies that raises an error."""
    return cast(UseCases, replace(core, strategies=replace(core.strategies, list=cast(Any, Failing(error)))))


@pytest.mark.parametrize("error", [ZeroDivisionError(), NotRunning()], ids=lambda each: type(each).__name__)
async def test_an_unexpected_exception_goes_to_the_application(core: UseCases, error: Exception) -> None:
    app = FastAPI()
    app.include_router(build_router(failing(core, error)))
    async with client_of(app) as client:
        client.headers.update(await token_of(client, LOGIN))
        with pytest.raises(type(error)):
            await client.get(STRATEGIES)


async def test_a_mistake_of_the_program_is_500_in_the_whole_application_and_logged_once(
    core: UseCases, caplog: pytest.LogCaptureFixture
) -> None:
    async with client_of(create_app(failing(core, NotRunning()))) as client:
        client.headers.update(await token_of(client, LOGIN))
        answer = await client.get(STRATEGIES)
    assert (answer.status_code, answer.json()) == (500, {"detail": "Internal Server Error"})
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.exc_info is not None
    assert record.exc_info[0] is NotRunning


@pytest.mark.parametrize("take_in", [at_a_prefix, mounted], ids=lambda each: each.__name__)
async def test_a_core_that_does_not_run_says_so(
    take_in: Callable[[UseCases], FastAPI], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_core(f"sqlite+aiosqlite:///{tmp_path}/app.db", secret_key="k" * 64) as core:
        await core.accounts.create(email=FORM["username"], password=PASSWORD)
    transport = httpx.ASGITransport(take_in(core), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.post(f"/trading{LOGIN}", data=FORM)).status_code == 500


async def test_the_document_knows_the_prefix_of_a_proxy_that_the_application_knows(core: UseCases) -> None:
    with pytest.warns(FastAPIDeprecationWarning):
        app = FastAPI(root_path="/proxy")
    app.include_router(build_router(core), prefix="/trading")
    scheme = app.openapi()["components"]["securitySchemes"]["TradingAgents_trading"]
    assert scheme["flows"]["password"]["tokenUrl"] == f"/proxy/trading{LOGIN}"
    assert scheme["flows"]["password"]["refreshUrl"] == f"/proxy/trading{REFRESH}"


async def test_routes_that_are_included_in_the_lifespan_work(core: UseCases) -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.include_router(build_router(core), prefix="/trading")
        yield

    app = FastAPI(lifespan=lifespan)
    async with app.router.lifespan_context(app), client_of(app) as client:
        await token_of(client, f"/trading{LOGIN}")


# Several in one application


@pytest.fixture
async def two_tenants(
    api_over: Callable[[Stores], AbstractAsyncContextManager[Api]],
) -> AsyncIterator[FastAPI]:
    async with api_over(Stores.in_memory()) as one, api_over(Stores.in_memory()) as other:
        app = FastAPI()
        app.include_router(build_router(one.core), prefix="/one")
        app.include_router(build_router(other.core), prefix="/other")
        yield app


async def test_two_cores_in_one_application_share_nothing(two_tenants: FastAPI) -> None:
    async with client_of(two_tenants) as client:
        client.headers.update(await token_of(client, f"/one{LOGIN}"))
        await client.post(f"/one{STRATEGIES}", json={"name": "mine"})
        client.headers.update(await token_of(client, f"/other{LOGIN}"))
        assert (await client.get(f"/other{STRATEGIES}")).json()["total"] == 0


async def test_two_inclusions_have_token_urls_and_operation_ids_of_their_own(two_tenants: FastAPI) -> None:
    document = two_tenants.openapi()
    check_document(document)
    schemes = document["components"]["securitySchemes"]
    assert len(schemes) == 4
    for prefix in ("one", "other"):
        flow = schemes[f"TradingAgents_{prefix}"]["flows"]["password"]
        assert (flow["tokenUrl"], flow["refreshUrl"]) == (f"/{prefix}{LOGIN}", f"/{prefix}{REFRESH}")
        operation = document["paths"][f"/{prefix}{STRATEGIES}"]["get"]
        assert operation["security"] == [{f"TradingAgents_{prefix}": []}, {f"TradingAgents_{prefix}_api_key": []}]
        assert operation["operationId"] == f"list_strategies_{prefix}"
        operation = document["paths"][f"/{prefix}/api/v1/api-keys"]["get"]
        assert operation["security"] == [{f"TradingAgents_{prefix}": []}]


def check_document(document: dict[str, Any]) -> None:
    """The document is valid OpenAPI, and all operation ids differ."""
    resolved = {**document, "components": {**document["components"]}}
    resolved["components"]["securitySchemes"] = {
        name: {
            **scheme,
            **(
                {
                    "flows": {
                        kind: flow
                        | {url: f"http://test{flow[url]}" for url in ("tokenUrl", "refreshUrl") if url in flow}
                        for kind, flow in flows.items()
                    }
                }
                if (flows := scheme.get("flows"))
                else {}
            ),
        }
        for name, scheme in document["components"]["securitySchemes"].items()
    }
    schemathesis.openapi.from_dict(resolved).validate()
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))


# Callers of the application

KEYS: Final = APIKeyHeader(name="X-Key")
USERS: Final = {"ann's key": 1009, "bob's key": 1010}


class UnknownKey(HTTPException):
    """A refusal of the application."""


async def current_caller(key: Annotated[str, Security(KEYS)]) -> Caller:
    if key not in USERS:
        raise UnknownKey(401, "Unknown key", {"WWW-Authenticate": "Key"})
    return Caller(user_id=USERS[key])


def with_own_callers(core: UseCases, **options: Any) -> FastAPI:
    app = FastAPI()
    app.include_router(build_router(core, current_caller=current_caller, **options), prefix="/trading")
    return app


async def test_the_application_says_who_the_caller_is(api: Api) -> None:
    async with client_of(with_own_callers(api.core)) as client:
        created = await client.post(f"/trading{STRATEGIES}", json={"name": "mine"}, headers=KEY)
        assert created.status_code == 201
        for key, total in {"ann's key": 1, "bob's key": 0}.items():
            page = await client.get(f"/trading{STRATEGIES}", headers={"X-Key": key})
            assert page.json()["total"] == total
        assert (await client.get(f"/trading{STRATEGIES}", headers=api.ann.headers)).status_code == 401
        assert (await client.post(f"/trading{LOGIN}", data=FORM)).status_code == 404


async def test_a_caller_whom_the_application_refuses_is_refused_before_the_request_is_read(
    core: UseCases,
) -> None:
    async with client_of(with_own_callers(core)) as client:
        client.headers["X-Key"] = "a guess"
        for answer in (
            await client.post(f"/trading{STRATEGIES}", content=b"{", headers={"Content-Type": "application/json"}),
            await client.get(f"/trading{STRATEGIES}/x"),
            await client.get(f"/trading{STRATEGIES}/1?verbose=1"),
            await client.get(f"/trading{STRATEGIES}?limit=x"),
        ):
            assert (answer.status_code, answer.json()) == (401, {"detail": "Unknown key"})
            assert answer.headers["WWW-Authenticate"] == "Key"


@pytest.mark.parametrize("path", [f"{STRATEGIES}?verbose=1", f"{STRATEGIES}/1?verbose=1"])
async def test_unknown_query_parameters_are_refused_with_callers_of_the_application_too(
    core: UseCases, path: str
) -> None:
    async with client_of(with_own_callers(core)) as client:
        answer = await client.get(f"/trading{path}", headers=KEY)
    (problem,) = answer.json()["detail"]
    assert (answer.status_code, problem["loc"]) == (422, ["query", "verbose"])


async def test_an_exception_of_the_callers_dependency_goes_to_the_applications_handler(
    core: UseCases,
) -> None:
    async def refuse() -> Caller:
        raise HostError

    host = Host(core, current_caller=refuse)
    async with client_of(host.app) as client:
        assert (await client.get(f"/trading{STRATEGIES}")).status_code == 418
    assert host.handled == ["HostError"]


async def test_a_dependency_that_returns_no_caller_is_named_by_what_it_returns(core: UseCases) -> None:
    def wrong() -> Any:
        return 1009

    app = FastAPI()
    app.include_router(build_router(core, current_caller=wrong))
    async with client_of(app) as client:
        with pytest.raises(TypeError, match=r"should return a Caller.*int"):
            await client.get(STRATEGIES)


async def test_a_dependency_with_dependencies_of_its_own_and_an_end_is_used(core: UseCases) -> None:
    ended: list[int] = []

    def user_id() -> int:
        return 1009

    async def caller(user_id: Annotated[int, Depends(user_id)]) -> AsyncIterator[Caller]:
        yield Caller(user_id=user_id)
        ended.append(user_id)

    app = FastAPI()
    app.include_router(build_router(core, current_caller=caller))
    async with client_of(app) as client:
        assert (await client.post(STRATEGIES, json={"name": "mine"})).status_code == 201
    assert ended == [1009]


async def test_the_document_shows_the_applications_scheme_and_no_login(core: UseCases) -> None:
    document = with_own_callers(core).openapi()
    check_document(document)
    assert document["components"]["securitySchemes"].keys() == {"APIKeyHeader"}
    assert f"/trading{LOGIN}" not in document["paths"]
    operations = document["paths"][f"/trading{STRATEGIES}"]
    assert [operation["security"] for operation in operations.values()] == [[{"APIKeyHeader": []}]] * 2
    assert "headers" not in operations["get"]["responses"]["401"]
    assert "400" not in operations["get"]["responses"]


async def test_the_login_can_be_kept_beside_callers_of_the_application(api: Api) -> None:
    async with client_of(with_own_callers(api.core, login=True)) as client:
        await token_of(client, f"/trading{LOGIN}")


async def test_tokens_from_elsewhere_need_no_login(api: Api) -> None:
    app = FastAPI()
    app.include_router(build_router(api.core, login=False), prefix="/trading")
    document = app.openapi()
    check_document(document)
    (scheme,) = document["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    async with client_of(app) as client:
        assert (await client.post(f"/trading{LOGIN}", data=FORM)).status_code == 404
        refused = await client.get(f"/trading{STRATEGIES}")
        assert refused.status_code == 401
        assert "login" not in refused.json()["detail"]
        assert (await client.get(f"/trading{STRATEGIES}", headers=api.ann.headers)).status_code == 200


OF_THE_LOGIN: Final = {
    *(LOGIN, REFRESH, "/api/v1/auth/logout", "/api/v1/auth/sessions", "/api/v1/auth/sessions/{id}", "/api/v1/auth/me"),
    *("/api/v1/auth/password", "/api/v1/auth/register", "/api/v1/api-keys", "/api/v1/api-keys/{id}"),
}


@pytest.mark.parametrize(
    ("options", "has_login"),
    [
        ({}, True),
        ({"login": False}, False),
        ({"current_caller": current_caller}, False),
        ({"current_caller": current_caller, "login": True}, True),
    ],
)
async def test_the_routes_for_users_of_the_login_come_with_the_login(
    core: UseCases, options: dict[str, Any], has_login: bool
) -> None:
    app = FastAPI()
    app.include_router(build_router(core, **options))
    paths = {STRATEGIES, f"{STRATEGIES}/{{id}}"}
    assert app.openapi()["paths"].keys() == (paths | OF_THE_LOGIN if has_login else paths)
    check_document(app.openapi())


async def test_users_of_the_login_use_its_tokens_beside_callers_of_the_application(api: Api) -> None:
    async with client_of(with_own_callers(api.core, login=True)) as client:
        token = await token_of(client, f"/trading{LOGIN}")
        assert (await client.get("/trading/api/v1/auth/me", headers=token)).status_code == 200
        assert (await client.get("/trading/api/v1/auth/me", headers=KEY)).status_code == 401


async def test_a_caller_of_the_application_without_the_scope_is_refused_without_a_challenge(core: UseCases) -> None:
    def reader() -> Caller:
        return Caller(user_id=1009, scopes=("strategies:read",))

    app = FastAPI()
    app.include_router(build_router(core, current_caller=reader))
    async with client_of(app) as client:
        answer = await client.post(STRATEGIES, json={"name": "mine"})
    assert (answer.status_code, answer.json()) == (403, {"detail": "This needs the scope strategies:write"})
    assert "WWW-Authenticate" not in answer.headers
    assert "headers" not in app.openapi()["paths"][STRATEGIES]["post"]["responses"]["403"]


# The rest of the application


async def test_the_applications_schemes_and_schemas_stay_as_they_are(core: UseCases) -> None:
    app = FastAPI()
    own = OAuth2PasswordBearer(tokenUrl="own/token")

    @app.get("/own")
    async def read(token: Annotated[str, Depends(own)]) -> dict[str, str]:
        return {"token": token}

    before = app.openapi()
    app.include_router(build_router(core), prefix="/trading")
    after = app.openapi()

    check_document(after)
    assert after["paths"]["/own"] == before["paths"]["/own"]
    name = "OAuth2PasswordBearer"
    assert after["components"]["securitySchemes"][name] == before["components"]["securitySchemes"][name]
    assert after["info"] == before["info"]


async def test_the_document_promises_no_answer_that_only_the_whole_application_gives(core: UseCases) -> None:
    for path in at_a_prefix(core).openapi()["paths"].values():
        for operation in path.values():
            assert "500" not in operation["responses"]


async def test_nothing_is_added_to_the_answers_of_the_application(api: Api) -> None:
    host = Host(api.core)
    async with client_of(host.app) as client:
        page = await client.get(f"/trading{STRATEGIES}", headers={**api.ann.headers, "Origin": "https://a.example"})
        assert page.headers.keys() == {"content-length", "content-type"}
        assert (await client.get("/host-docs")).status_code == 200
        assert (await client.get("/docs")).status_code == 418
        assert (await client.get("/trading/health")).status_code == 418
    async with host.app.router.lifespan_context(host.app):
        assert host.started == ["host"]


async def test_a_smaller_limit_of_the_application_is_answered_by_the_application(core: UseCases) -> None:
    app = FastAPI(max_body_size=10)
    app.include_router(build_router(core))
    async with client_of(app) as client:
        answer = await client.post(LOGIN, data=FORM)
    assert (answer.status_code, answer.text) == (413, "Content Too Large")


async def test_dependencies_of_an_inclusion_are_used(core: UseCases) -> None:
    async def refuse() -> None:
        raise HTTPException(403, "closed")

    app = FastAPI()
    app.include_router(build_router(core), dependencies=[Depends(refuse)])
    async with client_of(app) as client:
        answer = await client.post(LOGIN, data=FORM)
    assert (answer.status_code, answer.json()) == (403, {"detail": "closed"})


# create_app


@pytest.mark.parametrize("url", ["/docs", "/redoc"])
async def test_a_page_of_a_mounted_application_loads_its_own_document_and_scripts(core: UseCases, url: str) -> None:
    async with client_of(mounted(core)) as client:
        page = await client.get(f"/trading{url}")
        paths = re.findall(r"[\"'](/trading/[^\"']+)[\"']", page.text)
        assert "/trading/openapi.json" in paths
        for path in paths:
            assert (await client.get(path)).status_code == 200


async def test_no_origin_is_allowed_unless_told(core: UseCases) -> None:
    origin = {"Origin": "https://a.example"}
    asked = {**origin, "Access-Control-Request-Method": "GET"}
    async with client_of(create_app(core)) as client:
        answers = [await client.get("/health", headers=origin), await client.options("/health", headers=asked)]
    assert [answer.status_code for answer in answers] == [200, 405]
    assert not any(name.startswith("access-control") for answer in answers for name in answer.headers)


async def test_an_application_has_the_title_and_the_text_that_it_is_given(core: UseCases) -> None:
    app = create_app(core, title="Ours", version="7", description="Read this.")
    async with client_of(app) as client:
        info = (await client.get("/openapi.json")).json()["info"]
        assert "Ours" in (await client.get("/docs")).text
    assert (info["title"], info["version"], info["description"]) == ("Ours", "7", "Read this.")


PAGES: Final = {
    "moved": {"openapi_url": "/api/openapi.json", "docs_url": "/try", "redoc_url": "/read"},
    "in a folder": {"openapi_url": "/pages/api.json", "docs_url": "/pages/docs", "redoc_url": "/pages/redoc"},
    "in different folders": {"docs_url": "/pages/docs", "redoc_url": "/redoc"},
    "without docs": {"docs_url": None},
    "without redoc": {"redoc_url": None},
    "without pages": {"docs_url": None, "redoc_url": None},
    "without a document": {"openapi_url": None},
}


@pytest.mark.parametrize("root_path", ["", "/proxy"])
@pytest.mark.parametrize("pages", PAGES)
async def test_pages_are_where_they_are_told_and_link_to_each_other(core: UseCases, pages: str, root_path: str) -> None:
    urls: dict[str, str | None] = {"openapi_url": "/openapi.json", "docs_url": "/docs", "redoc_url": "/redoc"}
    urls |= PAGES[pages]
    if urls["openapi_url"] is None:
        urls = dict.fromkeys(urls)
    app = create_app(core, root_path=root_path, **PAGES[pages])
    async with client_of(app) as client:
        for usual in ("/openapi.json", "/docs", "/redoc"):
            assert (await client.get(usual)).status_code == (200 if usual in urls.values() else 404)
        if urls["openapi_url"] is None:
            assert "](" not in app.openapi()["info"]["description"]
            return
        introduction = (await client.get(urls["openapi_url"])).json()["info"]["description"]
        assert f"POST {root_path}{LOGIN}" in introduction
        links = re.findall(r"\]\(([^)]+)\)", introduction)
        shown = [url for url in urls.values() if url is not None]
        assert len(links) == len(shown)
        for page in (urls["docs_url"], urls["redoc_url"]):
            if page is not None:
                assert {urljoin(root_path + page, link) for link in links} == {root_path + url for url in shown}
