"""The OpenAPI document without a running service."""

import secrets
from datetime import timedelta
from typing import Any

from tradingagents_adapters.argon2_passwords import Argon2PasswordHasher
from tradingagents_adapters.clock import utc_now
from tradingagents_adapters.jwt_tokens import JwtTokenService
from tradingagents_adapters.login_queue import RoundRobinLoginQueue
from tradingagents_adapters.memory import MemoryAccountStore, MemoryLoginFailures, MemoryStrategyStore
from tradingagents_core.use_cases import UseCases
from tradingagents_http.app import create_app


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document. It needs no settings and no database."""
    core = UseCases.over(
        strategies=MemoryStrategyStore(),
        accounts=MemoryAccountStore(),
        failures=MemoryLoginFailures(),
        login_queue=RoundRobinLoginQueue(turns=1),
        tokens=JwtTokenService(
            secret_key=secrets.token_urlsafe(), algorithm="HS256", lifetime=timedelta(minutes=30), clock=utc_now
        ),
        passwords=Argon2PasswordHasher(),
        clock=utc_now,
    )
    return create_app(core).openapi()
