"""How long failures delay the next try. Pure."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

FREE_FAILURES = 3
"""Of a login from one source: somebody who mistypes is not held up."""
FREE_FAILURES_OF_A_SOURCE = 30
"""Over all logins: many people can sit behind one address."""
LONGEST = timedelta(minutes=15)
LONGEST_OF_A_SOURCE = timedelta(seconds=10)
"""So that nobody behind an address can keep the others out."""
_FORGOTTEN_AFTER = timedelta(days=1)


def wait_of_login(failures: int, failed_at: datetime, now: datetime) -> int:
    """Whole seconds to wait from now, after failures of one login from one source."""
    return _wait(failures - FREE_FAILURES, failed_at, now, LONGEST)


def wait_of_source(failures: int, failed_at: datetime, now: datetime) -> int:
    """The same after failures of a source with whatever login."""
    return _wait(failures - FREE_FAILURES_OF_A_SOURCE, failed_at, now, LONGEST_OF_A_SOURCE)


def _wait(beyond: int, failed_at: datetime, now: datetime, longest: timedelta) -> int:
    """1, 2, 4 … seconds after the failure. A clock that was put back makes nobody wait for longer than the longest; failures
    of more than a day ago are forgotten."""
    if beyond < 0 or now - failed_at > _FORGOTTEN_AFTER:
        return 0
    delay = min(timedelta(seconds=2 ** min(beyond, 20)), longest)
    return max(0, math.ceil(min(failed_at + delay - now, longest).total_seconds()))
