"""Which sequence numbers the relay has still to look for: those above the highest it saw, and the gaps below
it.

Pure. A sequence number is not commit order: a lower one may become visible after a higher one. Whoever draws
a number has a transaction id already (`lethe.append_event` forces one). So a gap is for ever, the trace of an
aborted transaction, once no transaction is running whose id is older than one that was handed out after the
gap was seen: its *horizon*. (`pg_snapshot_xmax` of the snapshot would not do: ids between the last completed
one and the next are above it and running.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Gap:
    """The sequence numbers from `first` to `last`, none of them seen; `horizon` is None until a transaction
    id is known.
    """

    first: int
    last: int
    horizon: int | None = None


class SequenceGaps:
    """`high` is the highest sequence number seen; `gaps` are the ranges below it, in order, that may still
    appear.
    """

    def __init__(self, high: int = 0, holes: Iterable[tuple[int, int]] = ()) -> None:
        self.high = high
        self.gaps = [Gap(first, last) for first, last in holes]
        self._outlived = False

    def saw(self, sequences: Sequence[int], oldest_running: int, complete: bool) -> None:
        """Takes in what one snapshot showed of the gaps and of the numbers above `high`, in ascending order.

        `oldest_running` is that snapshot's xmin. `complete` is False where a limit cut the answer short: then
        a gap that was not in it is not known to be empty.
        """
        remaining = _without(self.gaps, [number for number in sequences if number <= self.high])
        if complete:
            remaining = [gap for gap in remaining if gap.horizon is None or gap.horizon > oldest_running]
        self._outlived = any(gap.horizon is None for gap in remaining)
        for number in sequences:
            if number > self.high:
                if number > self.high + 1:
                    remaining.append(Gap(self.high + 1, number - 1))
                self.high = number
        self.gaps = remaining

    @property
    def needs_horizon(self) -> bool:
        """True where a gap has outlived a look and has no horizon. Most are filled by then, and need none."""
        return self._outlived

    def set_horizon(self, transaction_id: int) -> None:
        """Gives the gaps without one their horizon: a transaction id handed out after the snapshot that
        showed them.
        """
        self.gaps = [Gap(gap.first, gap.last, gap.horizon or transaction_id) for gap in self.gaps]
        self._outlived = False


def _without(gaps: Sequence[Gap], found: Sequence[int]) -> list[Gap]:
    """The gaps with the numbers that were found taken out; both are in ascending order."""
    remaining: list[Gap] = []
    place = 0
    for gap in gaps:
        first = gap.first
        while place < len(found) and found[place] <= gap.last:
            if found[place] > first:
                remaining.append(Gap(first, found[place] - 1, gap.horizon))
            first = max(first, found[place] + 1)
            place += 1
        if first <= gap.last:
            remaining.append(Gap(first, gap.last, gap.horizon))
    return remaining
