"""Named places where a test can make a process fail: at every commit and every effect outside the database.

`LETHE_FAILPOINT=name[:n][=action]`, several separated by commas. The action happens at the n-th pass (default the first):
`kill` (the default: SIGKILL to oneself, as a power cut would), `error` (raises `FailpointReached`), `pause` (SIGSTOP).
Without the variable a failpoint costs one dictionary look-up.
"""

from __future__ import annotations

import os
import signal
from collections import Counter


class FailpointReached(Exception):
    """Raised by a failpoint whose action is `error`."""


def _parse(text: str) -> dict[str, tuple[int, str]]:
    points: dict[str, tuple[int, str]] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        place, _, action = part.partition("=")
        name, _, nth = place.partition(":")
        points[name] = (int(nth or 1), action or "kill")
    return points


_points = _parse(os.environ.get("LETHE_FAILPOINT", ""))
_passes: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """Fails here if `LETHE_FAILPOINT` names this place and this is the pass it names."""
    if name not in _points:
        return
    _passes[name] += 1
    nth, action = _points[name]
    if _passes[name] != nth:
        return
    if action == "error":
        raise FailpointReached(name)
    os.kill(os.getpid(), signal.SIGSTOP if action == "pause" else signal.SIGKILL)
