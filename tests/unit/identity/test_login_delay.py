"""How long failures delay the next try."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.identity.login_delay import FREE_FAILURES, LONGEST, wait_of_login, wait_of_source

AT = datetime(2024, 3, 4, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(("failures", "seconds"), [(1, 0), (2, 0), (3, 1), (4, 2), (5, 4), (10, 128), (13, 900), (10_000, 900)])
def test_the_delay_doubles_from_the_third_failure_on(failures: int, seconds: int) -> None:
    """1, 2, 4 … seconds, and a quarter of an hour at most."""
    assert seconds == wait_of_login(failures, AT, AT)


def test_the_delay_is_over_when_its_time_is() -> None:
    """A part of a second is a whole one: who waits as long as told is never told to wait again."""
    assert 2 == wait_of_login(FREE_FAILURES + 2, AT, AT + timedelta(seconds=2.5))
    assert 0 == wait_of_login(FREE_FAILURES + 2, AT, AT + timedelta(seconds=4))


def test_after_a_day_nothing_is_remembered() -> None:
    """Whatever failed yesterday."""
    assert 0 == wait_of_login(1_000, AT, AT + timedelta(days=1, seconds=1))


def test_a_clock_that_was_put_back_locks_nobody_out() -> None:
    """The wait is a quarter of an hour at most, although the failure lies a year ahead."""
    assert LONGEST.total_seconds() == wait_of_login(5, AT + timedelta(days=365), AT)


@pytest.mark.parametrize(("failures", "seconds"), [(29, 0), (30, 1), (33, 8), (34, 10), (10_000, 10)])
def test_a_source_may_fail_more_often_and_waits_ten_seconds_at_most(failures: int, seconds: int) -> None:
    """Many people can sit behind one address."""
    assert seconds == wait_of_source(failures, AT, AT)
