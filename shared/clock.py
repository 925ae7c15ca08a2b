"""The one source of time, so that a test can play 150 days in a second.

The local stack's clock is the machine's clock plus an offset kept in `$LETHE_HOME/clock`; every process reads it at each
call (one `stat`, re-read on change). Nothing else in the project may ask the machine for the time of day, except to compare it
with the times of files (`file_version`).
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared.file_version import Version, file_version

_cached: tuple[str, Version | None, timedelta] = ("", None, timedelta(0))
_NONE = timedelta(0)


def _clock_file() -> str:
    return f"{os.environ.get('LETHE_HOME', '.lethe')}/clock"


def now() -> datetime:
    """The present moment, aware, in UTC, in whole microseconds."""
    return datetime.now(UTC) + offset()


def offset() -> timedelta:
    """How far the stack's clock is ahead of the machine's."""
    global _cached
    file = _clock_file()
    try:
        version = file_version(file)
    except FileNotFoundError:
        return _NONE
    if version is None or _cached[:2] != (file, version):
        _cached = (file, version, timedelta(seconds=float(json.loads(Path(file).read_text())["offset_seconds"])))
    return _cached[2]


def advance(by: timedelta) -> timedelta:
    """Moves the stack's clock ahead and returns the new offset. A clock never goes back, so a negative step is refused."""
    if by < timedelta(0):
        raise ValueError("the clock only goes forward")
    ahead = offset() + by
    file = Path(_clock_file())
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps({"offset_seconds": ahead.total_seconds()}))
    temporary.replace(file)
    return ahead
