"""Fields that come after a body."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_take_header = HttpToolsProtocol.on_header


def ignore_trailers() -> None:
    """Have uvicorn ignore the trailer fields of requests, in this whole process, where it parses with httptools.

    It would take them for headers of the request (RFC 9110, 6.5.1, forbids that): a client behind a proxy could say
    there what the proxy has removed or set in the headers, `X-Forwarded-For` above all. An application cannot see the
    difference, so that this is the one place to make it.
    """
    HttpToolsProtocol.on_header = _ignore_trailer  # type: ignore[method-assign]


def _ignore_trailer(self: HttpToolsProtocol, name: bytes, value: bytes) -> None:
    if not is_in_body(self):
        _take_header(self, name, value)


def is_in_body(protocol: HttpToolsProtocol) -> bool:
    """Whether the headers of the request that is being read are complete."""
    return protocol.cycle is not None and protocol.cycle.scope is protocol.scope
