"""Where a request comes from, also behind proxies."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

from fastapi import Request

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_THIS_MACHINE: Final = ip_address("127.0.0.1")
_BRACKETS_AND_PORT: Final = re.compile(r"\[([^\]]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")


def client_address(request: Request, trusted_proxies: Sequence[Network]) -> str:
    """The address that a request comes from, or the network that is one client's.

    `X-Forwarded-For` is read from its end, where the nearest proxy has written, and only as far as trusted proxies have
    written it. What a client says of itself, or a proxy that is not trusted, counts for nothing.
    """
    forwarded = [_address(text) for text in ",".join(request.headers.getlist("x-forwarded-for")).split(",")]
    address = _peer(request, forwarded)
    while forwarded and any(address in network for network in trusted_proxies):
        address = forwarded.pop() or address
    return str(_household(address))


def _peer(request: Request, forwarded: Sequence[Address | None]) -> Address:
    """The other end of the connection.

    uvicorn believes a proxy on the same machine unasked, and replaces the other end with the last address in its
    `X-Forwarded-For` that is another machine's.
    """
    peer = _address(request.client.host) if request.client else None
    others = [address for address in forwarded if address != _THIS_MACHINE]
    return _THIS_MACHINE if peer is None or (others and others[-1] == peer) else peer


def _address(text: str) -> Address | None:
    text = text.strip()
    if decorated := _BRACKETS_AND_PORT.fullmatch(text):
        text = decorated[1] or decorated[2]
    try:
        return ip_address(text)
    except ValueError:
        return None


def _household(address: Address) -> Address | Network:
    """What one client has to itself: an IPv4 address, but a whole /64 of IPv6 (RFC 6177)."""
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Network((address, 64), strict=False)
    return address
