"""Whose address a request comes from: only a proxy that is named is believed, and only what it has seen itself."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.client_address import client_address, networks, source_of

PROXIES = networks("10.0.0.0/8, 2001:db8:aaaa::/48")
CLIENT = "198.51.100.7"


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        # nobody is trusted: whatever the header says, the peer is the client
        (CLIENT, [], CLIENT),
        (CLIENT, ["203.0.113.9"], CLIENT),
        (CLIENT, ["10.0.0.1", "203.0.113.9"], CLIENT),
        # behind the proxy, a client gets in with the address that the proxy saw
        ("10.0.0.1", [CLIENT], CLIENT),
        ("2001:db8:aaaa::1", ["2001:db8:bbbb::7"], "2001:db8:bbbb::7"),
        # a proxy that forwards nothing is the client itself
        ("10.0.0.1", [], "10.0.0.1"),
        # what the client wrote itself stands left, and counts for nothing
        ("10.0.0.1", [f"203.0.113.9, {CLIENT}"], CLIENT),
        ("10.0.0.1", [f"10.0.0.2, {CLIENT}"], CLIENT),
        ("10.0.0.1", [f"127.0.0.1, 10.9.9.9, {CLIENT}"], CLIENT),
        # a second line: all lines count, in their order
        ("10.0.0.1", ["203.0.113.9", CLIENT], CLIENT),
        ("10.0.0.1", [CLIENT, "10.0.0.2"], CLIENT),
        # a chain of proxies, all trusted
        ("10.0.0.1", [f"{CLIENT}, 10.0.0.3, 10.0.0.2"], CLIENT),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        # an IPv4 address in IPv6's clothes is that IPv4 address, as a peer and as a hop
        ("::ffff:10.0.0.1", [CLIENT], CLIENT),
        (f"::ffff:{CLIENT}", ["10.0.0.2"], CLIENT),
        ("10.0.0.1", [f"::ffff:{CLIENT}"], CLIENT),
        ("10.0.0.1", [f"{CLIENT}, ::ffff:10.0.0.2"], CLIENT),
        ("::ffff:a00:1", [f"::FFFF:{CLIENT}"], CLIENT),
        # garbage: the proxy is trusted no further
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", [f"{CLIENT},"], "10.0.0.1"),
        ("10.0.0.1", [f"{CLIENT}:4711"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.07"], "10.0.0.1"),
        ("10.0.0.1", [f"{CLIENT}/32"], "10.0.0.1"),
        ("10.0.0.1", [f"garbage, {CLIENT}"], CLIENT),
        ("10.0.0.1", ["garbage, 10.0.0.2"], "10.0.0.1"),
        # an address of the other family is in no network of the first
        ("::10.0.0.1", [CLIENT], "::10.0.0.1"),
        ("fe80::1%eth0", [CLIENT], "fe80::1"),
    ],
)  # fmt: skip
def test_the_client_is_whom_the_last_trusted_hop_saw(peer: str, forwarded_for: list[str], expected: str) -> None:
    """The header is read from the right, past trusted hops only."""
    assert ip_address(expected) == client_address(peer, forwarded_for, PROXIES)


def test_without_proxies_the_header_is_not_looked_at() -> None:
    """Nobody is trusted by default."""
    assert ip_address("10.0.0.1") == client_address("10.0.0.1", [CLIENT], ())


_hop = st.one_of(st.ip_addresses().map(str), st.text(max_size=12), st.just("10.0.0.2"))


@given(forged=st.lists(st.lists(_hop, max_size=4).map(", ".join), max_size=4), client=st.ip_addresses(v=4))
def test_nothing_that_a_client_writes_changes_where_it_is_seen(forged: list[str], client: object) -> None:
    """Whatever the client sends, the proxy appends the address that it sees, and that one counts."""
    address = ip_address(str(client))
    if address in ip_network("10.0.0.0/8"):
        return
    appended = [*forged, str(address)]
    joined = [*forged[:-1], f"{forged[-1]}, {address}"] if forged else [str(address)]
    assert address == client_address("10.0.0.1", appended, PROXIES)
    assert address == client_address("10.0.0.1", joined, PROXIES)


def test_a_longer_chain_than_anybody_has_is_cut() -> None:
    """The reading ends after 32 hops: a header full of hops costs nothing."""
    assert ip_address("10.0.0.2") == client_address("10.0.0.1", [f"{CLIENT}, " + ", ".join(["10.0.0.2"] * 40)], PROXIES)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "proxy.example", "10.0.0.0/8;10.1.0.0/16"])
def test_a_network_that_is_none_is_refused(text: str) -> None:
    """A slip of the pen in the list of proxies ends the start, and trusts nobody by accident."""
    with pytest.raises(ValueError):
        networks(text)


def test_an_ipv6_customer_is_one_source() -> None:
    """Whoever has a /64 has all its addresses, so it counts as one; an IPv4 address counts by itself."""
    assert source_of(ip_address("2001:db8::1")) == source_of(ip_address("2001:db8::ffff:2"))
    assert source_of(ip_address("2001:db8::1")) != source_of(ip_address("2001:db8:0:1::1"))
    assert "198.51.100.7" == source_of(ip_address(CLIENT))
