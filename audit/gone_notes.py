"""What a log's own events say of accounts that are gone, and of a database that was put back: which leaves nobody can open any
more. Pure.

A leaf without an event is accounted for where a signed `LeavesGone` or `RowsLost` after it names its index; all others were
dropped. An account goes once: what names leaves of it after its receipt, and what names leaves of another as well, is a
contradiction. As with cuts (`cut_notes.py`), what is not known to be signed waits under its commitment. Kept are 16 bytes a
range.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import accumulate, chain

import msgspec

from shared.account_end import CELL
from shared.events import Envelope

Run = tuple[int, int]
"""The first and the last index of a range."""


class GoneNotesState(msgspec.Struct, frozen=True, kw_only=True):
    """What was noted, to be kept in a file."""

    ranges: dict[str, bytes]
    ended: list[str]
    receipts: list[str]
    too_late: list[tuple[int, str]]
    waiting: list[tuple[bytes, str, list[Run]]]
    lost: bytes = b""


TOLD_BY = frozenset({"AccountEnded", "LeavesGone", "AccountGone", "RowsLost"})
"""The types of which something is noted, whichever service they are of."""


_LOST = ""
"""In place of an account, where places are lost of whichever accounts."""


class GoneNotes:
    """The accounts that are gone from one log, and what is lost. `ended`: those of which the service that ends them says so
    in it."""

    def __init__(self, begin: GoneNotesState | None = None) -> None:
        self._ranges = {account: array("q", ranges) for account, ranges in (begin.ranges.items() if begin else ())}
        self.ended: list[str] = list(begin.ended) if begin else []
        self._receipts = set(begin.receipts if begin else ())
        self._too_late = list(begin.too_late) if begin else []
        self._waiting = {commitment: (account, runs) for commitment, account, runs in (begin.waiting if begin else ())}
        self._lost = array("q", begin.lost if begin else b"")

    @property
    def accounts(self) -> Collection[str]:
        """Those that a signed event names."""
        return self._ranges.keys()

    def state(self) -> GoneNotesState:
        """What was noted so far."""
        return GoneNotesState(
            ranges={account: ranges.tobytes() for account, ranges in self._ranges.items()}, ended=self.ended,
            receipts=sorted(self._receipts), too_late=self._too_late,
            waiting=[(commitment, *waits) for commitment, waits in self._waiting.items()], lost=self._lost.tobytes(),
        )  # fmt: skip

    def note(self, envelope: Envelope, at: int, waits_as: bytes | None = None) -> None:
        """Takes in what an event at an index says. `waits_as`: its commitment, where it is not known to be signed yet."""
        if envelope.type == f"{envelope.service}.RowsLost":
            if envelope.account == CELL and envelope.stream.startswith("recovery/"):
                self._take(_LOST, envelope, at, waits_as)
            return
        account = str(envelope.data.get("account_id"))
        if envelope.type == "lifecycle.AccountEnded" and waits_as is None:
            self.ended.append(account)
        if envelope.account != CELL or envelope.stream != f"gone/{account}":
            return
        if envelope.type == f"{envelope.service}.AccountGone" and waits_as is None:
            self._receipts.add(account)
        if envelope.type != f"{envelope.service}.LeavesGone":
            return
        if account in self._receipts:
            self._too_late.append((at, account))
            return
        self._take(account, envelope, at, waits_as)

    def _take(self, account: str, envelope: Envelope, at: int, waits_as: bytes | None) -> None:
        ranges = envelope.data.get("ranges")
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

    def all_named(self) -> Runs:
        """All ranges that signed events name."""
        return Runs(self._all())

    def unexplained(self, runs: Iterable[Run]) -> list[Run]:
        """The parts of these runs, which are in order and apart, that no signed event names."""
        return _without(runs, sorted(self._all()))

    def lost_among(self, runs: Sequence[Run]) -> int:
        """How many of these indices are lost, as signed events say."""
        return size_of(runs) - size_of(_without(runs, sorted(_pairs(self._lost))))

    def contradictions(self) -> Iterator[tuple[int, str]]:
        """Index and account: of each event that names leaves after the account's receipt, and of leaves that went with two."""
        yield from self._too_late
        before: tuple[Run, str] | None = None
        for run, account in sorted((run, of) for of in self._ranges for run in self.named(of)):
            if before is not None and run[0] <= before[0][1] and account != before[1]:
                yield run[0], account
            if before is None or run[1] > before[0][1]:
                before = run, account

    def named(self, account: str) -> list[Run]:
        """The ranges that signed events name of an account."""
        return _pairs(self._ranges[account])

    def waiting_for(self, runs: Sequence[Run]) -> set[bytes]:
        """The commitments under which a part of these runs waits for its explanation."""
        return {
            commitment
            for commitment, (_, named) in self._waiting.items()
            if runs and size_of(_without(runs, sorted(named))) < size_of(runs)
        }

    def _add(self, account: str, runs: Iterable[Run]) -> None:
        ranges = self._lost if account == _LOST else self._ranges.setdefault(account, array("q"))
        for run in runs:
            ranges.extend(run)

    def _all(self) -> Iterator[Run]:
        for account in self._ranges:
            yield from self.named(account)
        yield from _pairs(self._lost)


class GrowingRuns:
    """Indices as they come, each higher than the one before, as ranges of 16 bytes."""

    def __init__(self, begin: bytes = b"") -> None:
        self._bounds = array("q", begin)  # first, last; in order and apart

    @classmethod
    def of(cls, runs: Iterable[Run]) -> GrowingRuns:
        """These ranges, in order and apart."""
        return cls(array("q", chain.from_iterable(runs)).tobytes())

    def __bool__(self) -> bool:
        return bool(self._bounds)

    def add(self, index: int) -> None:
        """Takes in the next index."""
        if self._bounds and self._bounds[-1] == index - 1:
            self._bounds[-1] = index
        else:
            self._bounds.extend((index, index))

    def runs(self) -> list[Run]:
        """The ranges."""
        return list(zip(self._bounds[::2], self._bounds[1::2], strict=True))

    def tobytes(self) -> bytes:
        """The ranges, to be kept in a file."""
        return self._bounds.tobytes()


class Runs:
    """Ranges in which indices are looked up."""

    def __init__(self, runs: Iterable[Run]) -> None:
        ordered = sorted(runs)
        self._firsts = array("q", [first for first, _ in ordered])
        self._reach = array("q", accumulate((last for _, last in ordered), max))

    def __contains__(self, index: int) -> bool:
        at = bisect_right(self._firsts, index) - 1
        return at >= 0 and index <= self._reach[at]


def _pairs(ranges: array[int]) -> list[Run]:
    return list(zip(ranges[::2], ranges[1::2], strict=True))


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
