"""Error responses."""

from typing import Annotated

from pydantic import Field

from tradingagents_http.schemas import Answer


class ErrorResponse(Answer):
    """What was wrong."""

    detail: Annotated[str, Field(examples=["Error message here"])]


class Problem(Answer):
    """One thing that was wrong with the input, and where."""

    loc: Annotated[list[str | int], Field(examples=[["body", "name"]])]
    msg: Annotated[str, Field(examples=["field required"])]
    type: Annotated[str, Field(examples=["value_error.missing"])]


class ValidationErrorResponse(Answer):
    """What was wrong with the input."""

    detail: list[Problem]
