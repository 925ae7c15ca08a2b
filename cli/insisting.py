"""Calls again while services or servers are away: a kill -9 of any of them is to delay a command, and not to end it."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import Final, TypeVar

from shared.errors import PersonErased, TimedOut, Unavailable, VersionConflict

T = TypeVar("T")
SHORTEST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 2.0
RECONNECT_SECONDS: Final = 30.0
"""How long services and clients may take to find each other again."""
AWAY: Final = (Unavailable, TimedOut, PersonErased, VersionConflict)
"""Errors after which the same call may succeed."""


def insist(
    call: Callable[[int], T],
    outage_seconds: float = RECONNECT_SECONDS,
    least_tries: int = 1,
    interrupted: Callable[[], None] = lambda: None,
) -> T:
    """What `call` gives; it is told which try this is, from 1, and must be harmless to repeat.

    Raises its last error once the outage lasts longer than `outage_seconds` and it was tried `least_tries` times.
    `interrupted` is told of each failure that is bridged.
    """
    begun, pause, tries = monotonic(), SHORTEST_PAUSE_SECONDS, 0
    while True:
        tries += 1
        try:
            return call(tries)
        except AWAY:
            if monotonic() - begun > outage_seconds and tries >= least_tries:
                raise
        interrupted()
        sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
