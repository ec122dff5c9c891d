"""Where a request comes from, also behind proxies."""

import logging
import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from itertools import islice
from typing import Final, TypeAlias

from fastapi import Request

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

HOPS_MAX: Final = 16
"""How many entries of `X-Forwarded-For` are read, from the end: more proxies than stand in any row."""

_ENTRY_MAX_LENGTH: Final = 64
"""More characters than an address with brackets, zone and port has."""

_log: Final = logging.getLogger(__name__)

_THIS_MACHINE: Final = ip_address("127.0.0.1")
_ALSO_THIS_MACHINE: Final = ip_address("::1")
_BRACKETS_AND_PORT: Final = re.compile(r"\[([^\]]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")


class ClientAddresses:
    """Tells the addresses that requests come from, and once in the log that a proxy may have been forgotten."""

    def __init__(self, trusted_proxies: Sequence[Network]) -> None:
        self._trusted_proxies = trusted_proxies
        self._has_warned = False

    async def __call__(self, request: Request) -> str:
        """The address that a request comes from, or the network that is one client's.

        `X-Forwarded-For` is read from its end, where the nearest proxy has written, and only as far as trusted proxies
        have written it, at most `HOPS_MAX` entries. What a client says of itself, or a proxy that is not trusted,
        counts for nothing. Every address of this machine's loopback interface counts as 127.0.0.1.
        """
        forwarded = [_address(text) for text in islice(_entries_from_the_end(request), HOPS_MAX)]
        address = peer = _peer(request, forwarded)
        for said in forwarded:
            if not self._is_trusted(address):
                break
            address = said or address
        if forwarded and not self._has_warned and not self._is_trusted(peer):
            self._warn_of(peer)
        return str(_household(address))

    def _is_trusted(self, address: Address) -> bool:
        return any(
            address in network or (address == _THIS_MACHINE and _ALSO_THIS_MACHINE in network)
            for network in self._trusted_proxies
        )

    def _warn_of(self, peer: Address) -> None:
        self._has_warned = True
        _log.warning(
            "X-Forwarded-For came from %s, which TRUSTED_PROXIES does not name, and is ignored. If that is a proxy,"
            " name it (TRUSTED_PROXIES=%s): until then all clients behind it share one limit of failed logins.",
            peer,
            peer,
        )


def _peer(request: Request, forwarded: Sequence[Address | None]) -> Address:
    """The other end of the connection; `forwarded` begins with the last entry.

    uvicorn believes a proxy on the same machine unasked, and replaces the other end with the last address in its
    `X-Forwarded-For` that is another machine's; what it takes for this machine's may be no address here. Where none of
    the entries that are read is another machine's, there may be one before them.
    """
    peer = _address(request.client.host) if request.client else None
    others = next((address for address in forwarded if address not in (None, _THIS_MACHINE)), None)
    may_be_replaced = len(forwarded) == HOPS_MAX and others is None
    return _THIS_MACHINE if peer is None or peer == others or may_be_replaced else peer


def _entries_from_the_end(request: Request) -> Iterator[str]:
    for value in reversed(request.headers.getlist("x-forwarded-for")):
        rest, comma = value, ","
        while comma:
            rest, comma, entry = rest.rpartition(",")
            yield entry


def _address(text: str) -> Address | None:
    text = text.strip()
    if len(text) > _ENTRY_MAX_LENGTH:
        return None
    if decorated := _BRACKETS_AND_PORT.fullmatch(text):
        text = decorated[1] or decorated[2]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return _THIS_MACHINE if address.is_loopback else address


def _household(address: Address) -> Address | Network:
    """What one client has to itself: an IPv4 address, but a whole /64 of IPv6 (RFC 6177)."""
    return IPv6Network((address, 64), strict=False) if isinstance(address, IPv6Address) else address
