"""From where users are let in."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from services.identity.ip_ranges import address_of, choose, is_inside, normalised
from shared.errors import InvalidArgument, Refused

HERE = "203.0.113.7"


@pytest.mark.parametrize(
    "text",
    [
        "203.0.113.0", "203.0.113.7/24", "203.0.113.0/33", "203.0.113.0/255.255.255.0", "203.0.113.0/024", "203.0.113.0/+24",
        "203.0.113.0/ 24", " 203.0.113.0/24", "203.0.113.0/24 ", "203.0.113/24", "0203.0.113.0/24", "203.0.113.0/",
        "203.0.113.0/24/8", "2001:db8::1/32", "2001:db8::/129", "fe80::%eth0/64", "::ffff:203.0.113.7/120",
        "example.org/24", "", "/24", "٢٠٣.0.113.0/24", "203.0.113.0/２４",
    ],
)  # fmt: skip
def test_a_range_is_strict_cidr(text: str) -> None:
    """No missing length, no bits beyond it, no mask, no zone, no blanks, no names; the error names the range by its place."""
    with pytest.raises(InvalidArgument) as invalid:
        normalised(["203.0.113.0/24", text])
    assert invalid.value.field == "ranges[1]"


def test_ranges_have_one_spelling() -> None:
    """IPv4-mapped ranges are IPv4 ranges, what another range holds is left out, neighbours are joined."""
    given = ["2001:DB8:0::/33", "2001:db8:8000::/33", "::ffff:203.0.113.0/120", "203.0.113.128/25", "10.0.0.1/32", "::/0"]
    assert normalised(["203.0.113.0/25", "203.0.113.128/25"]) == ["203.0.113.0/24"]
    assert normalised(given[:-1]) == ["10.0.0.1/32", "203.0.113.0/24", "2001:db8::/32"]
    assert normalised(given) == ["10.0.0.1/32", "203.0.113.0/24", "::/0"]
    assert normalised([]) == []


@pytest.mark.parametrize(
    ("source", "inside"),
    [
        ("203.0.113.0", True), ("203.0.113.255", True), ("203.0.114.0", False), ("::ffff:203.0.113.9", True),
        ("::ffff:203.0.114.9", False), ("::203.0.113.9", False), ("2001:db8::1", True), ("2001:db9::1", False),
        ("64:ff9b::203.0.113.9", False),
    ],
)  # fmt: skip
def test_an_ipv4_mapped_address_is_the_ipv4_address(source: str, inside: bool) -> None:
    """It is let in and kept out as that one is; other forms that hold four octets are IPv6."""
    ranges = normalised(["203.0.113.0/24", "2001:db8::/32"])
    assert is_inside(address_of(source), ranges) is inside


def test_all_of_ipv6_lets_no_ipv4_in() -> None:
    """::/0 holds the mapped addresses as IPv6 only, and those are no IPv6 addresses here."""
    assert not is_inside(address_of("::ffff:198.51.100.1"), normalised(["::/0"]))
    assert is_inside(address_of("2001:db8::1"), normalised(["::/0"]))


@pytest.mark.parametrize("text", ["localhost", "203.0.113.7:443", "fe80::1%eth0", "203.0.113.07", "", "1", "0x7f.1"])
def test_a_source_is_an_address(text: str) -> None:
    """What is none is refused, not let in."""
    with pytest.raises(InvalidArgument) as invalid:
        address_of(text)
    assert invalid.value.field == "source"


def test_who_sets_ranges_is_inside() -> None:
    """Nobody locks themselves out, nor by the mapped spelling of their address; taking all ranges away is always allowed."""
    assert choose(["203.0.113.0/24"], HERE) == ["203.0.113.0/24"]
    assert choose(["203.0.113.0/24"], f"::ffff:{HERE}") == ["203.0.113.0/24"]
    assert choose([], HERE) == []
    for ranges in (["198.51.100.0/24"], ["::/0"], ["2001:db8::/32", "203.0.112.0/24"]):
        with pytest.raises(Refused) as refused:
            choose(ranges, HERE)
        assert refused.value.details["reason"] == "lock-out"


def test_addresses_are_compared_as_numbers() -> None:
    """The same address in another spelling is the same."""
    assert address_of("2001:0DB8:0:0::1") == ip_address("2001:db8::1")
