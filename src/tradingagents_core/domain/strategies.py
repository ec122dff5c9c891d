"""A strategy: a named set of parameters that belongs to one user."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Self, TypedDict, Unpack, cast

from tradingagents_core.domain.parameters import Parameters
from tradingagents_core.domain.plain_types import plain_bool, plain_id, plain_str, utc_time
from tradingagents_core.domain.text import check_length, check_no_control_characters, check_no_nul, check_unicode
from tradingagents_core.errors import InvalidInput

NAME_MAX_LENGTH: Final = 255
DESCRIPTION_MAX_LENGTH: Final = 10_000

_NO_PARAMETERS: Final = Parameters({})


def _name(value: object) -> str:
    name = plain_str("name", value)
    check_length("name", name, minimum=1, maximum=NAME_MAX_LENGTH)
    check_unicode("name", name)
    check_no_control_characters("name", name)
    if name.isspace():
        raise InvalidInput(field="name", rule="blank", message="should not be blank")
    return name


def _description(value: object) -> str | None:
    if value is None:
        return None
    description = plain_str("description", value)
    check_length("description", description, maximum=DESCRIPTION_MAX_LENGTH)
    check_unicode("description", description)
    check_no_nul("description", description)
    return description


def _parameters(value: object) -> Parameters:
    return value if isinstance(value, Parameters) else Parameters(value)


def _is_active(value: object) -> bool:
    return plain_bool("is_active", value)


# `dataclass` cannot generate a constructor that converts an argument, here a `dict` of parameters.
@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class StrategyContent:
    """The fields of a strategy that its owner sets. A `dict` of parameters becomes `Parameters`.

    Raises:
        InvalidInput: a value has another type than declared; the name is not 1 to `NAME_MAX_LENGTH` characters long, is
            only white space, or contains a control character; the description is longer than `DESCRIPTION_MAX_LENGTH`
            or contains NUL; either text contains a lone surrogate; the parameters break a rule of `Parameters`.
    """

    name: str
    description: str | None
    parameters: Parameters
    is_active: bool

    def __init__(
        self,
        *,
        name: str,
        description: str | None = None,
        parameters: Parameters | dict[str, Any] = _NO_PARAMETERS,
        is_active: bool = True,
    ) -> None:
        put = object.__setattr__
        put(self, "name", _name(name))
        put(self, "description", _description(description))
        put(self, "parameters", _parameters(parameters))
        put(self, "is_active", _is_active(is_active))


class StrategyChanges(TypedDict, total=False):
    """The fields of a strategy to change. Fields that are left out stay as they are."""

    name: str
    description: str | None
    parameters: Parameters | dict[str, Any]
    is_active: bool


_FIELDS: Final[Mapping[str, Callable[[object], Any]]] = {
    "name": _name,
    "description": _description,
    "parameters": _parameters,
    "is_active": _is_active,
}
"""The fields of `StrategyChanges`, each with the function that checks and converts its values."""


def checked_changes(changes: StrategyChanges) -> StrategyChanges:
    """The changes as values that a strategy can have. A `dict` of parameters becomes `Parameters`.

    Raises:
        InvalidInput: the changes are not a `dict`, or a change breaks a rule of `StrategyContent`.
        TypeError: a change is not a field of `StrategyChanges`, such as the owner.
    """
    if not isinstance(changes, dict):
        raise InvalidInput(field="changes", rule="dict_type", message="should be a dict of fields and values")
    if not changes.keys() <= _FIELDS.keys():
        raise TypeError(f"only {', '.join(_FIELDS)} of a strategy can be changed")
    return cast(StrategyChanges, {name: _FIELDS[name](value) for name, value in changes.items()})


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class Strategy(StrategyContent):
    """A stored strategy. Its name is unique among its owner's strategies; its times are converted to UTC.

    Raises:
        InvalidInput: the content breaks a rule of `StrategyContent`; an id is not between 1 and `INTEGER_MAX`; a time
            has no time zone, or cannot be converted to UTC.
    """

    id: int
    owner_id: int
    created_at: datetime
    updated_at: datetime

    def __init__(
        self,
        *,
        id: int,  # noqa: A002
        owner_id: int,
        name: str,
        description: str | None = None,
        parameters: Parameters | dict[str, Any] = _NO_PARAMETERS,
        is_active: bool = True,
        created_at: datetime,
        updated_at: datetime,
    ) -> None:
        StrategyContent.__init__(self, name=name, description=description, parameters=parameters, is_active=is_active)
        put = object.__setattr__
        put(self, "id", plain_id("id", id))
        put(self, "owner_id", plain_id("owner_id", owner_id))
        put(self, "created_at", utc_time("created_at", created_at))
        put(self, "updated_at", utc_time("updated_at", updated_at))

    @classmethod
    def from_store(
        cls,
        *,
        id: int,  # noqa: A002
        owner_id: int,
        name: str,
        description: str | None,
        parameters: Parameters,
        is_active: bool,
        created_at: datetime,
        updated_at: datetime,
    ) -> Self:
        """A strategy from the values of another strategy. Nothing is checked: for stores only."""
        strategy = object.__new__(cls)
        put = object.__setattr__
        put(strategy, "id", id)
        put(strategy, "owner_id", owner_id)
        put(strategy, "name", name)
        put(strategy, "description", description)
        put(strategy, "parameters", parameters)
        put(strategy, "is_active", is_active)
        put(strategy, "created_at", created_at)
        put(strategy, "updated_at", updated_at)
        return strategy

    @classmethod
    def created(cls, content: StrategyContent, *, id: int, owner_id: int, at: datetime) -> Self:  # noqa: A002
        """A new strategy with this content.

        Raises:
            InvalidInput: an id is not between 1 and `INTEGER_MAX`; `at` has no time zone, or cannot be converted to
                UTC.
        """
        at = utc_time("at", at)
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
            InvalidInput: a change breaks a rule of `StrategyContent`; `at` has no time zone, or cannot be converted to
                UTC.
            TypeError: a change is not a field of `StrategyChanges`, such as the owner.
        """
        at = utc_time("at", at)
        new = cast(dict[str, Any], checked_changes(changes))
        if all(getattr(self, name) == value for name, value in new.items()):
            return self
        return replace(self, updated_at=max(at, self.updated_at), **new)
