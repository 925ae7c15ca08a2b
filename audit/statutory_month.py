"""Until when an erasure must be answered: one month from its request (GDPR Art. 12(3)), counted by Regulation 1182/71. Pure.

The day of the request does not count (Art. 3(1)); the month ends with the last hour of the day of the same number, or of the
month's last day where it has none (Art. 3(2)(c)); where that is a Saturday or Sunday, with that of the next working day
(Art. 3(4)). Public holidays, which differ from country to country, are left out: the end may come a few days too early here,
never too late. Days are those of UTC.
"""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, time, timedelta

_SATURDAY = 5


def end_of_month_for(requested_at: datetime) -> datetime:
    """The first moment after the month that began with a request. Takes a time with a zone."""
    day = requested_at.astimezone(UTC).date()
    year, month = (day.year + 1, 1) if day.month == 12 else (day.year, day.month + 1)
    last = day.replace(year=year, month=month, day=min(day.day, calendar.monthrange(year, month)[1]))
    while last.weekday() >= _SATURDAY:
        last += timedelta(days=1)
    return datetime.combine(last + timedelta(days=1), time(), UTC)
