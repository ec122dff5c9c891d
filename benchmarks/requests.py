"""A request to a service, with the token that the service gives to the owner who sends the request."""

from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import urlencode

import httpx

from benchmarks.databases import PASSWORD, email

FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request and the expected status. `#` in the body is replaced by a number that no other request has."""

    method: str
    path: str
    status: int
    owner_id: int | None = None
    """The owner whose token is sent; None for a request without a token."""
    content_type: str = ""
    source: str = ""
    """The client address that a proxy reports in `X-Forwarded-For`."""
    body: str = ""


def ask(client: httpx.Client, request: Request, number: int = 0) -> httpx.Response:
    """Send one request with this number in its body, and close the connection. Fail if the status is not expected."""
    headers = {
        "Authorization": authorization_of(client, request),
        "Content-Type": request.content_type,
        "X-Forwarded-For": request.source,
        "Connection": "close",
    }
    response = client.request(
        request.method,
        request.path,
        content=request.body.replace("#", str(number)),
        headers={name: text for name, text in headers.items() if text},
    )
    assert response.status_code == request.status, f"{request.method} {request.path}: {response}: {response.text}"
    return response


def authorization_of(client: httpx.Client, request: Request) -> str:
    """The credentials that a request sends to the service of this client; empty for a request without a token."""
    return "" if request.owner_id is None else f"Bearer {_token(client, request.owner_id)}"


def log_in(owner_id: int) -> Request:
    """Exchange an owner's e-mail and password for a token. Through a proxy, each owner has a separate address."""
    form = urlencode({"username": email(owner_id), "password": PASSWORD})
    source = f"10.{owner_id >> 16}.{owner_id >> 8 & 255}.{owner_id & 255}"
    return Request(method="POST", path="/api/v1/auth/login", status=200, content_type=FORM, source=source, body=form)


@cache
def _token(client: httpx.Client, owner_id: int) -> str:
    token: str = ask(client, log_in(owner_id)).json()["access_token"]
    return token
