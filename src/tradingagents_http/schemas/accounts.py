"""Accounts."""

from collections.abc import Sequence
from typing import Annotated, Final, Self

from fastapi import Body
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from tradingagents_core.domain.accounts import EMAIL_MAX_LENGTH, PASSWORD_MAX_BYTES, PASSWORD_MIN_LENGTH, User
from tradingagents_http.requests.bodies import parsed_json
from tradingagents_http.schemas import Answer
from tradingagents_http.schemas.fields import CONTROL, Id, ScopesOut, Time

_EMAIL_PART: Final = rf"([^@\s{CONTROL}]|\ufeff)+"
EMAIL_PATTERN: Final = f"^{_EMAIL_PART}@{_EMAIL_PART}$"

_Email = Annotated[
    str,
    Field(
        description="Compared and stored in lower case.",
        examples=["user@example.com"],
        # For the document only: the domain checks these rules.
        json_schema_extra={"maxLength": EMAIL_MAX_LENGTH, "pattern": EMAIL_PATTERN},
    ),
]

_NewPassword = Annotated[
    str,
    Field(
        description=f"At least {PASSWORD_MIN_LENGTH} characters, at most {PASSWORD_MAX_BYTES} bytes in UTF-8.",
        examples=["SecurePassword123"],
        # For the document only: the domain checks these rules, after normalization (NFC).
        json_schema_extra={
            "minLength": PASSWORD_MIN_LENGTH,
            "maxLength": PASSWORD_MAX_BYTES,
            "format": "password",
        },
    ),
]


class Registration(BaseModel):
    """A new account."""

    model_config = ConfigDict(extra="forbid")

    email: _Email
    password: _NewPassword


RegistrationBody = Annotated[
    Registration,
    BeforeValidator(parsed_json),
    Body(
        openapi_examples={
            "account": {
                "summary": "An account",
                "value": {"email": "user@example.com", "password": "SecurePassword123"},
            }
        }
    ),
]


class PasswordChange(BaseModel):
    """Another password."""

    model_config = ConfigDict(extra="forbid")

    current_password: Annotated[str, Field(json_schema_extra={"format": "password"}, examples=["SecurePassword123"])]
    new_password: _NewPassword


PasswordChangeBody = Annotated[
    PasswordChange,
    BeforeValidator(parsed_json),
    Body(
        openapi_examples={
            "password": {
                "summary": "Another password",
                "value": {"current_password": "SecurePassword123", "new_password": "AnotherPassword456"},
            }
        }
    ),
]


class Account(Answer):
    """Your account."""

    id: Id
    email: Annotated[str, Field(examples=["user@example.com"])]
    is_active: Annotated[bool, Field(description="Whether you may log in.")]
    created_at: Time
    scopes: Annotated[ScopesOut, Field(description="What the token or API key allows that you have sent.")]

    @classmethod
    def of(cls, user: User, *, scopes: Sequence[str]) -> Self:
        """The account of this user, for a credential with these scopes."""
        return cls(id=user.id, email=user.email, is_active=user.is_active, created_at=user.created_at, scopes=scopes)
