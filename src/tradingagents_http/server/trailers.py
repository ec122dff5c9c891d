"""Trailer fields: headers after the body."""

from collections.abc import Iterator
from contextlib import contextmanager

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


@contextmanager
def ignored_trailers() -> Iterator[None]:
    """Make uvicorn on httptools ignore the trailer fields of requests, in the whole process, until the block ends.

    uvicorn treats trailer fields as headers, which RFC 9110, 6.5.1, forbids: a client behind a proxy could send headers
    that the proxy removes or sets, above all `X-Forwarded-For`. The application cannot tell trailer fields from
    headers, so they must be removed here.

    Only a process that serves nothing but the service may do so.
    """
    add_header = HttpToolsProtocol.on_header

    def ignore_trailer(self: HttpToolsProtocol, name: bytes, value: bytes) -> None:
        if not is_in_body(self):
            add_header(self, name, value)

    HttpToolsProtocol.on_header = ignore_trailer  # type: ignore[method-assign]
    try:
        yield
    finally:
        HttpToolsProtocol.on_header = add_header  # type: ignore[method-assign]


def is_in_body(protocol: HttpToolsProtocol) -> bool:
    """Whether the headers of the request that is being read are complete."""
    return protocol.cycle is not None and protocol.cycle.scope is protocol.scope
