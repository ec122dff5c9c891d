"""The requests of the measurements, beside the login."""

from typing import Final

from benchmarks.requests import Request

STRATEGIES: Final = "/api/v1/strategies"
JSON: Final = "application/json"

HEALTH: Final = Request(method="GET", path="/health", status=200)

_PARAMETERS: Final = (
    '{"fast_period": #, "slow_period": 20, "symbols": ["AAPL", "MSFT"],'
    ' "risk": {"stop_loss": 0.02, "take_profit": 0.05}}'
)


def get_one(owner_id: int, strategy_id: int) -> Request:
    """Read a strategy."""
    return Request(method="GET", path=f"{STRATEGIES}/{strategy_id}", status=200, owner_id=owner_id)


def page(owner_id: int, limit: int) -> Request:
    """Read the first strategies of an owner."""
    return Request(method="GET", path=f"{STRATEGIES}?limit={limit}", status=200, owner_id=owner_id)


def create(owner_id: int) -> Request:
    """Store a new strategy."""
    body = f'{{"name": "Created #", "parameters": {_PARAMETERS}}}'
    return Request(method="POST", path=STRATEGIES, status=201, owner_id=owner_id, content_type=JSON, body=body)


def put(owner_id: int, strategy_id: int) -> Request:
    """Give a strategy other parameters."""
    return Request(
        method="PUT",
        path=f"{STRATEGIES}/{strategy_id}",
        status=200,
        owner_id=owner_id,
        content_type=JSON,
        body=f'{{"parameters": {_PARAMETERS}}}',
    )


def delete(owner_id: int, strategy_id: int) -> Request:
    """Remove a strategy."""
    return Request(method="DELETE", path=f"{STRATEGIES}/{strategy_id}", status=204, owner_id=owner_id)
