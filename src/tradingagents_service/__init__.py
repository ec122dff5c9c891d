"""The composed service: settings from the environment, a container of core and adapters, and the ASGI application."""

from typing import Final

APPLICATION: Final = "tradingagents_service.asgi:app"
"""The import path of the application, for servers. The import reads the environment."""
