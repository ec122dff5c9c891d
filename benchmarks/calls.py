"""The requests of the measurements."""

from datetime import timedelta
from functools import cache
from typing import Final
from urllib.parse import urlencode

from processes import KEY

from benchmarks.databases import PASSWORD, email
from benchmarks.load import Request
from tradingagents_adapters.clock import utc_now
from tradingagents_adapters.jwt_tokens import JwtTokenService

STRATEGIES: Final = "/api/v1/strategies"
LOGIN: Final = "/api/v1/auth/login"
JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"

HEALTH: Final = Request(method="GET", path="/health", status=200)

_PARAMETERS: Final = (
    '{"fast_period": #, "slow_period": 20, "symbols": ["AAPL", "MSFT"],'
    ' "risk": {"stop_loss": 0.02, "take_profit": 0.05}}'
)
_TOKENS: Final = JwtTokenService(secret_key=KEY, algorithm="HS256", lifetime=timedelta(days=1), clock=utc_now)


def get_one(owner_id: int, strategy_id: int) -> Request:
    """Read a strategy."""
    return Request(method="GET", path=f"{STRATEGIES}/{strategy_id}", status=200, authorization=_bearer(owner_id))


def page(owner_id: int, limit: int) -> Request:
    """Read the first strategies of an owner."""
    return Request(method="GET", path=f"{STRATEGIES}?limit={limit}", status=200, authorization=_bearer(owner_id))


def create(owner_id: int) -> Request:
    """Store a new strategy."""
    body = f'{{"name": "Created #", "parameters": {_PARAMETERS}}}'
    return Request(
        method="POST", path=STRATEGIES, status=201, authorization=_bearer(owner_id), content_type=JSON, body=body
    )


def put(owner_id: int, strategy_id: int) -> Request:
    """Give a strategy other parameters."""
    return Request(
        method="PUT",
        path=f"{STRATEGIES}/{strategy_id}",
        status=200,
        authorization=_bearer(owner_id),
        content_type=JSON,
        body=f'{{"parameters": {_PARAMETERS}}}',
    )


def delete(owner_id: int, strategy_id: int) -> Request:
    """Remove a strategy."""
    return Request(method="DELETE", path=f"{STRATEGIES}/{strategy_id}", status=204, authorization=_bearer(owner_id))


def log_in(owner_id: int) -> Request:
    """Exchange an owner's e-mail and password for a token. Through a proxy, each owner has a separate address."""
    form = urlencode({"username": email(owner_id), "password": PASSWORD})
    source = f"198.51.100.{owner_id}"
    return Request(method="POST", path=LOGIN, status=200, content_type=FORM, source=source, body=form)


@cache
def _bearer(owner_id: int) -> str:
    return f"Bearer {_TOKENS.issue(user_id=owner_id)}"
