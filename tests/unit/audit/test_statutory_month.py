"""The month of GDPR Art. 12(3), counted by Regulation 1182/71."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from audit.statutory_month import end_of_month_for


@pytest.mark.parametrize(
    ("requested", "first_late_day"),
    [
        ((2026, 3, 3), (2026, 4, 4)),  # Friday, 3 April is the last day
        ((2026, 1, 31), (2026, 3, 3)),  # February has 28 days; the 28th is a Saturday, so until Monday, 2 March
        ((2027, 1, 29), (2027, 3, 2)),  # likewise: 28 February is a Sunday
        ((2028, 1, 31), (2028, 3, 1)),  # Tuesday, 29 February
        ((2026, 12, 15), (2027, 1, 16)),  # over the end of the year
        ((2026, 5, 6), (2026, 6, 9)),  # 6 June is a Saturday
    ],
)
def test_the_month_ends_with_the_day_of_the_same_number(
    requested: tuple[int, int, int], first_late_day: tuple[int, int, int]
) -> None:
    """With the last hour of the day of the same number, of the month's last day, or of the next working day."""
    assert datetime(*first_late_day, tzinfo=UTC) == end_of_month_for(datetime(*requested, 13, 45, tzinfo=UTC))


def test_the_day_is_that_of_utc() -> None:
    """A request at one in the morning in Berlin was made the day before in UTC."""
    berlin = timezone(timedelta(hours=2))
    assert datetime(2026, 6, 2, tzinfo=UTC) == end_of_month_for(datetime(2026, 5, 2, 1, tzinfo=berlin))
