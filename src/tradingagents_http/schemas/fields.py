"""Fields and query parameters that several subjects have."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

from fastapi import Path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema

from tradingagents_core.domain.page import PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX
from tradingagents_core.domain.parameters import INTEGER_MAX
from tradingagents_core.domain.scopes import ALL_SCOPES
from tradingagents_http.requests.plain_values import plain_integer

# For the document only: the domain checks this rule, and reports which part is broken. The pattern uses escapes: code
# generators copy it into source code, where a literal line separator would end the line. Only ECMA 262 counts U+FEFF
# as white space.
CONTROL: Final = r"\x00-\x1f\x7f-\x9f"
NAME_PATTERN: Final = rf"^[^{CONTROL}]*([^\s{CONTROL}]|\ufeff)[^{CONTROL}]*$"

Int64 = Annotated[int, Field(json_schema_extra={"format": "int64"})]
Id = Annotated[Int64, Field(examples=[2])]
Time = Annotated[datetime, Field(examples=["2024-01-15T11:00:00Z"])]

IdInPath = Annotated[
    int,
    PlainValidator(plain_integer),
    Path(alias="id", examples=[1]),
    WithJsonSchema({"type": "integer", "format": "int64"}),
]

ScopesIn = Annotated[
    list[str],
    Field(min_length=1),
    # For the document only: the domain refuses other scopes.
    WithJsonSchema({"type": "array", "minItems": 1, "items": {"type": "string", "enum": list(ALL_SCOPES)}}),
]
"""Scopes that a client chooses."""

ScopesOut = Annotated[Sequence[str], Field(examples=[list(ALL_SCOPES)])]
"""Scopes in an answer. A later version may have more of them."""

Total = Annotated[Int64, Field(examples=[1])]
Skip = Annotated[Int64, Field(examples=[0])]
Limit = Annotated[int, Field(examples=[PAGE_LIMIT_DEFAULT])]


class PageQuery(BaseModel):
    """Which part of a list to answer."""

    model_config = ConfigDict(extra="forbid")

    # The document states the maximum as a format, since JavaScript would round the number.
    skip: Annotated[
        int,
        Field(ge=0, le=INTEGER_MAX, description="Pagination offset."),
        BeforeValidator(plain_integer),
        WithJsonSchema({"type": "integer", "format": "int64", "minimum": 0}),
    ] = 0
    limit: Annotated[int, Field(ge=1, le=PAGE_LIMIT_MAX, description="Page size."), BeforeValidator(plain_integer)] = (
        PAGE_LIMIT_DEFAULT
    )
