"""Query parameters of routes that take none."""

from typing import Final
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError

NOT_PERMITTED: Final = "extra inputs are not permitted"

_PARAMETERS_MAX: Final = 100


def refuse_query(request: Request) -> None:
    """Refuse every query parameter, as routes that take some refuse those that they do not know.

    Raises:
        RequestValidationError: there is one.
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
"""What a route without a token depends on to refuse every query parameter; `BearerToken` does so for the others."""
