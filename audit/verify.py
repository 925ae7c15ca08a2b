"""Verifies one service's event log (mission A2, A3): every event against the signed tree, nothing trusted but a checkpoint.

The auditor's role reads ciphertext and has no keys. Order of the work: the published checkpoint; the rows of the log in one
snapshot, each with its event and beside the entry in the tiles; what is not signed yet; prunes, the cut journal, and the
suppression lists beside it. Memory grows by about 200 bytes a stream, 16 a cut key, 32 a pruned part, and holds 50,000
misplaced events at most. It changes nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from audit.displacements import Displacements, Place
from audit.event_checks import EventChecks
from audit.findings import Finding, Findings, Verdict
from audit.journal_check import GRACE, await_cuts, check_suppression_lists, compare_cuts, read_journal
from audit.log_rows import LogRow, id_text
from audit.log_walk import LogWalk
from audit.public_log import PublicLog
from audit.reading import auditor_connection, read_log, read_rows, read_unlogged
from audit.tile_check import Known, SignedTree, TreePosition, position_before
from audit.verification_state import FEWEST_EVENTS_IN_A_STEP, STEPS, LogState
from shared import clock, merkle
from shared.checkpoint import Checkpoint
from shared.errors import LetheError, Unavailable
from shared.settings import Settings
from shared.suppression_files import ERASURE
from shared.tiles import TileReader, files_in

Progress = Callable[[str, int, int], object]
"""Is told the step, and how much of how much of it is done. It may raise `KeyboardInterrupt` to stop: then, and only then, the
state of the verification is kept as it stands."""

SIGNED_WITHIN_SECONDS = 10.0
"""How long to wait for the signature of what came while the log was read, and for its entry in the cut journal, where the
verdict hangs on it. Both are there in a tenth of a second where the relay and the service run."""

_UNSIGNED = """
SELECT min(index), max(index), count(*),
       bool_or(indexed_at IS NULL OR indexed_at NOT BETWEEN clock_timestamp() - %(grace)s AND clock_timestamp() + %(grace)s)
FROM lethe.log WHERE index >= %(size)s
"""
_BELOW_THE_FIRST = "SELECT index FROM lethe.log WHERE index < 0 ORDER BY index"
_STANDS_AT = """
SELECT l.index, e.stream, e.event_id FROM lethe.log l JOIN lethe.event e ON e.sequence = l.sequence
WHERE l.index = ANY (%s::bigint[])
"""
_LOOK_AGAIN_SECONDS = 0.1


def verify(
    settings: Settings,
    service: str,
    kept: bytes | None = None,
    progress: Progress = lambda *_: None,
    *,
    since: bool = False,
    state: LogState | None = None,
    save: Callable[[LogState], object] | None = None,
    patience_seconds: float = SIGNED_WITHIN_SECONDS,
) -> Verdict:
    """Checks the log of a service. `kept` is the note of a checkpoint that the auditor kept elsewhere.

    `since`: only what came after the kept checkpoint; that the log extends it is shown by hashes, and no event before it is
    looked at. `state` is where an earlier run stopped; `save` is given such states on the way, and at an interruption.
    Everything that is not as it was signed becomes a finding. A part that is pruned because of an event that is not signed yet
    is explained once that is signed; so long it is waited for. Raises `Unavailable` where the database can't be reached.
    """
    return _Verification(settings, service, kept, progress, since, state, save, patience_seconds).run()


class _Verification:
    """One run over one log."""

    def __init__(
        self, settings: Settings, service: str, kept: bytes | None, progress: Progress, since: bool, state: LogState | None,
        save: Callable[[LogState], object] | None, patience_seconds: float,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._service = service
        self._progress = progress
        self._save = save
        self._patience_seconds = patience_seconds
        self._log = PublicLog.of(settings, service)
        self._findings = Findings()
        # the journal first: what it names was committed before, so the snapshot that is taken later has it
        self._journal = read_journal(self._log, self._findings)
        self._published, note = self._log.published(self._findings)
        self._kept = self._open(kept, "the checkpoint that was kept")
        self._notes = [*(state.notes if state else ()), *([note] if note else ())]
        known = [Known(self._kept)] if self._kept else []
        for earlier in dict.fromkeys(state.notes if state else ()):
            name = "the checkpoint under which this verification began"
            checkpoint = self._open(earlier, name)
            known += [Known(checkpoint, name)] if checkpoint else []
        self._begun = state.position if state else 0
        self._since = min(self._kept.size, self._published.size) if since and self._kept else 0
        position, tree = max(self._begun, self._since), state.tree if state else None
        if state is None and self._since:
            position, tree = self._after_kept()
        self._tree = SignedTree(files_in(self._log.tiles), self._published, known, self._findings, tree)
        self._displaced = Displacements(self._published.size, state.displaced if state else None)
        self._checks = EventChecks(
            service, self._findings, self._displaced.is_moved, bool(self._since), state.checks if state else None
        )
        self._walk = LogWalk(
            self._tree, self._checks, self._displaced, self._findings, self._at_boundary, position,
            state.checked if state else 0,
        )  # fmt: skip
        self._saved_at = position
        self._pending = 0
        self._missing_unsigned: list[int] = []
        self._found_here = Counter(self._findings.counts)  # found again by a run that goes on, so it is not kept for it
        self._first_kept = len(self._findings.kept)
        if state:
            self._findings.extend(state.findings, state.counts)

    def run(self) -> Verdict:
        size = self._published.size
        with auditor_connection(self._settings, self._service) as connection:
            read_rows(connection, self._walk.take, start=self._walk.position, end=size)
            good = self._walk.finish()
            self._check_unsigned(connection)
            read_unlogged(connection, self._take_unlogged)
        self._checks.accept(place.signed for place in self._displaced.places if place.signed)
        missing = [*self._displaced.missing_runs(), *((at, at) for at in self._missing_unsigned)]
        if awaited := self._checks.awaited(missing):
            self._checks.accept(self._signed_since(awaited))
        gone, lost = self._displaced.settle(self._checks.gone)
        for at, _ in self._checks.gone.unexplained((at, at) for at in self._missing_unsigned):
            self._findings.add("dropped", "the event of this row is gone", index=at)
        self._displaced.explain(self._findings)
        self._checks.report(self._displaced.missing_runs())
        if self._journal is not None:
            journal = await_cuts(
                self._log, self._journal, self._checks.cuts, self._checks.gone.accounts, self._patience_seconds
            )
            compare_cuts(journal, self._checks.cuts, self._checks.gone.accounts, self._findings, partial=bool(self._since))
            if self._service == ERASURE:
                check_suppression_lists(self._settings, self._log, journal, self._checks.gone.accounts, self._findings)
        if not good and not self._findings.kept:
            self._findings.add("forked", "the tiles are not those of the published checkpoint")
        self._name_findings()
        return Verdict(
            service=self._service, origin=self._published.origin, size=size, root=self._published.root.hex(),
            kept_size=self._kept.size if self._kept else None, since=self._since, resumed_at=self._begun,
            checked=self._walk.checked, pruned=self._checks.pruned, gone=gone, lost=lost, pending=self._pending,
            findings=self._findings.in_order(), told=self._checks.told(),
            left_out=self._findings.left_out,
        )  # fmt: skip

    # -- where it begins, and where it may stop

    def _open(self, note: bytes | None, which: str) -> Checkpoint | None:
        return None if note is None else self._log.open_note(note, which, self._findings)

    def _after_kept(self) -> tuple[int, TreePosition | None]:
        """Where the events after the kept checkpoint begin; the very beginning where the tiles before it can't be read."""
        try:
            return self._since, position_before(files_in(self._log.tiles), self._published.size, self._since)
        except LetheError as error:
            text = f"the tiles before the checkpoint that was kept can't be read: {error.message}, {error.details.get('path')}"
            self._findings.add("truncated", text)
            self._since = 0
            return 0, None

    def _at_boundary(self, position: int) -> None:
        size = self._published.size
        try:
            self._progress("events", position, size)
        except KeyboardInterrupt:
            self._keep_state(position)
            raise
        if position - self._saved_at >= max(size // STEPS, FEWEST_EVENTS_IN_A_STEP):
            self._keep_state(position)

    def _keep_state(self, position: int) -> None:
        self._saved_at = position
        if self._save is None:
            return
        self._save(
            LogState(
                service=self._service, position=position, notes=self._notes, tree=self._tree.position(),
                checks=self._checks.state(), displaced=self._displaced.state(),
                findings=self._findings.kept[self._first_kept :], counts=self._findings.counts - self._found_here,
                checked=self._walk.checked,
            )
        )  # fmt: skip

    def _name_findings(self) -> None:
        """Looks up which events stand where something was found. They are not believed: it is where to look."""
        unnamed = self._findings.unnamed()
        if not unnamed:
            return
        try:
            with auditor_connection(self._settings, self._service) as connection, connection.cursor() as cursor:
                cursor.execute(_STANDS_AT, (sorted(unnamed),))
                self._findings.name({index: (str(stream), str(event)) for index, stream, event in cursor.fetchall()})
        except Unavailable:
            pass  # the findings stand without

    # -- what no checkpoint covers yet

    def _check_unsigned(self, connection: Any) -> None:
        size = self._published.size
        with connection.cursor() as cursor:
            cursor.execute(_BELOW_THE_FIRST)
            for (index,) in cursor.fetchall():
                self._findings.add("inserted", "a row of the log stands before the first event", index=index)
            cursor.execute(_UNSIGNED, {"grace": GRACE, "size": size})
            first, last, count, overdue = cursor.fetchone()
        if not count:
            return
        if (first, last) != (size, size + count - 1):
            text = f"the {count} row(s) of the log that are not signed do not follow on the signed ones, one after another"
            self._findings.add("inserted", text, index=first)
        elif overdue:
            text = (
                f"{count} row(s) of the log are not signed, and not all were indexed within {GRACE.seconds} s: inserted, or the"
                " relay does not run, or an older checkpoint was put in the place of the newest"
            )
            self._findings.add("inserted", text, index=first)
        self._pending += count
        read_log(connection, self._take_unsigned, start=size)

    def _take_unsigned(self, rows: list[LogRow]) -> None:
        for row in rows:
            found = sha256(row.salted).digest()
            if not row.salted:
                self._missing_unsigned.append(row.at)
            elif found != row.leaf:
                text = "the event is not the one whose leaf is in the log"
                self._findings.add("changed", text, index=row.at, stream=row.stream_name, event_id=id_text(row.event_id))
            else:
                self._checks.check(row, waits_as=found)
                self._add_on_its_way(row, row.at, found)

    def _take_unlogged(self, rows: list[LogRow]) -> None:
        now = clock.now().timestamp()
        for row in rows:
            found = sha256(row.salted).digest()
            if abs(now - row.occurred_at / 1e6) <= GRACE.total_seconds():
                self._pending += 1
                self._checks.check(row, waits_as=found)
                self._add_on_its_way(row, None, found)
            else:
                self._displaced.add(Place(None, None, found, row.stream_name, id_text(row.event_id)))

    def _signed_since(self, wanted: set[bytes]) -> set[bytes]:
        """Which of these commitments a checkpoint signs that extends the published one: looked for until all are, or for as
        long as there is patience."""
        until = time.monotonic() + self._patience_seconds
        signed: set[bytes] = set()
        while True:
            newest, _ = self._log.published(Findings())
            if newest.size > self._published.size:
                signed = self._extending(newest, wanted)
            if signed >= wanted or time.monotonic() >= until:
                return signed
            time.sleep(_LOOK_AGAIN_SECONDS)

    def _extending(self, newest: Checkpoint, wanted: set[bytes]) -> set[bytes]:
        """Which of these commitments are among what `newest` signs beyond the published checkpoint. None where it is no
        extension of that."""
        reader, before = TileReader(files_in(self._log.tiles), newest.size), self._published
        try:
            proof = reader.consistency_proof(before.size)
            merkle.verify_consistency(before.size, newest.size, before.root, newest.root, proof)
            found = set()
            for index, entry in enumerate(reader.entries(before.size), start=before.size):
                if entry in wanted:
                    proof = reader.inclusion_proof(index)
                    merkle.verify_inclusion(index, newest.size, merkle.leaf_hash(entry), proof, newest.root)
                    found.add(entry)
            return found
        except LetheError:
            return set()

    def _add_on_its_way(self, row: LogRow, index: int | None, found: bytes) -> None:
        """Where signed events are missing, what is not signed yet may be one of them, moved or without its row."""
        if self._displaced.any():
            self._displaced.add(Place(index, None, found, row.stream_name, id_text(row.event_id), on_its_way=True))


__all__ = ["GRACE", "Finding", "Progress", "Verdict", "verify"]
