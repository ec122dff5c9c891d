"""Integers, booleans and times in requests. Each value has one accepted notation."""

import re
from datetime import datetime
from typing import Final

from pydantic_core import PydanticCustomError

_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_BOOLEANS: Final = {"true": True, "false": False}
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?")


def plain_integer(text: object) -> int:
    """The integer of a text in plain decimal digits; other notations are refused."""
    if not isinstance(text, str) or not _INTEGER.fullmatch(text):
        raise PydanticCustomError("int_parsing", "Input should be a valid integer")
    return int(text)


def plain_boolean(text: object) -> bool:
    """The boolean of the text `true` or `false`, in upper or lower case."""
    if not isinstance(text, str) or text.lower() not in _BOOLEANS:
        raise PydanticCustomError("bool_parsing", "Input should be true or false")
    return _BOOLEANS[text.lower()]


def plain_time(text: object) -> datetime:
    """The time of a text in the form of RFC 3339, 5.6. The time zone may be missing: the domain refuses such a time."""
    if isinstance(text, str) and _TIME.fullmatch(text.upper()):
        try:
            return datetime.fromisoformat(text.upper())
        except ValueError:
            # The text has the right form, but there is no such day or time.
            pass
    raise PydanticCustomError("datetime_parsing", "Input should be a time such as 2030-01-31T12:00:00Z")
