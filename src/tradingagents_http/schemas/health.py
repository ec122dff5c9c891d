"""The health check."""

from typing import Annotated, Literal

from pydantic import Field

from tradingagents_core import __version__
from tradingagents_http.schemas import Answer


class Health(Answer):
    """The service runs."""

    status: Literal["healthy"] = "healthy"
    version: Annotated[str, Field(examples=[__version__])]
