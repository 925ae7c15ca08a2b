"""The forms of session and API tokens."""

from __future__ import annotations

import re
import zlib
from datetime import UTC, datetime, timedelta

import pytest

from services.identity import api_token, session

AT = datetime(2024, 3, 4, 9, 0, tzinfo=UTC)
BASE_62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def test_a_session_token_has_128_random_bits_and_more() -> None:
    """24 random octets, in 32 letters; no two are the same."""
    made = {session.new_token() for _ in range(1_000)}
    assert 1_000 == len(made)
    assert all(re.fullmatch(r"lethe_session_[A-Za-z0-9_-]{32}", one) for one in made)


def test_an_api_token_has_160_random_bits_and_its_checksum() -> None:
    """30 digits in base 62 (178 bits), then the CRC-32 of them in six more, as computed here apart."""
    for token in (api_token.new_token() for _ in range(100)):
        found = re.fullmatch(r"lethe_([0-9A-Za-z]{30})([0-9A-Za-z]{6})", token)
        assert found is not None
        value = 0
        for digit in found[2]:
            value = value * 62 + BASE_62.index(digit)
        assert zlib.crc32(found[1].encode()) == value
        assert api_token.has_form(token)
    assert 62**30 > 2**160


@pytest.mark.parametrize("place", range(6, 42))
def test_a_mistyped_token_is_known_as_such(place: int) -> None:
    """Another digit anywhere, a missing or a further one: no look into the database is needed."""
    token = api_token.new_token()
    other = "0" if token[place] != "0" else "1"
    assert not api_token.has_form(token[:place] + other + token[place + 1 :])
    assert not api_token.has_form(token[:place] + token[place + 1 :])
    assert not api_token.has_form(token + "0")


@pytest.mark.parametrize("text", ["", "lethe_", "a kettle full of owls", "lethe_session_" + "a" * 32, "lethe_" + "é" * 36])
def test_what_is_no_api_token_has_not_its_form(text: str) -> None:
    """A password in HTTP Basic is not taken for a token."""
    assert not api_token.has_form(text)


def test_no_scope_goes_beyond_another() -> None:
    """read < write < manage."""
    order = ("read", "write", "manage")
    for wanted in order:
        for held in order:
            assert (order.index(wanted) <= order.index(held)) == api_token.is_within(wanted, held)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("idle", "age", "is_good"),
    [(0, 0, True), (29, 29, True), (30, 30, False), (1, 719, True), (1, 720, False), (-600, 0, False)],
)
def test_a_session_is_good_for_half_an_hour_idle_and_twelve_hours_at_all(idle: int, age: int, is_good: bool) -> None:
    """Minutes since its last use and its beginning. A clock that was put back far makes none good."""
    now = AT + timedelta(minutes=age)
    assert is_good == session.is_good(now - timedelta(minutes=idle), AT + session.ABSOLUTE, now)
