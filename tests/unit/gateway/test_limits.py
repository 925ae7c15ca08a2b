"""Token buckets: what may be had at once, what comes again with time, and how much is remembered."""

from __future__ import annotations

import pytest

from services.gateway.limits import BytesInFlight, CredentialNames, TokenBuckets
from services.gateway.problems import NoRoom


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_bodies_share_one_room() -> None:
    """What one holds another can't have, until it is given back; who is refused has taken nothing, and a part only grows."""
    room = BytesInFlight(100)
    one, other = room.part(), room.part()
    one.cover(60)
    one.cover(20)
    with pytest.raises(NoRoom):
        other.cover(41)
    other.cover(40)
    assert 100 == room.held
    with pytest.raises(NoRoom):
        one.cover(61)
    one.give_back()
    other.cover(100)
    other.give_back()
    other.give_back()
    assert 0 == room.held


def test_a_burst_is_admitted_and_the_next_has_to_wait() -> None:
    """After as many as the bucket holds, the next is told how long it takes until there is a token."""
    clock = Clock()
    buckets = TokenBuckets(2.0, 3, clock)
    assert [0.0, 0.0, 0.0, 0.5] == [buckets.take("a") for _ in range(4)]
    clock.now += 0.4
    assert buckets.take("a") == pytest.approx(0.1)
    clock.now += 0.11
    assert 0.0 == buckets.take("a")


def test_one_is_not_charged_for_another() -> None:
    """Each key has a bucket of its own."""
    buckets = TokenBuckets(1.0, 1, Clock())
    assert 0.0 == buckets.take("a")
    assert 0.0 == buckets.take("b")
    assert 0.0 < buckets.take("a")


def test_a_bucket_never_holds_more_than_a_burst() -> None:
    """A long silence saves nothing up, and a clock that goes back takes nothing away."""
    clock = Clock()
    buckets = TokenBuckets(1.0, 2, clock)
    buckets.take("a")
    clock.now += 10_000
    assert [0.0, 0.0] == [buckets.take("a") for _ in range(2)]
    assert 0.0 < buckets.take("a")
    clock.now -= 5_000
    assert 0.0 < buckets.take("a")


def test_the_memory_has_an_end() -> None:
    """With more keys than there is room for, the one that was silent for longest is forgotten."""
    buckets = TokenBuckets(1.0, 1, Clock(), most=2)
    for key in ("a", "b", "a", "c"):
        buckets.take(key)
    assert 2 == len(buckets)
    assert 0.0 < buckets.take("a")
    assert 0.0 == buckets.take("b")


def test_a_credential_is_named_without_being_held() -> None:
    """The same credential has the same name in one process, another in another, and its text is in none."""
    one, other = CredentialNames(), CredentialNames()
    assert one.name(b"Bearer secret") == one.name(b"Bearer secret") != one.name(b"Bearer secrets")
    assert one.name(b"Bearer secret") != other.name(b"Bearer secret")
    assert "secret" not in one.name(b"Bearer secret")
