"""Whether a file or a folder is as it was when somebody read it and kept what was in it. No content, only its state."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

SETTLED_NS: Final = 100_000_000
"""How long after a change a second one would show. File systems count time in the kernel's ticks, 10 ms at most: two changes in
one of them leave the same time, and a key that was destroyed in the second would be kept in memory for good."""

Version = tuple[int, int]
"""The inode and the time of the last change, in nanoseconds since 1970."""


def file_version(path: Path | str) -> Version | None:
    """What tells this state from every later one, to be asked for before reading; None just after a change, when nothing does.
    Raises `FileNotFoundError`."""
    state = os.stat(path)
    if abs(time.time_ns() - state.st_mtime_ns) < SETTLED_NS:
        return None
    return state.st_ino, state.st_mtime_ns
