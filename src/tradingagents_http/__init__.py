"""The REST API: the core's use cases over HTTP, as an application or as routes for another application."""

from tradingagents_http.app import create_app
from tradingagents_http.router import build_router

__all__ = ["build_router", "create_app"]
