"""The address of the client, also behind proxies."""

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
"""How many entries of `X-Forwarded-For` are read, from the end. Real chains of proxies are shorter."""

_ENTRY_MAX_LENGTH: Final = 64
"""The most characters of an entry. An address with brackets, zone and port is shorter."""

_log: Final = logging.getLogger(__name__)

_LOOPBACK: Final = ip_address("127.0.0.1")
_LOOPBACK_IPV6: Final = ip_address("::1")
_BRACKETS_AND_PORT: Final = re.compile(r"\[([^\]]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")


class ClientAddresses:
    """Finds the address of the client. Logs once that `TRUSTED_PROXIES` may lack a proxy."""

    def __init__(self, trusted_proxies: Sequence[Network]) -> None:
        self._trusted_proxies = trusted_proxies
        self._has_warned = False

    async def __call__(self, request: Request) -> str:
        """The IPv4 address or the IPv6 network of the client.

        `X-Forwarded-For` is read from its end, where the nearest proxy has added its entry. Only entries that a trusted
        proxy has added count, and at most `HOPS_MAX` of them. Every loopback address counts as 127.0.0.1.
        """
        forwarded = [_address(text) for text in islice(_entries_from_the_end(request), HOPS_MAX)]
        address = peer = _peer(request, forwarded)
        for entry in forwarded:
            if not self._is_trusted(address):
                break
            address = entry or address
        if forwarded and not self._has_warned and not self._is_trusted(peer):
            self._warn_about(peer)
        return str(_network_of_client(address))

    def _is_trusted(self, address: Address) -> bool:
        return any(
            address in network or (address == _LOOPBACK and _LOOPBACK_IPV6 in network)
            for network in self._trusted_proxies
        )

    def _warn_about(self, peer: Address) -> None:
        self._has_warned = True
        _log.warning(
            "X-Forwarded-For came from %s, which TRUSTED_PROXIES does not name, and is ignored. If this address is a"
            " proxy, set TRUSTED_PROXIES=%s: until then all clients behind the proxy share one limit of failed logins.",
            peer,
            peer,
        )


def _peer(request: Request, forwarded: Sequence[Address | None]) -> Address:
    """The address at the other end of the connection; `forwarded` begins with the last entry.

    By default uvicorn trusts proxies on the same machine: it replaces the address of such a proxy by the last entry of
    `X-Forwarded-For` that is not this machine's. So the peer was such a proxy if uvicorn reports that entry or a text
    that is not an address. If all `HOPS_MAX` entries are this machine's, uvicorn may report an entry before them.
    """
    peer = _address(request.client.host) if request.client else None
    last_remote = next((address for address in forwarded if address not in (None, _LOOPBACK)), None)
    may_be_replaced = len(forwarded) == HOPS_MAX and last_remote is None
    return _LOOPBACK if peer is None or peer == last_remote or may_be_replaced else peer


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
    return _LOOPBACK if address.is_loopback else address


def _network_of_client(address: Address) -> Address | Network:
    """The addresses that one client controls: one IPv4 address, but a /64 network of IPv6 (RFC 6177)."""
    return IPv6Network((address, 64), strict=False) if isinstance(address, IPv6Address) else address
