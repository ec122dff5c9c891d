"""Plain values of the types that the domain declares, whatever a caller passes at run time.

A value of another type is refused. A value of a subclass, such as a member of a `StrEnum`, becomes the plain value, so
that every store gives back the same. A boolean is not an integer here.
"""

from datetime import UTC, datetime
from typing import TypeVar

from tradingagents_core.domain.parameters import INTEGER_MAX
from tradingagents_core.errors import InvalidInput

T = TypeVar("T")


def plain_str(field: str, value: object) -> str:
    """A text as a plain `str` with the same characters.

    Raises:
        InvalidInput: the value is not a `str`.
    """
    if type(value) is str:
        return value
    if not isinstance(value, str):
        raise InvalidInput(field=field, rule="string_type", message="should be text")
    return str.__str__(value)


def plain_int(field: str, value: object) -> int:
    """An integer as a plain `int`.

    Raises:
        InvalidInput: the value is not an `int`, or is a boolean.
    """
    if type(value) is int:
        return value
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidInput(field=field, rule="int_type", message="should be an integer")
    return int.__int__(value)


def plain_id(field: str, value: object) -> int:
    """The id of a stored object as a plain `int`.

    Raises:
        InvalidInput: the value is not an integer between 1 and `INTEGER_MAX`.
    """
    number = plain_int(field, value)
    if not 1 <= number <= INTEGER_MAX:
        raise InvalidInput(field=field, rule="range", message=f"should be 1 to {INTEGER_MAX}")
    return number


def plain_bool(field: str, value: object) -> bool:
    """A boolean.

    Raises:
        InvalidInput: the value is not `True` or `False`.
    """
    if type(value) is not bool:
        raise InvalidInput(field=field, rule="bool_type", message="should be true or false")
    return value


def utc_time(field: str, value: object) -> datetime:
    """A time as a plain `datetime` in UTC.

    Raises:
        InvalidInput: the value is not a `datetime`, has no time zone, or is before the year 1 or after the year 9999 in
            UTC.
    """
    if type(value) is datetime and value.tzinfo is UTC:
        return value
    if not isinstance(value, datetime):
        raise InvalidInput(field=field, rule="datetime_type", message="should be a datetime")
    # Python takes a time without a time zone as local time, which differs from machine to machine.
    if value.utcoffset() is None:
        raise InvalidInput(field=field, rule="timezone_aware", message="should have a time zone")
    try:
        time = value.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(field=field, rule="time_range", message="should be in the years 1 to 9999 in UTC") from None
    if type(time) is datetime:
        return time
    return datetime(time.year, time.month, time.day, time.hour, time.minute, time.second, time.microsecond, tzinfo=UTC)


def instance_of(expected: type[T], field: str, value: object) -> T:
    """The value, if the value is an instance of `expected` or of a subclass.

    Raises:
        InvalidInput: the value is not an instance of `expected`.
    """
    if not isinstance(value, expected):
        raise InvalidInput(field=field, rule="instance_type", message=f"should be a {expected.__name__}")
    return value
