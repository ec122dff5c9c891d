"""Refusing query parameters on routes that have none."""

from typing import Final
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError

NOT_PERMITTED: Final = "extra inputs are not permitted"

_PARAMETERS_MAX: Final = 100


def refuse_query(request: Request) -> None:
    """Refuse every query parameter, as routes with query parameters refuse unknown ones.

    Raises:
        RequestValidationError: the request has a query parameter.
    """
    query = request.scope["query_string"]
    if not query:
        return
    try:
        fields = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_PARAMETERS_MAX)
    except ValueError:
        fields = []
    names = [name for name, _ in fields] or [""]
    raise RequestValidationError(
        [{"type": "extra_forbidden", "loc": ("query", name), "msg": NOT_PERMITTED} for name in dict.fromkeys(names)]
    )


async def _refuse_query(request: Request) -> None:
    refuse_query(request)


NO_QUERY: Final = Depends(_refuse_query)
"""`refuse_query` as a dependency, for routes that do not call it themselves or through `BearerToken`."""
