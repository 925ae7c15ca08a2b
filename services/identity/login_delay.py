"""How long failures delay the next try. Pure."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

FREE_FAILURES = 3
"""Of a login from one source: somebody who mistypes is not held up."""
FREE_FAILURES_OF_A_SOURCE = 30
"""Over all logins: many people can sit behind one address."""
LONGEST = timedelta(minutes=15)
_FORGOTTEN_AFTER = timedelta(days=1)


def next_try_at(failures: int, failed_at: datetime, free: int = FREE_FAILURES) -> datetime:
    """When the next try may be: at once while there are few failures, then after 1, 2, 4 … seconds, at most `LONGEST`."""
    if failures < free:
        return failed_at
    return failed_at + min(timedelta(seconds=2 ** min(failures - free, 20)), LONGEST)


def wait_seconds(failures: int, failed_at: datetime, now: datetime, free: int = FREE_FAILURES) -> int:
    """Whole seconds to wait from now, 0 where there is no need. A clock that was put back makes nobody wait longer than
    `LONGEST`; failures of more than a day ago are forgotten."""
    if now - failed_at > _FORGOTTEN_AFTER:
        return 0
    left = min(next_try_at(failures, failed_at, free) - now, LONGEST)
    return max(0, math.ceil(left.total_seconds()))
