"""Verifies one service's event log (mission A2, A3): every event against the signed tree, nothing trusted but a checkpoint.

The auditor's role reads ciphertext and has no keys. Order of the work: the published checkpoint and the tiles; the rows of
the log in one snapshot, each with its event; streams; what is not signed yet; prunes and the cut journal. Memory does not
grow with the log (8 bytes for a cut key, 16 for a pruned part, 50,000 misplaced events at most). It changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from audit.displacements import Displacements, Place
from audit.event_checks import EventChecks, id_text
from audit.findings import Finding, Findings, Verdict
from audit.journal_check import compare_cuts, read_journal
from audit.reading import LogRow, auditor_connection, read_log, read_unlogged
from audit.tile_check import check_tiles, open_note_of, read_published
from shared import clock
from shared.checkpoint import Checkpoint
from shared.errors import LetheError, Tampered
from shared.events import decode_envelope
from shared.settings import Settings
from shared.tiles import TileReader, files_in

GRACE = timedelta(seconds=60)
"""How long a committed event, or a cut, may be on its way into the log, a checkpoint, the journal."""

Progress = Callable[[str, int, int], object]
"""Is told the step, and how much of how much of it is done."""

_STREAMS = """
SELECT index, stream, version, expected, event_id::text FROM (
    SELECT l.index, e.stream, e.version, e.event_id,
           COALESCE(lag(e.version) OVER of_stream, 0) + 1 AS expected,
           lag(l.index) OVER of_stream AS before
    FROM lethe.event e JOIN lethe.log l USING (sequence)
    WINDOW of_stream AS (PARTITION BY e.account_id, e.stream ORDER BY e.version)
) AS placed WHERE version <> expected OR index < before ORDER BY index LIMIT 1000
"""
_UNSIGNED = """
SELECT min(index), count(*), COALESCE(bool_or(indexed_at < clock_timestamp() - %s), false)
FROM lethe.log WHERE index >= %s
"""


def verify(settings: Settings, service: str, kept: bytes | None = None, progress: Progress = lambda *_: None) -> Verdict:
    """Checks the log of a service. `kept` is the note of a checkpoint that the auditor kept elsewhere.

    Everything that is not as it was signed becomes a finding. Raises `Unavailable` where the database can't be reached.
    """
    return _Verification(settings, service, kept, progress).run()


class _Verification:
    """One run over one log."""

    def __init__(self, settings: Settings, service: str, kept: bytes | None, progress: Progress) -> None:
        self._settings = settings
        self._service = service
        self._progress = progress
        self._findings = Findings()
        # the journal first: what it names was committed before, so the snapshot that is taken later has it
        self._journal = read_journal(settings, service, self._findings)
        self._published, _ = read_published(settings, service, self._findings)
        self._kept: Checkpoint | None = None
        if kept is not None:
            self._kept = open_note_of(settings, service, kept, "the checkpoint that was kept", self._findings)
        self._displaced = Displacements(self._published.size)
        self._checks = EventChecks(service, self._findings)
        self._entries: Iterator[bytes] = iter(())
        self._next = 0
        self._pending = 0
        self._checked = 0

    def run(self) -> Verdict:
        size, tiles = self._published.size, self._settings.path("tiles", self._service)
        good = check_tiles(
            tiles, self._published, self._kept, self._findings, lambda done, of: self._progress("tiles", done, of)
        )
        with auditor_connection(self._settings, self._service) as connection:
            self._entries = _entries(tiles, size)
            read_log(connection, self._take, end=size)
            self._pass_over(size)
            self._check_streams(connection)
            self._check_unsigned(connection)
            read_unlogged(connection, self._take_unlogged)
        self._displaced.explain(self._findings)
        self._checks.report_unexplained()
        if self._journal is not None:
            compare_cuts(self._journal, self._checks.cuts, GRACE, self._findings)
        return self._verdict(good)

    def _verdict(self, tiles_are_good: bool) -> Verdict:
        if not tiles_are_good and not self._findings.kept:
            self._findings.add("forked", "the tiles are not those of the published checkpoint")
        return Verdict(
            service=self._service, origin=self._published.origin, size=self._published.size,
            root=self._published.root.hex(), kept_size=self._kept.size if self._kept else None, checked=self._checked,
            pruned=self._checks.pruned, pending=self._pending, findings=self._findings.in_order(),
            left_out=self._findings.left_out,
        )  # fmt: skip

    # -- the signed part of the log

    def _take(self, rows: list[LogRow]) -> None:
        for row in rows:
            if row.at < self._next:
                self._add_changed(row, "the log has this index twice")
                continue
            self._pass_over(row.at)
            self._next = row.at + 1
            self._compare(row, next(self._entries, None))
        self._progress("events", self._next, self._published.size)

    def _compare(self, row: LogRow, entry: bytes | None) -> None:
        signed = row.leaf if entry is None else entry  # where the tiles can't be read, that is a finding of its own
        if not row.salted:
            self._displaced.add(Place(row.at, signed, None))
            return
        self._checked += 1
        found = sha256(row.salted).digest()
        if found == signed:
            if row.leaf != signed:
                self._add_changed(row, "the leaf in the log's row is not the one that was signed")
            self._checks.check(row)
        else:
            self._displaced.add(Place(row.at, signed, found, row.stream, id_text(row.event_id)))
            self._note_unverified(row)

    def _pass_over(self, index: int) -> None:
        """Notes the indices before `index` that have no row."""
        while self._next < index:
            entry = next(self._entries, None)
            self._displaced.add(Place(self._next, entry or b"", None))
            self._next += 1

    def _check_streams(self, connection: Any) -> None:
        """Each stream's versions follow one another, without a hole, in the order of the log."""
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on; SET LOCAL enable_sort = on")
            cursor.execute(_STREAMS)
            for index, stream, version, expected, event_id in cursor.fetchall():
                text = (
                    f"version {version} of the stream stands where {expected} is due"
                    if version != expected
                    else f"version {version} of the stream stands before version {version - 1}"
                )
                self._findings.add("reordered", text, index=index, stream=stream, event_id=event_id)

    # -- what no checkpoint covers yet

    def _check_unsigned(self, connection: Any) -> None:
        size = self._published.size
        with connection.cursor() as cursor:
            cursor.execute(_UNSIGNED, (GRACE, size))
            first, count, overdue = cursor.fetchone()
        if not count:
            return
        if overdue:
            text = (
                f"{count} row(s) of the log are not signed, the first since more than {GRACE.seconds} s: inserted, or the"
                " relay does not run, or an older checkpoint was put in the place of the newest"
            )
            self._findings.add("inserted", text, index=first)
        self._pending += count
        read_log(connection, self._take_unsigned, start=size)

    def _take_unsigned(self, rows: list[LogRow]) -> None:
        for row in rows:
            if not row.salted:
                self._findings.add("dropped", "the event of this row is gone", index=row.at)
            elif sha256(row.salted).digest() != row.leaf:
                self._add_changed(row, "the event is not the one whose leaf is in the log")
            else:
                self._checks.check(row)
                self._add_on_its_way(row, row.at)

    def _take_unlogged(self, rows: list[LogRow]) -> None:
        now = clock.now().timestamp()
        for row in rows:
            if abs(now - row.occurred_at / 1e6) <= GRACE.total_seconds():
                self._pending += 1
                self._note_unverified(row)
                self._add_on_its_way(row, None)
            else:
                found = sha256(row.salted).digest()
                self._displaced.add(Place(None, None, found, row.stream, id_text(row.event_id)))

    # --

    def _add_on_its_way(self, row: LogRow, index: int | None) -> None:
        """Where signed events are missing, what is not signed yet may be one of them, moved or without its row."""
        if self._displaced.any:
            found = sha256(row.salted).digest()
            self._displaced.add(Place(index, None, found, row.stream, id_text(row.event_id), on_its_way=True))

    def _note_unverified(self, row: LogRow) -> None:
        """A cut that stands at another place than it was signed at, or on its way into the log, still explains a prune."""
        try:
            self._checks.note(decode_envelope(row.envelope))
        except Tampered:
            pass

    def _add_changed(self, row: LogRow, text: str) -> None:
        self._findings.add("changed", text, index=row.at, stream=row.stream, event_id=id_text(row.event_id))


def _entries(tiles: Path, size: int) -> Iterator[bytes]:
    """The entries in the tiles, as far as they can be read."""
    try:
        yield from TileReader(files_in(tiles), size).entries()
    except LetheError:
        return  # `check_tiles` has said so


__all__ = ["GRACE", "Finding", "Progress", "Verdict", "verify"]
