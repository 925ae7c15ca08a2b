"""From where an account's users are let in: pure decisions over addresses and ranges (mission I4). No I/O, no keys.

An address is what the gateway saw on its socket, or what a proxy that it trusts saw. IPv4-mapped IPv6 addresses are IPv4
addresses here, on both sides, so that no range can be gone round by the other spelling.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_address, ip_network

from shared.errors import InvalidArgument, Refused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")
"""A wider range, as ::/0, holds these too, but only as IPv6: it lets no IPv4 address in."""


def address_of(text: str) -> Address:
    """An address. Raises `InvalidArgument` for anything else: names, zones, leading zeros, blanks."""
    try:
        address = ip_address(text)
    except ValueError:
        raise InvalidArgument(field="source", rule="an IP address") from None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise InvalidArgument(field="source", rule="an IP address without a zone")
        return address.ipv4_mapped or address
    return address


def network_of(text: str, field: str = "ranges") -> Network:
    """A range in CIDR. Strictly: with its length, no bits beyond it, no mask in place of a length.

    Raises `InvalidArgument` that names the field and the rule."""
    address, slash, length = text.partition("/")
    if not slash or not (length.isascii() and length.isdigit()) or (length != "0" and length.startswith("0")) or "%" in address:
        raise InvalidArgument(field=field, rule="CIDR, as in 203.0.113.0/24 or 2001:db8::/32")
    try:
        network = ip_network(text, strict=True)
    except ValueError:
        raise InvalidArgument(field=field, rule="CIDR without bits beyond its length, as in 203.0.113.0/24") from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        assert mapped is not None
        return IPv4Network((mapped, network.prefixlen - _MAPPED.prefixlen))
    return network


def normalised(ranges: Sequence[str]) -> list[str]:
    """The ranges in their one spelling, without those that others hold, IPv4 first. Raises `InvalidArgument`."""
    networks = [network_of(text, f"ranges[{place}]") for place, text in enumerate(ranges)]
    four = [one for one in networks if isinstance(one, IPv4Network)]
    six = [one for one in networks if isinstance(one, IPv6Network)]
    return [str(one) for one in (*collapse_addresses(four), *collapse_addresses(six))]


def is_inside(source: Address, ranges: Iterable[str]) -> bool:
    """Whether an address is in one of the ranges (as `normalised` gave them)."""
    return any(source.version == network.version and source in network for network in map(ip_network, ranges))


def choose(ranges: Sequence[str], source: str) -> list[str]:
    """The ranges to set. Whoever sets them must be inside: otherwise their next request would be refused, and nobody could
    take it back. Raises `InvalidArgument`; `Refused` for who would lock themselves out."""
    address, chosen = address_of(source), normalised(ranges)
    if chosen and not is_inside(address, chosen):
        raise Refused("Your own address is in none of these ranges: you would lock yourself out.", reason="lock-out")
    return chosen
