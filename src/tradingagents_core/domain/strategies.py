"""A strategy: a named set of parameters that belongs to one user."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Self, TypedDict, Unpack

from tradingagents_core.domain.parameters import Parameters
from tradingagents_core.domain.text import check_length, check_no_control_characters, check_unicode
from tradingagents_core.errors import InvalidInput

NAME_MAX_LENGTH: Final = 255
DESCRIPTION_MAX_LENGTH: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyContent:
    """The fields of a strategy that its owner sets.

    Raises:
        InvalidInput: the name is not 1 to `NAME_MAX_LENGTH` characters long, is only white space, or contains a
            control character; the description is longer than `DESCRIPTION_MAX_LENGTH` or contains NUL; either text
            contains a lone surrogate.
    """

    name: str
    description: str | None = None
    parameters: Parameters = field(default_factory=lambda: Parameters({}))
    is_active: bool = True

    def __post_init__(self) -> None:
        check_length("name", self.name, minimum=1, maximum=NAME_MAX_LENGTH)
        check_unicode("name", self.name)
        check_no_control_characters("name", self.name)
        if self.name.isspace():
            raise InvalidInput(field="name", rule="blank", message="should not be blank")
        if self.description is not None:
            check_length("description", self.description, maximum=DESCRIPTION_MAX_LENGTH)
            check_unicode("description", self.description)
            if "\x00" in self.description:
                raise InvalidInput(field="description", rule="nul_character", message="should not contain NUL")


class StrategyChanges(TypedDict, total=False):
    """The fields of a strategy to change. Fields that are left out stay as they are."""

    name: str
    description: str | None
    parameters: Parameters
    is_active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy(StrategyContent):
    """A stored strategy. Its name is unique among its owner's strategies; its times are aware and in UTC."""

    id: int
    owner_id: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def created(cls, content: StrategyContent, *, id: int, owner_id: int, at: datetime) -> Self:  # noqa: A002
        """A new strategy with this content."""
        return cls(
            id=id,
            owner_id=owner_id,
            name=content.name,
            description=content.description,
            parameters=content.parameters,
            is_active=content.is_active,
            created_at=at,
            updated_at=at,
        )

    def changed(self, *, at: datetime, **changes: Unpack[StrategyChanges]) -> Self:
        """This strategy with `changes`, updated `at`; `updated_at` never moves back, even if the clock was set back.

        If no change differs from the present values, the strategy is returned as it is.

        Raises:
            InvalidInput: a change breaks a rule of `StrategyContent`.
            TypeError: a change is not a field of `StrategyChanges`, such as the owner.
        """
        if not changes.keys() <= StrategyChanges.__annotations__.keys():
            raise TypeError(f"only {', '.join(StrategyChanges.__annotations__)} of a strategy can be changed")
        if all(getattr(self, name) == value for name, value in changes.items()):
            return self
        return replace(self, updated_at=max(at, self.updated_at), **changes)
