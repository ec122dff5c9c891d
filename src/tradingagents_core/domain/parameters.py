"""The parameters of a strategy: any JSON object within limits. Values and the order of keys are kept exactly."""

import json
import math
from types import NoneType
from typing import Any, Final, NoReturn, Self, TypeAlias, cast

from tradingagents_core.domain.text import check_unicode
from tradingagents_core.errors import InvalidInput

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

PARAMETERS_MAX_BYTES: Final = 64 * 1024
"""The maximum length of parameters as compact JSON text, in bytes of UTF-8."""

PARAMETERS_MAX_DEPTH: Final = 32
"""The maximum depth of nested objects and arrays. The parameters themselves are the first level."""

INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1

_FIELD: Final = "parameters"
_JSON_TYPES: Final = frozenset({dict, list, str, int, float, bool, NoneType})


class Parameters:
    """An immutable JSON object, held as its compact JSON text.

    Two `Parameters` are equal when they have the same values under the same keys in the same order. `1`, `1.0` and
    `true` differ.

    Raises:
        InvalidInput: `value` is not a JSON object (exactly dict, list, str, int, float, bool and None), is nested
            deeper than `PARAMETERS_MAX_DEPTH` or longer than `PARAMETERS_MAX_BYTES`, or contains a number that is
            not finite, an integer beyond 64 bits or a lone surrogate. The `path` of the error leads to the first
            value that is refused; for a refused key, the path leads to the object that has the key.
    """

    __slots__ = ("_json",)

    def __init__(self, value: object) -> None:
        if type(value) is not dict:
            _refuse("dict_type", "should be a JSON object")
        # The text is made first, because checking is slower: a value that is too long needs no further check.
        text = _json_text(value)
        if text is not None and len(text) > PARAMETERS_MAX_BYTES:
            _refuse_too_large()
        _check(value, depth=1)
        assert text is not None
        if len(text.encode()) > PARAMETERS_MAX_BYTES:
            _refuse_too_large()
        self._json = text

    @classmethod
    def from_store(cls, text: str) -> Self:
        """Parameters from the `json` of other parameters. Nothing is checked: for stores only."""
        parameters = cls.__new__(cls)
        parameters._json = text  # noqa: SLF001
        return parameters

    @property
    def json(self) -> str:
        """The compact JSON text (RFC 8259) that a store keeps."""
        return self._json

    def to_dict(self) -> dict[str, JsonValue]:
        """A copy; changing the copy does not change these parameters."""
        return cast(dict[str, JsonValue], json.loads(self._json))

    def __eq__(self, other: object) -> bool:
        return self._json == other._json if isinstance(other, Parameters) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._json)

    def __repr__(self) -> str:
        return f"Parameters({self.to_dict()!r})"


def _json_text(value: dict[Any, Any]) -> str | None:
    """The compact JSON text of a value; None if a part of the value is not JSON, which `_check` refuses."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return None


def _check(value: object, depth: int) -> None:
    match value:
        case dict() | list() if depth > PARAMETERS_MAX_DEPTH:
            _refuse("too_deep", f"should be nested at most {PARAMETERS_MAX_DEPTH} levels deep")
        case dict():
            for key, item in value.items():
                if type(key) is not str:
                    _refuse("key_type", "should have text keys only")
                check_unicode(_FIELD, key)
                _check_part(key, item, depth + 1)
        case list():
            for index, item in enumerate(value):
                _check_part(index, item, depth + 1)
        case str():
            check_unicode(_FIELD, value)
        case int() if not INTEGER_MIN <= value <= INTEGER_MAX:
            _refuse("integer_range", "should hold integers within 64 bits only")
        case float() if not math.isfinite(value):
            _refuse("finite_number", "should hold finite numbers only")
    if type(value) not in _JSON_TYPES:
        _refuse("json_type", "should hold JSON values only")


def _check_part(part: str | int, value: object, depth: int) -> None:
    """Check the value under a key or index of an object or array."""
    try:
        _check(value, depth)
    except InvalidInput as error:
        error.path = (part, *error.path)
        raise


def _refuse_too_large() -> NoReturn:
    _refuse("too_large", f"should have at most {PARAMETERS_MAX_BYTES} bytes as JSON")


def _refuse(rule: str, message: str) -> NoReturn:
    raise InvalidInput(field=_FIELD, rule=rule, message=message)
