"""Whose address a request comes from, where proxies may stand in between. Pure; no I/O.

The socket's peer is the client, unless the peer is a proxy that the operator has named. Then X-Forwarded-For is read from the
right, as each proxy appends who connected to it: past trusted hops only, never a hop further. What stands left of the first
address that is not trusted was written by the client itself, and is not looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST_CHAIN = 32
"""Hops that are looked at; whoever needs more has no honest reason."""


def networks(text: str) -> tuple[Network, ...]:
    """The networks in a list of CIDR with commas in between. Raises `ValueError` for what is none, host bits included."""
    return tuple(ip_network(part.strip(), strict=True) for part in text.split(",") if part.strip())


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> Address:
    """The address of the client. `forwarded_for`: the values of all X-Forwarded-For lines, in their order.

    A hop that is no address ends the reading, and the peer is then the client: a proxy that was trusted and writes what nobody
    can read is trusted no further. Raises `ValueError` where the peer itself has no address (a Unix socket).
    """
    nearest = _plain(ip_address(peer))
    if not _is_trusted(nearest, trusted):
        return nearest
    hops = [hop.strip() for line in forwarded_for for hop in line.split(",")] if forwarded_for else []
    client = nearest
    for hop in reversed(hops[-LONGEST_CHAIN:]):
        try:
            client = _plain(ip_address(hop))
        except ValueError:
            return nearest
        if not _is_trusted(client, trusted):
            return client
    return client


def source_of(address: Address) -> str:
    """What counts as one source of requests: an IPv4 address, or the /64 that an IPv6 customer is given."""
    if isinstance(address, IPv6Address):
        return str(ip_network((int(address) >> 64 << 64, 64)))
    return str(address)


def _plain(address: Address) -> Address:
    """An IPv4 address is the same one when it is written as an IPv6 address; a zone is not part of it."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.scope_id is not None:
            return IPv6Address(int(address))
    return address


def _is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in trusted)
