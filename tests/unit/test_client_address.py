import asyncio
from collections.abc import Sequence
from ipaddress import ip_network

import pytest
from fastapi import Request

from tradingagents_http.requests import client_address as client_address_module
from tradingagents_http.requests.client_address import HOPS_MAX, ClientAddresses, Network

PROXIES = [ip_network("10.0.0.0/8"), ip_network("2001:db8:ffff::/48")]


def request(peer: str | None, *forwarded: str) -> Request:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return Request({"type": "http", "client": peer and (peer, 40_000), "headers": headers})


def client_address(request: Request, trusted_proxies: Sequence[Network]) -> str:
    return asyncio.run(ClientAddresses(trusted_proxies)(request))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        pytest.param("203.0.113.7", [], "203.0.113.7", id="no proxy"),
        pytest.param("203.0.113.7", ["198.51.100.1"], "203.0.113.7", id="a stranger says so"),
        pytest.param("10.1.1.1", ["198.51.100.1"], "198.51.100.1", id="a trusted proxy says so"),
        pytest.param("10.1.1.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1", id="what the client said itself"),
        pytest.param("10.1.1.1", ["6.6.6.6", "198.51.100.1"], "198.51.100.1", id="in two headers"),
        pytest.param("10.1.1.1", ["198.51.100.1, 10.2.2.2"], "198.51.100.1", id="two trusted proxies"),
        pytest.param("10.1.1.1", ["198.51.100.1:4711"], "198.51.100.1", id="with a port"),
        pytest.param("10.1.1.1", ["[2001:db8::1]:4711"], "2001:db8::/64", id="IPv6 with a port"),
        pytest.param("10.1.1.1", ["198.51.100.1, unknown"], "198.51.100.1", id="what is no address is passed over"),
        pytest.param("10.1.1.1", [], "10.1.1.1", id="a trusted proxy says nothing"),
        pytest.param("10.1.1.1", ["\x00"], "10.1.1.1", id="a trusted proxy says nothing of use"),
        pytest.param("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64", id="a household of IPv6"),
        pytest.param("2001:db8:ffff::1", ["198.51.100.1"], "198.51.100.1", id="a trusted proxy with IPv6"),
        pytest.param("::ffff:203.0.113.7", [], "203.0.113.7", id="IPv4 in IPv6"),
        pytest.param("198.51.100.1", ["198.51.100.1"], "127.0.0.1", id="uvicorn believed a proxy on this machine"),
        pytest.param(None, [], "127.0.0.1", id="a Unix socket"),
        pytest.param("::ffff:10.1.1.1", ["198.51.100.1"], "198.51.100.1", id="a trusted proxy with IPv4 in IPv6"),
        pytest.param("10.1.1.1", ["198.51.100.1, ::ffff:10.2.2.2"], "198.51.100.1", id="the same, further away"),
    ],
)
def test_the_address_is_what_trusted_proxies_say(peer: str | None, forwarded: list[str], address: str) -> None:
    assert client_address(request(peer, *forwarded), PROXIES) == address


@pytest.mark.parametrize(
    "this_machine",
    [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "::ffff:127.0.0.1",
        "[::1]:80",
        "127.0.0.1:80",
        "127.0.0.1:999999",
        "127.0.0.1:1_0",
        "[127.0.0.1]:x",
        "0:0:0:0:0:0:0:1",
    ],
)
@pytest.mark.parametrize("times", [1, 2, HOPS_MAX, 1000])
def test_what_uvicorn_believes_of_a_client_on_this_machine_is_not_believed(this_machine: str, times: int) -> None:
    """uvicorn passes over addresses of this machine, and takes the one before them for the other end."""
    forwarded = ", ".join(["203.0.113.7", *[this_machine] * times])
    for trusted in ([], PROXIES):
        assert client_address(request("203.0.113.7", forwarded), trusted) == "127.0.0.1"


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("trusted", ["127.0.0.1", "::1", "127.0.0.0/8"])
def test_a_proxy_on_this_machine_is_trusted_in_whichever_form_it_connects(peer: str, trusted: str) -> None:
    assert client_address(request(peer, "198.51.100.1"), [ip_network(trusted)]) == "198.51.100.1"


def test_only_the_last_entries_of_a_long_row_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    parse = client_address_module.ip_address
    monkeypatch.setattr(client_address_module, "ip_address", lambda text: parsed.append(text) or parse(text))
    rows = ["6.6.6.6, " * 100_000 + "10.2.2.2", "198.51.100.1", "10.3.3.3"]

    assert client_address(request("10.1.1.1", *rows), PROXIES) == "198.51.100.1"
    assert len(parsed) == HOPS_MAX + 1


def test_an_entry_that_is_no_address_costs_nothing_however_long_it_is() -> None:
    assert client_address(request("10.1.1.1", "198.51.100.1, " + "1" * 1_000_000), PROXIES) == "198.51.100.1"


@pytest.mark.parametrize("forwarded", ["9.9.9.9", "198.51.100.1, 9.9.9.9", "9.9.9.9, 198.51.100.1", "127.0.0.1"])
def test_a_stranger_gains_no_other_address_where_this_machine_is_trusted(forwarded: str) -> None:
    trusting = [*PROXIES, ip_network("127.0.0.1")]
    assert client_address(request("198.51.100.1", forwarded), trusting) == "198.51.100.1"


@pytest.mark.parametrize("peer", ["203.0.113.7", "127.0.0.1", None])
def test_a_proxy_that_is_not_trusted_is_named_once_in_the_log(
    peer: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    addresses = ClientAddresses(PROXIES)
    for _ in range(3):
        asyncio.run(addresses(request(peer, "198.51.100.1")))
    assert len(caplog.records) == 1
    assert f"X-Forwarded-For came from {peer or '127.0.0.1'}" in caplog.text
    assert f"TRUSTED_PROXIES={peer or '127.0.0.1'}" in caplog.text


def test_trusted_proxies_and_clients_without_proxies_are_not_named(caplog: pytest.LogCaptureFixture) -> None:
    addresses = ClientAddresses(PROXIES)
    for each in (request("10.1.1.1", "198.51.100.1"), request("203.0.113.7"), request(None)):
        asyncio.run(addresses(each))
    assert not caplog.records
