"""What a log's own events say of accounts that are gone: which leaves nobody can open any more. Pure.

A leaf without an event is accounted for by a signed `LeavesGone` that stands after it and names its index; every other one is
dropped. As with cuts (`cut_notes.py`), what is not known to be signed waits under its commitment. Kept are 16 bytes a range.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Sequence

import msgspec

from shared.account_end import CELL
from shared.events import Envelope

Run = tuple[int, int]
"""The first and the last index of a range."""


class GoneNotesState(msgspec.Struct, frozen=True, kw_only=True):
    """What was noted, to be kept in a file."""

    ranges: dict[str, bytes]
    ended: list[str]
    waiting: list[tuple[bytes, str, list[Run]]]


class GoneNotes:
    """The accounts that are gone from one log. `ended`: those of which the service that ends them says so in it."""

    def __init__(self, begin: GoneNotesState | None = None) -> None:
        self._ranges = {account: array("q", ranges) for account, ranges in (begin.ranges.items() if begin else ())}
        self.ended: list[str] = list(begin.ended) if begin else []
        self._waiting = {commitment: (account, runs) for commitment, account, runs in (begin.waiting if begin else ())}
    @property
    def accounts(self) -> Collection[str]:
        """Those that a signed event names."""
        return self._ranges.keys()

    def state(self) -> GoneNotesState:
        """What was noted so far."""
        return GoneNotesState(
            ranges={account: ranges.tobytes() for account, ranges in self._ranges.items()}, ended=self.ended,
            waiting=[(commitment, *waits) for commitment, waits in self._waiting.items()],
        )  # fmt: skip

    def note(self, envelope: Envelope, at: int, waits_as: bytes | None = None) -> None:
        """Takes in what an event at an index says. `waits_as`: its commitment, where it is not known to be signed yet."""
        if envelope.type == "lifecycle.AccountEnded":
            self.ended.append(envelope.account)
        if not envelope.type.endswith(".LeavesGone") or envelope.account != CELL:
            return
        ranges, account = envelope.data.get("ranges"), str(envelope.data.get("account_id"))
        runs = [run for one in (ranges if isinstance(ranges, list) else ()) if (run := _run(one, at)) is not None]
        if waits_as is None:
            self._add(account, runs)
        else:
            self._waiting[waits_as] = account, runs

    def accept(self, signed: Iterable[bytes]) -> None:
        """Counts what waits under these commitments, which are signed."""
        for commitment in signed:
            if commitment in self._waiting:
                self._add(*self._waiting.pop(commitment))

    def unexplained(self, runs: Iterable[Run]) -> list[Run]:
        """The parts of these runs, which are in order and apart, that no signed event names."""
        return _without(runs, sorted(run for account in self._ranges for run in self.named(account)))

    def named(self, account: str) -> list[Run]:
        """The ranges that signed events name of an account."""
        ranges = self._ranges[account]
        return list(zip(ranges[::2], ranges[1::2], strict=True))

    def waiting_for(self, runs: Sequence[Run]) -> set[bytes]:
        """The commitments under which a part of these runs waits for its explanation."""
        return {
            commitment
            for commitment, (_, named) in self._waiting.items()
            if runs and size_of(_without(runs, sorted(named))) < size_of(runs)
        }

    def _add(self, account: str, runs: Iterable[Run]) -> None:
        ranges = self._ranges.setdefault(account, array("q"))
        for run in runs:
            ranges.extend(run)


def size_of(runs: Iterable[Run]) -> int:
    """How many indices they have."""
    return sum(last - first + 1 for first, last in runs)


def _run(value: object, at: int) -> Run | None:
    """A range before `at`, as an event names it; None where it is none."""
    if not isinstance(value, list) or len(value) != 2 or not all(type(one) is int for one in value):
        return None
    first, last = max(0, value[0]), min(value[1], at - 1)
    return (first, last) if first <= last else None


def _without(runs: Iterable[Run], named: Sequence[Run]) -> list[Run]:
    left: list[Run] = []
    place = 0
    for first, last in runs:
        while place < len(named) and named[place][1] < first:
            place += 1
        at = place
        while first <= last and at < len(named) and named[at][0] <= last:
            if named[at][0] > first:
                left.append((first, named[at][0] - 1))
            first = max(first, named[at][1] + 1)
            at += 1
        if first <= last:
            left.append((first, last))
    return left
