"""Strategies."""

from collections.abc import Sequence
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

from tradingagents_core.domain.parameters import PARAMETERS_MAX_BYTES, PARAMETERS_MAX_DEPTH, Parameters
from tradingagents_core.domain.strategies import (
    DESCRIPTION_MAX_LENGTH,
    NAME_MAX_LENGTH,
    StrategyChanges,
    StrategyContent,
)
from tradingagents_core.errors import InvalidInput
from tradingagents_http.requests.bodies import parsed_json
from tradingagents_http.requests.plain_values import plain_boolean
from tradingagents_http.schemas import Answer
from tradingagents_http.schemas.fields import (
    NAME_PATTERN,
    Id,
    IdInPath,
    Limit,
    PageQuery,
    Skip,
    Time,
    Total,
)

# For the document only: the domain checks this rule.
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


StrategyId = Annotated[IdInPath, Path(description="The id of one of your strategies.")]

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

    id: Id
    name: Annotated[str, _ABOUT_NAME]
    description: Annotated[str | None, _ABOUT_DESCRIPTION, WithJsonSchema({"type": ["string", "null"]})]
    parameters: ParametersOut
    is_active: IsActive
    created_at: Time
    updated_at: Time


class StrategyQuery(PageQuery):
    """Which strategies to list."""

    active_only: Annotated[
        bool, Field(description="Filter to active strategies only."), BeforeValidator(plain_boolean)
    ] = False


Pagination = Annotated[StrategyQuery, Query()]


class StrategyPage(Answer):
    """A page of strategies, oldest first; `total` counts all that match."""

    items: Sequence[Strategy]
    total: Total
    skip: Skip
    limit: Limit
