"""The login, and its refresh."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from tradingagents_http.requests.bodies import FORM_FIELDS_MAX
from tradingagents_http.schemas import Answer
from tradingagents_http.schemas.errors import ErrorResponse, ValidationErrorResponse

OFFLINE_ACCESS: Final = "offline_access"
"""The scope that asks for a refresh token (OpenID Connect Core 1.0, 11)."""


class LoginForm(BaseModel):
    """The resource owner password credentials of OAuth 2.0 (RFC 6749, 4.3.2)."""

    model_config = ConfigDict(json_schema_extra={"maxProperties": FORM_FIELDS_MAX})

    username: Annotated[str, Field(min_length=1, description="Your e-mail address.", examples=["user@example.com"])]
    password: Annotated[
        str, Field(min_length=1, json_schema_extra={"format": "password"}, examples=["SecurePassword123"])
    ]
    grant_type: Annotated[Literal["password"], Field(description="May be left out.")] = "password"
    scope: Annotated[
        str | SkipJsonSchema[None],
        Field(
            description=f"`{OFFLINE_ACCESS}` asks for a refresh token. Other scopes have no effect.",
            examples=[OFFLINE_ACCESS],
        ),
    ] = None

    @property
    def asks_for_refresh_token(self) -> bool:
        """Whether `offline_access` is among the scopes, which are separated by spaces (RFC 6749, 3.3)."""
        return OFFLINE_ACCESS in (self.scope or "").split(" ")


class RefreshForm(BaseModel):
    """The refresh of a token (RFC 6749, 6)."""

    model_config = ConfigDict(json_schema_extra={"maxProperties": FORM_FIELDS_MAX})

    grant_type: Literal["refresh_token"]
    refresh_token: Annotated[str, Field(min_length=1, description="The newest refresh token.", examples=["tr_7fR1..."])]


_RefreshToken = Annotated[
    str,
    Field(description="To get the next tokens from `/auth/refresh`, once. Keep it secret.", examples=["tr_7fR1..."]),
]


class Token(Answer):
    """A token to send as `Authorization: Bearer <access_token>`."""

    # The refresh token may be missing, so the other fields have no defaults.
    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    access_token: Annotated[str, Field(examples=["eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9..."])]
    token_type: Literal["bearer"]
    expires_in: Annotated[int, Field(description="Seconds until the token expires.", examples=[1800])]
    refresh_token: Annotated[_RefreshToken | SkipJsonSchema[None], Field()] = None


class RefreshedToken(Token):
    """A new token, and a new refresh token in place of the one that was sent."""

    refresh_token: _RefreshToken


class _TokenRefusal(Answer):
    error: Annotated[
        Literal["invalid_request", "invalid_grant", "unsupported_grant_type"],
        Field(description="What was wrong, as OAuth 2.0 calls it (RFC 6749, 5.2)."),
    ]
    error_description: Annotated[str, Field(description="The same as `detail`, as one text.")]


class TokenErrorResponse(ErrorResponse, _TokenRefusal):
    """Why there is no token."""


class TokenValidationErrorResponse(ValidationErrorResponse, _TokenRefusal):
    """What was wrong with the form."""
