"""Strategies."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, cast

from fastapi import Body, Path, Query
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictBool,
    ValidationError,
    WithJsonSchema,
    with_config,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from tradingagents_core.domain.page import PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX
from tradingagents_core.domain.parameters import INTEGER_MAX, PARAMETERS_MAX_BYTES, PARAMETERS_MAX_DEPTH, Parameters
from tradingagents_core.domain.strategies import (
    DESCRIPTION_MAX_LENGTH,
    NAME_MAX_LENGTH,
    StrategyChanges,
    StrategyContent,
)
from tradingagents_core.errors import InvalidInput
from tradingagents_http.requests.bodies import parsed_json
from tradingagents_http.requests.plain_values import plain_boolean, plain_integer
from tradingagents_http.schemas import Answer

# For the document only: the domain checks these rules, and reports which rule is broken. The patterns use escapes:
# code generators copy them into source code, where a literal line separator would end the line. Only ECMA 262 counts
# U+FEFF as white space.
_CONTROL: Final = r"\x00-\x1f\x7f-\x9f"
NAME_PATTERN: Final = rf"^[^{_CONTROL}]*([^\s{_CONTROL}]|\ufeff)[^{_CONTROL}]*$"
DESCRIPTION_PATTERN: Final = r"^[^\x00]*$"


def _parameters(value: object) -> Parameters:
    if isinstance(value, Parameters):
        return value
    try:
        return Parameters(value)
    except InvalidInput as error:
        # As an error of Pydantic, so that it is reported together with other errors of the body.
        fault = PydanticCustomError(error.rule, "{message}", {"message": str(error)})
        raise ValidationError.from_exception_data(
            error.field, [{"type": fault, "loc": error.path, "input": None}]
        ) from None


StrategyId = Annotated[
    int,
    PlainValidator(plain_integer),
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

# One schema with two types: code generators make a separate class for each alternative of `anyOf` that has limits.
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
        """The domain object.

        Raises:
            InvalidInput: a field breaks a rule that the schema does not check.
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
    # Ignored, so that a client can send back the response of GET. The document does not show these fields.
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
    """The changes of an update, without the fields that cannot be changed."""
    return cast(
        StrategyChanges, {field: value for field, value in update.items() if field in StrategyChanges.__annotations__}
    )


class Strategy(Answer):
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
    active_only: Annotated[
        bool, Field(description="Filter to active strategies only."), BeforeValidator(plain_boolean)
    ] = False


Pagination = Annotated[PageQuery, Query()]


class StrategyPage(Answer):
    """A page of strategies, oldest first; `total` counts all that match."""

    items: Sequence[Strategy]
    total: Annotated[Int64, Field(examples=[1])]
    skip: Annotated[Int64, Field(examples=[0])]
    limit: Annotated[int, Field(examples=[PAGE_LIMIT_DEFAULT])]
