"""The published documents: openapi.json and the two pages that show it."""

import re

import pytest
from in_process import Api

pytestmark = pytest.mark.anyio

STATUSES = {
    ("get", "/health"): ("health", {200, 500}),
    ("post", "/api/v1/auth/login"): ("login", {200, 400, 401, 413, 415, 422, 500, 503}),
    ("get", "/api/v1/strategies"): ("list_strategies", {200, 400, 401, 422, 500, 503}),
    ("post", "/api/v1/strategies"): ("create_strategy", {201, 400, 401, 409, 413, 415, 422, 500, 503}),
    ("get", "/api/v1/strategies/{id}"): ("get_strategy", {200, 400, 401, 404, 422, 500, 503}),
    ("put", "/api/v1/strategies/{id}"): (
        "update_strategy",
        {200, 400, 401, 404, 409, 413, 415, 422, 500, 503},
    ),
    ("delete", "/api/v1/strategies/{id}"): ("delete_strategy", {204, 400, 401, 404, 422, 500, 503}),
}


async def test_every_route_has_its_operation_id_and_its_statuses(api: Api) -> None:
    document = (await api.stranger.get("/openapi.json")).json()

    assert {
        (method, path): (operation["operationId"], {int(status) for status in operation["responses"]})
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    } == STATUSES


async def test_every_error_answer_has_its_body(api: Api) -> None:
    document = (await api.stranger.get("/openapi.json")).json()

    for operations in document["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    schema = answer["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                    assert schema == ("ValidationError" if status == "422" else "Error")


async def test_examples_are_the_references(api: Api) -> None:
    schemas = (await api.stranger.get("/openapi.json")).json()["components"]["schemas"]

    assert schemas["StrategyCreate"]["properties"]["name"]["examples"] == ["RSI Mean Reversion"]
    assert schemas["Problem"]["properties"]["type"]["examples"] == ["value_error.missing"]


async def test_the_password_flow_leads_to_the_login(api: Api) -> None:
    document = (await api.stranger.get("/openapi.json")).json()

    [(name, scheme)] = document["components"]["securitySchemes"].items()
    assert scheme["flows"]["password"]["tokenUrl"] == "api/v1/auth/login"
    secured = {
        operation["operationId"]
        for operations in document["paths"].values()
        for operation in operations.values()
        if operation.get("security") == [{name: []}]
    }
    assert secured == {operation_id for operation_id, _ in STATUSES.values()} - {"health", "login"}


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_a_page_loads_everything_from_here(api: Api, page: str) -> None:
    response = await api.stranger.get(page)
    sources = re.findall(r'(?:src|href|spec-url)="([^"]+)"', response.text)

    assert response.status_code == 200
    assert len(sources) >= 2
    for source in sources:
        assert source.startswith("/")
        assert (await api.stranger.get(source)).status_code == 200
