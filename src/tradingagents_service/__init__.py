"""The service, composed: settings from the environment, the container that joins core and adapters, the application."""

from typing import Final

APPLICATION: Final = "tradingagents_service.asgi:app"
"""The import path of the application, for servers; importing it reads the environment."""
