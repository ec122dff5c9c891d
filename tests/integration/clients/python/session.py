"""A session of a generated client in Python: from the login to the delete. Arguments: URL of the server, e-mail,
password."""

import sys

from api_client import AuthenticatedClient, Client
from api_client.api.authentication import login
from api_client.api.health import health
from api_client.api.strategies import (
    create_strategy,
    delete_strategy,
    get_strategy,
    list_strategies,
    update_strategy,
)
from api_client.models import (
    ErrorResponse,
    Health,
    LoginForm,
    Strategy,
    StrategyCreate,
    StrategyCreateParameters,
    StrategyPage,
    StrategyUpdate,
    Token,
    TokenErrorResponse,
    ValidationErrorResponse,
)

base_url, username, password = sys.argv[1:]
stranger = Client(base_url=base_url)
assert isinstance(health.sync(client=stranger), Health)

refused = login.sync(client=stranger, body=LoginForm(username=username, password="wrong password"))
assert isinstance(refused, TokenErrorResponse)
assert refused.detail == "Incorrect e-mail or password"
assert refused.error == "invalid_grant"

token = login.sync(client=stranger, body=LoginForm(username=username, password=password))
assert isinstance(token, Token)
client = AuthenticatedClient(base_url=base_url, token=token.access_token)

parameters = {"rsi_period": 14, "bands": [30, 70.5], "nested": {"on": True, "off": None}}
content = StrategyCreate(name="From Python", parameters=StrategyCreateParameters.from_dict(parameters))
created = create_strategy.sync(client=client, body=content)
assert isinstance(created, Strategy)
assert (created.description, created.is_active) == (None, True)

page = list_strategies.sync(client=client, limit=10, active_only=True)
assert isinstance(page, StrategyPage)
assert (page.total, [strategy.id for strategy in page.items]) == (1, [created.id])

updated = update_strategy.sync(created.id, client=client, body=StrategyUpdate(name="Updated Strategy Name"))
assert isinstance(updated, Strategy)
assert updated.name == "Updated Strategy Name"
assert updated.parameters.to_dict() == parameters
assert updated.updated_at >= updated.created_at

invalid = update_strategy.sync(created.id, client=client, body=StrategyUpdate(name=""))
assert isinstance(invalid, ValidationErrorResponse)
assert invalid.detail[0].loc == ["body", "name"]

assert delete_strategy.sync_detailed(created.id, client=client).status_code == 204
gone = get_strategy.sync(created.id, client=client)
assert isinstance(gone, ErrorResponse)
assert gone.detail == "Strategy not found"
