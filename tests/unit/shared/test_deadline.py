"""Deadlines that are passed down."""

from __future__ import annotations

import threading
from datetime import timedelta

from shared import clock, deadline


def test_the_earliest_deadline_is_in_force() -> None:
    """An inner deadline shortens an outer one and never lengthens it, and ends with its block."""
    soon, later = clock.now() + timedelta(seconds=5), clock.now() + timedelta(seconds=50)
    with deadline.until(soon):
        with deadline.until(later):
            assert soon == deadline.current()
            assert 4 < deadline.remaining_seconds(10) <= 5
        assert 1 == deadline.remaining_seconds(1)
    assert deadline.current() is None


def test_what_is_over_leaves_nothing() -> None:
    """Past the deadline nothing remains, not less than nothing."""
    with deadline.until(clock.now() - timedelta(seconds=5)):
        assert 0 == deadline.remaining_seconds(10)


def test_a_deadline_is_of_its_thread() -> None:
    """Another thread does not see this one's deadline."""
    seen: list[object] = []
    with deadline.until(clock.now()):
        thread = threading.Thread(target=lambda: seen.append(deadline.current()))
        thread.start()
        thread.join()
    assert [None] == seen
