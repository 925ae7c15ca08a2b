"""Goes through a log's events in the order of their indices, each beside the entry that was signed at its place.

Events come from the database or from an export; entries from the tiles. An event that is the signed one goes on to its own
checks, everything else to the displacements, which say at the end what happened. Between two bundles of entries the walk is
at a boundary: what was gathered belongs together there, so that is where it may be noted, or stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from audit.displacements import Displacements, Place
from audit.event_checks import EventChecks, ExportedEvent
from audit.findings import Findings
from audit.log_rows import LogRow, id_text, parse_row
from audit.tile_check import SignedTree

AtBoundary = Callable[[int], object]
"""Is told the index up to which everything was gathered, between two bundles of entries. May raise to stop."""


class LogWalk:
    """One way through the signed part of a log, from the index `position` on (in the tree's next bundle)."""

    def __init__(
        self, tree: SignedTree, checks: EventChecks, displaced: Displacements, findings: Findings, at_boundary: AtBoundary,
        position: int = 0, checked: int = 0,
    ) -> None:  # fmt: skip
        self._tree = tree
        self._checks = checks
        self._displaced = displaced
        self._findings = findings
        self._at_boundary = at_boundary
        self._entries: list[bytes] = []
        self._base = tree.size
        self.position = position
        self.checked = checked

    def take(self, rows: list[bytes]) -> None:
        """Takes the next rows of the log, as the server sent them. Nearly all are plain; any other is looked at by itself."""
        done = 0
        while done < len(rows):
            signed = self._entries[self.position - self._base :]
            # a forged index may have led anywhere: where nothing is signed nothing is plain
            taken = self._checks.plain.take(rows[done:] if done else rows, signed, self.position) if signed else 0
            done += taken
            self.position += taken
            self.checked += taken
            if done < len(rows):
                self._take_row(parse_row(rows[done]))
                done += 1

    def _take_row(self, row: LogRow) -> None:
        at, salted = row.at, row.salted
        if at < self.position:
            text = "the log has this index twice"
            self._findings.add("changed", text, index=at, stream=row.stream_name, event_id=id_text(row.event_id))
            return
        signed = self._signed_at(at)
        if signed is None:
            signed = row.leaf  # where the tiles can't be read, that is a finding of its own
        if row.leaf != signed and (not salted or sha256(salted).digest() == signed):
            text = "the leaf in the log's row is not the one that was signed"
            self._findings.add("changed", text, index=at, stream=row.stream_name, event_id=id_text(row.event_id))
        if sha256(salted).digest() == signed:
            self._checks.check(row)
            self.checked += 1
        else:
            self.misplace(at, signed, salted, row.stream_name, id_text(row.event_id))
        self.position = at + 1

    def take_exported(self, event: ExportedEvent) -> None:
        """Takes the next event of an export."""
        signed = self._signed_at(event.at)
        found = sha256(event.salted).digest()
        if event.salted and (signed is None or found == signed):
            self._checks.check_exported(event)
            self.checked += 1
        else:
            self.misplace(event.at, signed, event.salted)
        self.position = event.at + 1

    def fits(self, event: ExportedEvent) -> bool:
        """Whether an event is the one that was signed at its place, which must be the next."""
        return self._signed_at(event.at) == sha256(event.salted).digest()

    def skip(self) -> None:
        """Passes over the next place, of which everything has been said."""
        self._signed_at(self.position)
        self.position += 1

    def misplace(
        self, at: int | None, signed: bytes | None, salted: bytes | memoryview, stream: str | None = None,
        event_id: str | None = None,
    ) -> None:  # fmt: skip
        """Notes an event that is not what was signed at its place, or has none (`at` is None), or is not there (no bytes)."""
        if not salted:
            if at is not None:
                self._displaced.add_missing(at, signed or b"")
            return
        self.checked += 1
        self._displaced.add(Place(at, signed, sha256(salted).digest(), stream, event_id))
        self._checks.note_unverified(salted)

    def pass_over(self, index: int) -> None:
        """Notes the indices before `index` that have no event."""
        while self.position < min(index, self._tree.published.size):
            if not self._tree.is_readable:
                self._displaced.skip(index - self.position)  # what was signed there nobody can say; there may be no end to it
                break
            self._displaced.add(Place(self.position, self._signed_at(self.position, passing=True) or b"", None))
            self.position += 1
        self.position = max(self.position, index)

    def finish(self) -> bool:
        """Notes what is missing at the end. True if the entries in the tiles are those that the published checkpoint signs."""
        self.pass_over(self._tree.published.size)
        while self._tree.next_entries():
            pass
        return self._tree.finish()

    def _signed_at(self, at: int, passing: bool = False) -> bytes | None:
        """The entry that was signed at a place; None where the tiles can't be read so far."""
        if at > self.position and not passing:
            self.pass_over(at)
        offset = at - self._base
        if offset < len(self._entries):
            return self._entries[offset]
        if self._entries:
            self._at_boundary(self.position)
            self._base += len(self._entries)
        self._entries = self._tree.next_entries()
        offset = at - self._base
        return self._entries[offset] if offset < len(self._entries) else None
