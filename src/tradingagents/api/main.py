"""The documented import path of the HTTP service: `tradingagents.api.main:app`."""

from tradingagents_service.asgi import app

__all__ = ["app"]
