"""The composed service: a container of core and adapters, settings from the environment, and the ASGI application."""

from typing import Final

from tradingagents_service.opening import MEMORY, open_core

__all__ = ["APPLICATION", "MEMORY", "open_core"]

APPLICATION: Final = "tradingagents_service.asgi:app"
"""The import path of the application, for servers. The import reads the environment."""
