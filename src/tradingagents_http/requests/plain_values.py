"""Integers and booleans in path and query. Each value has one accepted notation."""

import re
from typing import Final

from pydantic_core import PydanticCustomError

_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_BOOLEANS: Final = {"true": True, "false": False}


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
