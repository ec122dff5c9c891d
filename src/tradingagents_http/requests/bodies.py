"""How a body is read: which media type a route takes, in which encoding, and when it is parsed.

FastAPI parses a JSON body before it resolves dependencies. Here the body stays unparsed until the caller is known, so a
stranger's body costs no more than its bytes, and is answered with 401 whatever it holds.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from pydantic_core import PydanticCustomError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData

from tradingagents_core.domain.parameters import PARAMETERS_MAX_BYTES
from tradingagents_core.domain.strategies import DESCRIPTION_MAX_LENGTH, NAME_MAX_LENGTH

JSON: Final = b"application/json"
FORM: Final = b"application/x-www-form-urlencoded"

FORM_FIELDS_MAX: Final = 16

CONTENT_TYPE_MAX_LENGTH: Final = 256
"""More characters than a media type that is taken here has; the time to look at one grows with the square of them."""

JSON_FIELDS_MAX: Final = 32
"""Fields that an object in a body may have: more than any has that is taken here."""

_CONTENT_MAX_BYTES: Final = PARAMETERS_MAX_BYTES + DESCRIPTION_MAX_LENGTH + NAME_MAX_LENGTH
"""Characters that all fields of a strategy have at most, parameters as compact JSON."""

JSON_SEPARATORS_MAX: Final = _CONTENT_MAX_BYTES + 8 * JSON_FIELDS_MAX
"""Braces, brackets, commas and colons that a body may have, wherever they stand. Time and memory to parse a body grow
with the number of its values, and each but the first needs one of these."""

JSON_MAX_BYTES: Final = 6 * PARAMETERS_MAX_BYTES + 12 * (DESCRIPTION_MAX_LENGTH + NAME_MAX_LENGTH) + 8 * 1024
"""Bytes that a body may have: all fields with every character escaped, which makes 6 bytes of a byte in parameters and
12 of a character (RFC 8259, 7), and room for names and white space."""

LOGIN_BODY_MAX_BYTES: Final = 8 * 1024

_SEPARATORS: Final = (b"{", b"[", b",", b":")


class _JsonText(bytes):
    """A body that says it is JSON."""


class StrictRequest(Request):
    """A request whose body is taken at its word: the media type has to be said, and the text has to be UTF-8."""

    async def json(self) -> bytes:
        """The body as it came, marked as JSON where it says so; `parsed_json` parses it."""
        body = await self.body()
        return _JsonText(body) if self._says(JSON) else body

    async def form(self, **_: Any) -> FormData:  # type: ignore[override]
        """The fields of an urlencoded form (WHATWG URL, 5.1), each at most once.

        Raises:
            HTTPException: 415 for another media type; 400 for a body that is not UTF-8, repeats a field or has too
                many.
        """
        body = await self.body()
        if body and not self._says(FORM):
            _refuse_media_type(FORM)
        try:
            fields = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS_MAX)
        except ValueError:
            raise HTTPException(400, f"The form should be UTF-8 text with at most {FORM_FIELDS_MAX} fields") from None
        form = dict(fields)
        if len(form) < len(fields):
            raise HTTPException(400, "The form should hold each field once")
        return FormData(form)

    def _says(self, media_type: bytes) -> bool:
        said = self.headers.getlist("content-type")
        if len(said) != 1 or self.headers.get("content-encoding", "identity") != "identity":
            return False
        if len(said[0]) > CONTENT_TYPE_MAX_LENGTH:
            return False
        name, options = parse_options_header(said[0])
        # JSON knows no charset (RFC 8259, 11).
        return name == media_type and (name == JSON or options.get(b"charset", b"utf-8").lower() == b"utf-8")


class StrictRoute(APIRoute):
    """A route that reads its requests as `StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def handle_strictly(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return handle_strictly


def parsed_json(body: object) -> object:
    """The value of a JSON body (RFC 8259), for the schema of a route to validate.

    Refuses what JSON does not know or other readers would take differently: NaN and infinities, a key that an object
    holds twice, integers and nesting that no program reads. So many values or fields are refused, too, that no route
    takes them, before each of them is looked at.

    Raises:
        HTTPException: 415 for a body that does not say it is JSON, 400 for one that is not UTF-8.
        PydanticCustomError: the text is not JSON, or holds too much.
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
    """The text breaks a rule that `json.loads` does not know."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise _NotJson("an object should hold each key once")
    return value


def _refuse_constant(_: str) -> NoReturn:
    raise _NotJson("NaN and infinities are not JSON")


def _refuse_media_type(wanted: bytes) -> NoReturn:
    raise HTTPException(415, f"The body should be plain {wanted.decode()} in UTF-8, and say so in Content-Type")
