"""Reading bodies: media type, encoding and parsing.

FastAPI parses a JSON body before it resolves dependencies. Here the body stays unparsed until the caller is known. So
a body without a valid token costs no parsing, and the response is 401 whatever the body holds.
"""

import json
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

from fastapi import HTTPException, Request
from pydantic_core import PydanticCustomError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.types import Message, Receive, Scope

from tradingagents_core.domain.accounts import PASSWORD_MAX_BYTES
from tradingagents_core.domain.parameters import PARAMETERS_MAX_BYTES
from tradingagents_core.domain.strategies import DESCRIPTION_MAX_LENGTH, NAME_MAX_LENGTH

JSON: Final = b"application/json"
FORM: Final = b"application/x-www-form-urlencoded"

FORM_FIELDS_MAX: Final = 16

CONTENT_TYPE_MAX_LENGTH: Final = 256
"""The most characters of `Content-Type`. Accepted values are shorter; the time to parse grows with the square."""

JSON_FIELDS_MAX: Final = 32
"""The most fields of a JSON body. Every accepted body has fewer."""

_CONTENT_MAX_BYTES: Final = PARAMETERS_MAX_BYTES + DESCRIPTION_MAX_LENGTH + NAME_MAX_LENGTH
"""The most characters of all fields of a strategy together, with parameters as compact JSON."""

JSON_SEPARATORS_MAX: Final = _CONTENT_MAX_BYTES + 8 * JSON_FIELDS_MAX
"""The most opening braces and brackets, commas and colons in a body, also inside strings. Every value but the first
needs one of these characters, and the number of values determines the time and memory to parse a body."""

JSON_MAX_BYTES: Final = 6 * PARAMETERS_MAX_BYTES + 12 * (DESCRIPTION_MAX_LENGTH + NAME_MAX_LENGTH) + 8 * 1024
"""The most bytes of a body: all fields with every character escaped, and space for field names and white space. When
escaped, a byte of the parameters takes 6 bytes, a character of another field takes 12 (RFC 8259, 7)."""

LOGIN_BODY_MAX_BYTES: Final = 8 * 1024

ACCOUNT_BODY_MAX_BYTES: Final = 12 * PASSWORD_MAX_BYTES + 4 * 1024
"""The most bytes of a body about accounts or API keys: two passwords with every byte escaped, and space for the rest.
When escaped, a byte of a password takes at most 6 bytes (RFC 8259, 7)."""

_SEPARATORS: Final = (b"{", b"[", b",", b":")


class _JsonText(bytes):
    """A body whose `Content-Type` is JSON."""


class StrictRequest(Request):
    """A request whose body must be UTF-8 and have the right `Content-Type`."""

    async def json(self) -> bytes:
        """The unparsed body, marked if its `Content-Type` is JSON; `parsed_json` parses it."""
        body = await self.body()
        return _JsonText(body) if self._has_media_type(JSON) else body

    async def form(self, **_: Any) -> FormData:  # type: ignore[override]
        """The fields of an urlencoded form (WHATWG URL, 5.1), each at most once.

        Raises:
            HTTPException: 415 for another media type; 400 for a body that is not UTF-8, repeats a field or has too
                many fields.
        """
        body = await self.body()
        if body and not self._has_media_type(FORM):
            _refuse_media_type(FORM)
        try:
            fields = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS_MAX)
        except ValueError:
            raise HTTPException(400, f"The form should be UTF-8 text with at most {FORM_FIELDS_MAX} fields") from None
        form = dict(fields)
        if len(form) < len(fields):
            raise HTTPException(400, "The form should hold each field once")
        return FormData(form)

    def _has_media_type(self, media_type: bytes) -> bool:
        content_types = self.headers.getlist("content-type")
        if len(content_types) != 1 or self.headers.get("content-encoding", "identity") != "identity":
            return False
        if len(content_types[0]) > CONTENT_TYPE_MAX_LENGTH:
            return False
        name, options = parse_options_header(content_types[0])
        # The media type of JSON has no charset (RFC 8259, 11).
        return name == media_type and (name == JSON or options.get(b"charset", b"utf-8").lower() == b"utf-8")


def announced_bytes(scope: Scope) -> int:
    """The length of the body by the request's `Content-Length`; 0 if the request has none."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value[:20]) if value.isdigit() else 0
    return 0


def limited(receive: Receive, most: int) -> Receive:
    """A `receive` for a body of at most this many bytes.

    It raises:
        HTTPException: 413, the body is longer.
    """
    read = 0

    async def receive_up_to_limit() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise HTTPException(413, too_large(most))
        return message

    return receive_up_to_limit


def too_large(most: int) -> str:
    """Why a body of more than this many bytes is refused."""
    return f"The body should have at most {most} bytes"


def parsed_json(body: object) -> object:
    """The value of a JSON body (RFC 8259), for the schema of a route to validate.

    Refuses NaN and infinities, which JSON does not have; repeated keys of an object, which parsers treat differently;
    and integers and nesting that are too long or too deep to parse. More values or fields than any route accepts are
    refused, too, before they are validated one by one.

    Raises:
        HTTPException: 415 for another media type, 400 for a body that is not UTF-8.
        PydanticCustomError: the text is not JSON, or holds too many values or fields.
    """
    if not isinstance(body, bytes):
        return body
    if not isinstance(body, _JsonText):
        _refuse_media_type(JSON)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise HTTPException(400, "The body should be UTF-8 text") from None
    if sum(map(body.count, _SEPARATORS)) > JSON_SEPARATORS_MAX:
        raise PydanticCustomError("too_large", "The body should not hold more values than its fields may")
    try:
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        fault = f"{error.msg} (line {error.lineno}, column {error.colno})"
    except _NotJson as error:
        fault = str(error)
    except (ValueError, RecursionError):
        fault = "a number is too long, or objects and arrays are nested too deep"
    else:
        if not isinstance(value, dict):
            raise PydanticCustomError("dict_type", "The body should be a JSON object")
        if len(value) > JSON_FIELDS_MAX:
            raise PydanticCustomError("too_many_fields", f"The body should have at most {JSON_FIELDS_MAX} fields")
        return value
    raise PydanticCustomError("json_invalid", "Invalid JSON: {fault}", {"fault": fault})


class _NotJson(ValueError):
    """The text breaks a rule that `json.loads` does not check."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise _NotJson("an object should hold each key once")
    return value


def _refuse_constant(_: str) -> NoReturn:
    raise _NotJson("NaN and infinities are not JSON")


def _refuse_media_type(wanted: bytes) -> NoReturn:
    raise HTTPException(415, f"The body should be plain {wanted.decode()} in UTF-8, and say so in Content-Type")
