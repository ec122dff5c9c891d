"""The API called in this process: what tests are given by the fixture `api`."""

from dataclasses import dataclass

import httpx

from tradingagents_core.use_cases import UseCases

PASSWORD = "SecurePassword123"


@dataclass(frozen=True)
class Api:
    """The API, the core behind it, and clients: a stranger's and two users'."""

    core: UseCases
    stranger: httpx.AsyncClient
    ann: httpx.AsyncClient
    bob: httpx.AsyncClient
