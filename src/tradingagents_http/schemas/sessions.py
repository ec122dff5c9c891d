"""Sessions."""

from collections.abc import Sequence
from typing import Annotated, Final, Self

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from tradingagents_core.domain import sessions as domain
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.domain.page import Page
from tradingagents_http.schemas import Answer
from tradingagents_http.schemas.fields import Id, IdInPath, Limit, PageQuery, Skip, Time, Total

SessionId = Annotated[IdInPath, Path(description="The id of one of your sessions.")]

SessionPagination = Annotated[PageQuery, Query()]


_GLOBAL: Final = "global"


def _scope(text: object) -> object:
    if text != _GLOBAL:
        raise PydanticCustomError("literal_error", f"Input should be '{_GLOBAL}'")
    return text


class LogoutQuery(BaseModel):
    """Which sessions to end."""

    model_config = ConfigDict(extra="forbid")

    scope: Annotated[
        str | None,
        PlainValidator(_scope),
        Field(description=f"`{_GLOBAL}` ends all of your sessions. By default only the session of this token ends."),
        WithJsonSchema({"type": "string", "enum": [_GLOBAL]}),
    ] = None

    @property
    def is_global(self) -> bool:
        """Whether all sessions of the user should end."""
        return self.scope == _GLOBAL


LogoutScope = Annotated[LogoutQuery, Query()]


class Session(Answer):
    """A session: from a login to its end."""

    id: Id
    created_at: Time
    last_used_at: Annotated[Time, Field(description="Known to the minute.")]
    expires_at: Annotated[Time, Field(description="A refresh moves this time.")]
    current: Annotated[bool, Field(description="Whether this is the session of the token that you have sent.")]


class SessionPage(Answer):
    """A page of your sessions, oldest first; `total` counts all of them."""

    items: Sequence[Session]
    total: Total
    skip: Skip
    limit: Limit

    @classmethod
    def of(cls, page: Page[domain.Session], *, caller: Caller) -> Self:
        """A page of the sessions of this caller."""
        items = [
            Session(
                id=session.id,
                created_at=session.created_at,
                last_used_at=session.last_used_at,
                expires_at=session.expires_at,
                current=session.id == caller.session_id,
            )
            for session in page.items
        ]
        return cls(items=items, total=page.total, skip=page.skip, limit=page.limit)
