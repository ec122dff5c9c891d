"""The login."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from tradingagents_http.requests.bodies import FORM_FIELDS_MAX
from tradingagents_http.schemas import Answer
from tradingagents_http.schemas.errors import ErrorResponse, ValidationErrorResponse


class LoginForm(BaseModel):
    """The resource owner password credentials of OAuth 2.0 (RFC 6749, 4.3.2)."""

    model_config = ConfigDict(json_schema_extra={"maxProperties": FORM_FIELDS_MAX})

    username: Annotated[str, Field(min_length=1, description="Your e-mail address.", examples=["user@example.com"])]
    password: Annotated[
        str, Field(min_length=1, json_schema_extra={"format": "password"}, examples=["SecurePassword123"])
    ]
    grant_type: Annotated[Literal["password"], Field(description="May be left out.")] = "password"


class Token(Answer):
    """A token to send as `Authorization: Bearer <access_token>`."""

    access_token: Annotated[str, Field(examples=["eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9..."])]
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_in: Annotated[int, Field(description="Seconds until the token expires.", examples=[1800])]


class _TokenRefusal(Answer):
    error: Annotated[
        Literal["invalid_request", "invalid_grant", "unsupported_grant_type"],
        Field(description="What was wrong, as OAuth 2.0 calls it (RFC 6749, 5.2)."),
    ]
    error_description: Annotated[str, Field(description="The same as `detail`, as one text.")]


class TokenErrorResponse(ErrorResponse, _TokenRefusal):
    """Why there is no token."""


class TokenValidationErrorResponse(ValidationErrorResponse, _TokenRefusal):
    """What was wrong with the form of a login."""
