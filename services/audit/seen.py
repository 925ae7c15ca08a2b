"""Which of the checkpoints that were seen are kept: pure arithmetic on their numbers, without a clock.

Each follows from the next larger one, so the last alone proves them all; older ones are kept for their dates, for comparing
with what somebody else kept, and as evidence. Of all numbers the newest 64 stay, of the older ones every 2nd among the newest
128, every 4th among the newest 256, and so on: 32 for each doubling, about 900 after three hundred million. A clock that jumps
changes nothing, and each arrival removes few.
"""

from __future__ import annotations

from typing import Final

NEWEST_KEPT: Final = 64
MOST_CONTRADICTING: Final = 100
"""Checkpoints kept of one log that contradict what was seen. All bear the signature of its key; more would prove no more."""
MOST_AWAITED: Final = 16
"""Checkpoints kept of one log that are larger than what it has published."""


def outlived(number: int) -> list[int]:
    """The numbers that go when `number` (counted from 1) comes."""
    gone: list[int] = []
    step = 1
    while (old := number - NEWEST_KEPT * step) > 0:
        if old & -old == step:  # the largest power of two that divides it
            gone.append(old)
        step *= 2
    return gone
