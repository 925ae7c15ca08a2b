"""Names what happened to a log whose leaves are not where they were signed: dropped, inserted, swapped, reordered, changed.

Pure. It is told what was signed at an index and what stands there, for the places where the two differ only, and compares
the two sets at the end. It keeps at most `MOST_PLACES` of them; beyond that it counts, and says so. Rows without an event are
kept apart, as ranges (16 bytes each): those that went with an account are taken out before anything is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from audit.findings import Findings, Kind
from audit.gone_notes import GoneNotes, GrowingRuns, Run, size_of

MOST_PLACES = 50_000


class Place(msgspec.Struct, frozen=True):
    """A place where the log is not as signed. `signed` or `found` is None where there is nothing (commitments, 32 bytes)."""

    index: int | None
    signed: bytes | None
    found: bytes | None
    stream: str | None = None
    event_id: str | None = None
    on_its_way: bool = False
    """Not signed yet, and not due to be: of interest only where it turns out to be one that was signed elsewhere."""


class Settled(NamedTuple):
    """Leaves without an event that signed events account for."""

    gone: int
    """With accounts that are gone."""
    lost: int
    """When the database was put back."""


class DisplacementsState(msgspec.Struct, frozen=True, kw_only=True):
    """What was gathered, to be kept in a file: `beyond` counts places that were not kept, `missing` has the ranges of rows
    without an event, `signed` what was signed at the first of them."""

    places: list[Place]
    beyond: int
    missing: bytes
    signed: dict[int, bytes]


class Displacements:
    """Gathers the places of one log of `size` signed leaves. `begin` is what a verification that goes on had gathered."""

    def __init__(self, size: int, begin: DisplacementsState | None = None) -> None:
        self._size = size
        self.places: list[Place] = list(begin.places) if begin else []
        self.beyond = begin.beyond if begin else 0
        self._missing = GrowingRuns(begin.missing if begin else b"")
        self._signed = dict(begin.signed) if begin else {}  # of the first of these, what was signed there
        self._is_moved = self.beyond > 0 or any(place.found is not None for place in self.places)

    def state(self) -> DisplacementsState:
        """What was gathered so far."""
        return DisplacementsState(
            places=list(self.places), beyond=self.beyond, missing=self._missing.tobytes(), signed=dict(self._signed)
        )

    def any(self) -> bool:
        """Whether there is anything to explain."""
        return bool(self.places or self._missing)

    def is_moved(self) -> bool:
        """Whether an event stands where it was not signed, so far."""
        return self._is_moved

    def missing_runs(self) -> list[Run]:
        """The ranges of indices whose rows have no event."""
        return self._missing.runs()

    def add(self, place: Place) -> None:
        """Notes a place: a signed one with other or no contents, or contents at a place that was never signed."""
        self._is_moved = self._is_moved or place.found is not None
        if len(self.places) < MOST_PLACES:
            self.places.append(place)
        elif not place.on_its_way:
            self.beyond += 1

    def add_missing(self, index: int, signed: bytes) -> None:
        """Notes an index, higher than those before, whose row has no event: it may have gone with its account."""
        self._missing.add(index)
        if len(self._signed) < MOST_PLACES:
            self._signed[index] = signed

    def skip(self, count: int) -> None:
        """Notes so many places of which nothing is known but that no event stands there."""
        self.beyond += count

    def settle(self, gone: GoneNotes) -> Settled:
        """Takes out what went with accounts that are gone, or is lost; how many leaves that are. The others are places now."""
        runs = self.missing_runs()
        left = gone.unexplained(runs)
        for first, last in left:
            for index in range(first, last + 1):
                if index not in self._signed:
                    self.beyond += last - index + 1
                    break
                self.add(Place(index, self._signed[index], None))
        self._missing = GrowingRuns.of(left)
        lost = gone.lost_among(runs)
        return Settled(size_of(runs) - size_of(left) - lost, lost)

    def explain(self, findings: Findings) -> None:
        """Adds the findings that the places amount to."""
        signed_at = {place.signed: place.index for place in self.places if place.signed is not None}
        found_at = {place.found: place for place in self.places if place.found is not None}
        gone: list[Place] = []
        moved: list[tuple[int, int, Place]] = []  # where it stands, where it was signed
        for place in self.places:
            home = signed_at.get(place.found) if place.found is not None else None
            signed_is_elsewhere = place.signed in found_at
            if home is not None and place.index is not None:
                moved.append((place.index, home, place))
            if place.signed is not None and not signed_is_elsewhere:
                if place.found is not None and home is None:
                    self._add(findings, "changed", "the event that stands here is not the one that was signed", place)
                else:
                    gone.append(place)
            elif place.found is not None and home is None and not place.on_its_way:
                self._add(findings, "inserted", _INSERTED if place.index is not None else _UNINDEXED, place)
            elif place.found is not None and home is not None and place.index is None:
                text = f"its row in the log, at index {home}, is gone"
                findings.add("dropped", text, index=home, stream=place.stream, event_id=place.event_id)
        self._add_gone(findings, gone)
        self._add_moved(findings, moved)
        if self.beyond:
            findings.add("changed", f"and {self.beyond} more places are not as signed; too many to tell what happened there")

    def _add(self, findings: Findings, kind: Kind, text: str, place: Place) -> None:
        findings.add(kind, text, index=place.index, stream=place.stream, event_id=place.event_id)

    def _add_gone(self, findings: Findings, gone: list[Place]) -> None:
        """Events that are nowhere: at the very end of the log they were truncated, elsewhere dropped."""
        emptied = {place.index for place in gone if place.found is None}
        end = self._size
        while end - 1 in emptied:
            end -= 1
        if end < self._size:
            findings.add(
                "truncated", f"the log ends after {end} of {self._size} signed events; those from here on are gone", index=end
            )
        for place in gone:
            if place.index is not None and place.index < end:
                findings.add("dropped", "the event that was signed here is gone", index=place.index)

    def _add_moved(self, findings: Findings, moved: list[tuple[int, int, Place]]) -> None:
        homes = {index: home for index, home, _ in moved}
        rest: list[tuple[int, int, Place]] = []
        for index, home, place in moved:
            if homes.get(home) == index:
                if index < home:
                    self._add(findings, "swapped", f"the events at {index} and {home} were swapped", place)
            else:
                rest.append((index, home, place))
        for first, last, shift, place in _runs(rest):
            which = f"the event at {first} was" if first == last else f"the events at {first} to {last} were"
            text = f"{which} signed {abs(shift)} place(s) {'earlier' if shift < 0 else 'later'}"
            self._add(findings, "reordered", text, place)


def _runs(moved: list[tuple[int, int, Place]]) -> Iterator[tuple[int, int, int, Place]]:
    """Neighbours that moved by the same number of places: (first, last, places, the first one)."""
    run: tuple[int, int, int, Place] | None = None
    for index, home, place in sorted(moved, key=lambda one: one[0]):
        if run is not None and index == run[1] + 1 and home - index == run[2]:
            run = (run[0], index, run[2], run[3])
            continue
        if run is not None:
            yield run
        run = (index, index, home - index, place)
    if run is not None:
        yield run


_INSERTED = "this event was never signed here"
_UNINDEXED = "this event is in no log, and too old to be on its way into it"
