"""Paths of the API."""

from typing import Final

API: Final = "/api/v1"
LOGIN: Final = f"{API}/auth/login"
STRATEGIES: Final = f"{API}/strategies"
