"""API keys."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Self

from fastapi import Body, Path, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema

from tradingagents_core.domain import api_keys as domain
from tradingagents_core.domain.api_keys import API_KEY_NAME_MAX_LENGTH, ApiKeyContent
from tradingagents_core.domain.scopes import STRATEGIES_READ
from tradingagents_http.requests.bodies import parsed_json
from tradingagents_http.requests.plain_values import plain_time
from tradingagents_http.schemas import Answer
from tradingagents_http.schemas.fields import (
    NAME_PATTERN,
    Id,
    IdInPath,
    Limit,
    PageQuery,
    ScopesIn,
    ScopesOut,
    Skip,
    Time,
    Total,
)

ApiKeyId = Annotated[IdInPath, Path(description="The id of one of your API keys.")]

ApiKeyPagination = Annotated[PageQuery, Query()]


def _time_or_none(value: object) -> datetime | None:
    return None if value is None else plain_time(value)


_NULLABLE_TIME: Final[dict[str, Any]] = {"type": ["string", "null"], "format": "date-time"}
_PREFIX: Final = Field(description="The first characters of the key, to tell keys apart.", examples=["ta_7fR1Zk0w"])
_EXPIRES_AT: Final = Field(description="`null` for a key that never expires.", examples=["2099-01-15T11:00:00Z"])
_LAST_USED_AT: Final = Field(
    description="Known to the minute. `null` for a key that was never used.", examples=["2024-01-15T11:00:00Z"]
)
_NAME: Final = Field(description="For you, to tell what the key is for.", examples=["Rebalancing bot"])


class ApiKeyCreate(BaseModel):
    """A new API key."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[
        str,
        Field(min_length=1, max_length=API_KEY_NAME_MAX_LENGTH, json_schema_extra={"pattern": NAME_PATTERN}),
        _NAME,
    ]
    scopes: Annotated[ScopesIn, Field(description="What the key allows.", examples=[[STRATEGIES_READ]])]
    expires_at: Annotated[
        datetime | None,
        PlainValidator(_time_or_none),
        Field(
            description="When the key expires: a time in the future with its time zone (RFC 3339). `null`: never.",
            examples=["2099-01-15T11:00:00Z"],
        ),
        WithJsonSchema(_NULLABLE_TIME),
    ] = None

    def content(self) -> ApiKeyContent:
        """The domain object.

        Raises:
            InvalidInput: a field breaks a rule that the schema does not check.
        """
        return ApiKeyContent(name=self.name, scopes=tuple(self.scopes), expires_at=self.expires_at)


ApiKeyCreateBody = Annotated[
    ApiKeyCreate,
    BeforeValidator(parsed_json),
    Body(
        openapi_examples={
            "key": {
                "summary": "A key that reads",
                "value": {"name": "Rebalancing bot", "scopes": [STRATEGIES_READ], "expires_at": None},
            }
        }
    ),
]


class ApiKey(Answer):
    """An API key, without the key itself."""

    id: Id
    name: Annotated[str, _NAME]
    prefix: Annotated[str, _PREFIX]
    scopes: ScopesOut
    created_at: Time
    expires_at: Annotated[datetime | None, _EXPIRES_AT, WithJsonSchema(_NULLABLE_TIME)]
    last_used_at: Annotated[datetime | None, _LAST_USED_AT, WithJsonSchema(_NULLABLE_TIME)]


class NewApiKey(Answer):
    """A new API key. This is the only answer that has the key itself."""

    id: Id
    key: Annotated[
        str,
        Field(
            description="Send the key as `Authorization: Bearer <key>`. The key is shown this once.",
            examples=["ta_7fR1Zk0w..."],
        ),
    ]
    name: Annotated[str, _NAME]
    prefix: Annotated[str, _PREFIX]
    scopes: ScopesOut
    created_at: Time
    expires_at: Annotated[datetime | None, _EXPIRES_AT, WithJsonSchema(_NULLABLE_TIME)]
    last_used_at: Annotated[datetime | None, _LAST_USED_AT, WithJsonSchema(_NULLABLE_TIME)]

    @classmethod
    def of(cls, new: domain.NewApiKey) -> Self:
        """This key, with its text."""
        return cls(key=new.text, **ApiKey.model_validate(new.api_key).model_dump())


class ApiKeyPage(Answer):
    """A page of your API keys, oldest first; `total` counts all of them. Keys that have expired stay for a while."""

    items: Sequence[ApiKey]
    total: Total
    skip: Skip
    limit: Limit
