"""Checks for texts: every store can keep the characters, and every response can carry them."""

import re
from typing import Final

from tradingagents_core.errors import InvalidInput

_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def check_length(field: str, text: str, *, minimum: int = 0, maximum: int | None = None) -> None:
    """Refuse a text with fewer than `minimum` or more than `maximum` characters (code points).

    Raises:
        InvalidInput: the text is too short or too long.
    """
    if len(text) < minimum:
        characters = "character" if minimum == 1 else "characters"
        raise InvalidInput(field=field, rule="string_too_short", message=f"should have at least {minimum} {characters}")
    if maximum is not None and len(text) > maximum:
        raise InvalidInput(field=field, rule="string_too_long", message=f"should have at most {maximum} characters")


def check_unicode(field: str, text: str) -> None:
    """Refuse lone surrogates, which are not characters and have no UTF-8 form (RFC 3629, 3).

    Raises:
        InvalidInput: the text contains a lone surrogate.
    """
    if not text.isascii() and _SURROGATE.search(text):
        raise InvalidInput(field=field, rule="string_unicode", message="should not contain lone surrogates")


def check_no_nul(field: str, text: str) -> None:
    """Refuse NUL, which PostgreSQL cannot store.

    Raises:
        InvalidInput: the text contains NUL.
    """
    if "\x00" in text:
        raise InvalidInput(field=field, rule="nul_character", message="should not contain NUL")


def check_no_control_characters(field: str, text: str) -> None:
    """Refuse control characters (Unicode category Cc), including line breaks and NUL.

    Raises:
        InvalidInput: the text contains a control character.
    """
    if not text.isprintable() and _CONTROL.search(text):
        raise InvalidInput(field=field, rule="control_character", message="should not contain control characters")
