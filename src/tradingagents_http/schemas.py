"""What requests and answers look like on the wire. Limits are the domain's."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal, cast

from fastapi import Body, Path, Query
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictBool,
    WithJsonSchema,
    with_config,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from tradingagents_core import __version__
from tradingagents_core.domain.page import PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX
from tradingagents_core.domain.parameters import INTEGER_MAX, PARAMETERS_MAX_BYTES, PARAMETERS_MAX_DEPTH, Parameters
from tradingagents_core.domain.strategy import (
    DESCRIPTION_MAX_LENGTH,
    NAME_MAX_LENGTH,
    StrategyChanges,
    StrategyContent,
)
from tradingagents_core.errors import InvalidInput
from tradingagents_http.media_types import FORM_FIELDS_MAX, parsed_json

_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_BOOLEANS: Final = {"true": True, "false": False}

# For the document only: the domain checks these rules, and says which one is broken. Generators copy the patterns into
# the source of many languages, where a line separator written out would end the line. ECMA 262 alone takes U+FEFF for
# white space.
_CONTROL: Final = r"\x00-\x1f\x7f-\x9f"
NAME_PATTERN: Final = rf"^[^{_CONTROL}]*([^\s{_CONTROL}]|\ufeff)[^{_CONTROL}]*$"
DESCRIPTION_PATTERN: Final = r"^[^\x00]*$"


def _integer(text: object) -> int:
    """The integer that a path or query says in plain decimal digits, and in no other way of writing it."""
    if not isinstance(text, str) or not _INTEGER.fullmatch(text):
        raise PydanticCustomError("int_parsing", "Input should be a valid integer")
    return int(text)


def _boolean(text: object) -> bool:
    if not isinstance(text, str) or text.lower() not in _BOOLEANS:
        raise PydanticCustomError("bool_parsing", "Input should be true or false")
    return _BOOLEANS[text.lower()]


def _parameters(value: object) -> Parameters:
    if isinstance(value, Parameters):
        return value
    try:
        return Parameters(value)
    except InvalidInput as error:
        # As pydantic's own, so that it is reported together with what else is wrong with the body.
        raise PydanticCustomError(error.rule, "{message}", {"message": str(error)}) from None


StrategyId = Annotated[
    int,
    PlainValidator(_integer),
    Path(alias="id", description="The id of one of your strategies.", examples=[1]),
    WithJsonSchema({"type": "integer", "format": "int64"}),
]

_ABOUT_NAME: Final = Field(
    description="Unique among your strategies. Not blank, no control characters.", examples=["RSI Mean Reversion"]
)
_ABOUT_DESCRIPTION: Final = Field(
    description="Anything but NUL characters.", examples=["Buy oversold, sell overbought"]
)
_ABOUT_PARAMETERS: Final = Field(
    description=(
        f"Any JSON object: nested at most {PARAMETERS_MAX_DEPTH} levels deep, at most {PARAMETERS_MAX_BYTES} "
        "bytes, numbers finite, integers within 64 bits. It comes back value for value, in the same order."
    ),
    examples=[{"rsi_period": 14, "oversold": 30, "overbought": 70}],
)

Name = Annotated[
    str,
    Field(min_length=1, max_length=NAME_MAX_LENGTH, json_schema_extra={"pattern": NAME_PATTERN}),
    _ABOUT_NAME,
]

# One schema with two types: generators make a class of its own of each alternative that has limits.
Description = Annotated[
    Annotated[str, Field(max_length=DESCRIPTION_MAX_LENGTH)] | None,
    _ABOUT_DESCRIPTION,
    WithJsonSchema({"type": ["string", "null"], "maxLength": DESCRIPTION_MAX_LENGTH, "pattern": DESCRIPTION_PATTERN}),
]

ParametersIn = Annotated[
    Parameters, PlainValidator(_parameters, json_schema_input_type=dict[str, Any]), _ABOUT_PARAMETERS
]

ParametersOut = Annotated[
    Parameters,
    PlainValidator(_parameters),
    PlainSerializer(Parameters.to_dict, return_type=dict[str, Any]),
    _ABOUT_PARAMETERS,
]

IsActive = Annotated[StrictBool, Field(description="Whether the strategy is in use.")]

Int64 = Annotated[int, Field(json_schema_extra={"format": "int64"})]


class StrategyCreate(BaseModel):
    """A new strategy."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    description: Description = None
    parameters: ParametersIn = Field(default_factory=lambda: Parameters({}), json_schema_extra={"default": {}})
    is_active: IsActive = True

    def content(self) -> StrategyContent:
        """What the domain makes of it.

        Raises:
            InvalidInput: a field breaks a rule that the schema does not know.
        """
        return StrategyContent(
            name=self.name, description=self.description, parameters=self.parameters, is_active=self.is_active
        )


@with_config(ConfigDict(extra="forbid"))
class StrategyUpdate(TypedDict, total=False):
    """The fields of a strategy to change; a field that is not sent stays as it is."""

    name: Name
    description: Description
    parameters: ParametersIn
    is_active: IsActive
    # Ignored, so that what GET answered can be sent back. Clients are not offered them.
    id: SkipJsonSchema[Any]
    created_at: SkipJsonSchema[Any]
    updated_at: SkipJsonSchema[Any]


StrategyCreateBody = Annotated[
    StrategyCreate,
    BeforeValidator(parsed_json),
    Body(
        openapi_examples={
            "strategy": {
                "summary": "A strategy",
                "value": {
                    "name": "RSI Mean Reversion",
                    "description": "Buy oversold, sell overbought",
                    "parameters": {"rsi_period": 14, "oversold": 30, "overbought": 70},
                    "is_active": True,
                },
            }
        }
    ),
]
StrategyUpdateBody = Annotated[
    StrategyUpdate,
    BeforeValidator(parsed_json),
    Body(
        openapi_examples={
            "name and parameters": {
                "summary": "Another name, other parameters",
                "value": {"name": "Updated Strategy Name", "parameters": {"new_param": 42}},
            }
        }
    ),
]


def changes(update: StrategyUpdate) -> StrategyChanges:
    """The changes that an update asks for, without the fields that cannot be changed."""
    return cast(
        StrategyChanges, {field: value for field, value in update.items() if field in StrategyChanges.__annotations__}
    )


class _Answer(BaseModel):
    # Always all of these fields. A client should pass over others, which a later version may send.
    model_config = ConfigDict(from_attributes=True, json_schema_serialization_defaults_required=True)


class Strategy(_Answer):
    """A stored strategy."""

    id: Annotated[Int64, Field(examples=[2])]
    name: Annotated[str, _ABOUT_NAME]
    description: Annotated[str | None, _ABOUT_DESCRIPTION, WithJsonSchema({"type": ["string", "null"]})]
    parameters: ParametersOut
    is_active: IsActive
    created_at: Annotated[datetime, Field(examples=["2024-01-15T11:00:00Z"])]
    updated_at: Annotated[datetime, Field(examples=["2024-01-15T11:00:00Z"])]


class PageQuery(BaseModel):
    """Which strategies to list."""

    model_config = ConfigDict(extra="forbid")

    # The document says the maximum as a format, since JavaScript reads the number itself as another one.
    skip: Annotated[
        int,
        Field(ge=0, le=INTEGER_MAX, description="Pagination offset."),
        BeforeValidator(_integer),
        WithJsonSchema({"type": "integer", "format": "int64", "minimum": 0}),
    ] = 0
    limit: Annotated[int, Field(ge=1, le=PAGE_LIMIT_MAX, description="Page size."), BeforeValidator(_integer)] = (
        PAGE_LIMIT_DEFAULT
    )
    active_only: Annotated[bool, Field(description="Filter to active strategies only."), BeforeValidator(_boolean)] = (
        False
    )


Pagination = Annotated[PageQuery, Query()]


class StrategyPage(_Answer):
    """A page of strategies, oldest first; `total` counts all that match."""

    items: Sequence[Strategy]
    total: Annotated[Int64, Field(examples=[1])]
    skip: Annotated[Int64, Field(examples=[0])]
    limit: Annotated[int, Field(examples=[PAGE_LIMIT_DEFAULT])]


class LoginForm(BaseModel):
    """The resource owner password credentials of OAuth 2.0 (RFC 6749, 4.3.2)."""

    model_config = ConfigDict(json_schema_extra={"maxProperties": FORM_FIELDS_MAX})

    username: Annotated[str, Field(min_length=1, description="Your e-mail address.", examples=["user@example.com"])]
    password: Annotated[
        str, Field(min_length=1, json_schema_extra={"format": "password"}, examples=["SecurePassword123"])
    ]
    grant_type: Annotated[Literal["password"], Field(description="May be left out.")] = "password"


class Token(_Answer):
    """A token to send as `Authorization: Bearer <access_token>`."""

    access_token: Annotated[str, Field(examples=["eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9..."])]
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_in: Annotated[int, Field(description="Seconds until the token expires.", examples=[1800])]


class _TokenRefusal(_Answer):
    error: Annotated[
        Literal["invalid_request", "invalid_grant", "unsupported_grant_type"],
        Field(description="What was wrong, as OAuth 2.0 calls it (RFC 6749, 5.2)."),
    ]
    error_description: Annotated[str, Field(description="The same as `detail`, as one text.")]


class Health(_Answer):
    """The service runs."""

    status: Literal["healthy"] = "healthy"
    version: Annotated[str, Field(examples=[__version__])]


class ErrorResponse(_Answer):
    """What was wrong."""

    detail: Annotated[str, Field(examples=["Error message here"])]


class TokenErrorResponse(ErrorResponse, _TokenRefusal):
    """Why there is no token."""


class Problem(_Answer):
    """One thing that was wrong with the input, and where."""

    loc: Annotated[list[str | int], Field(examples=[["body", "name"]])]
    msg: Annotated[str, Field(examples=["field required"])]
    type: Annotated[str, Field(examples=["value_error.missing"])]


class ValidationErrorResponse(_Answer):
    """What was wrong with the input."""

    detail: list[Problem]


class TokenValidationErrorResponse(ValidationErrorResponse, _TokenRefusal):
    """What was wrong with the form of a login."""
