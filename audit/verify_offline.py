"""Verifies an audit export: the checks of `verify.py` as far as they can be made without rows, database, network and keys.

Leaf from salt and envelope, canonical form, tree, kept checkpoint, streams, prunes explained, cut journal, manifest. Not what
an export does not have: the query columns, and the digests of sealed parts. What a folder says is believed of nothing but its
signatures, and of these only as far as the verifier keys are the right ones: see `keys`. It reads the folder and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

from audit.checkpoints import KeptCheckpoints
from audit.displacements import Displacements, Settled
from audit.event_checks import EventChecks, ExportedEvent
from audit.exported import EVENTS, VERIFIERS, ExportedLog, ExportManifest, decode_line, read_manifest
from audit.findings import Findings, Verdict
from audit.journal_check import compare_cuts, read_journal
from audit.log_agreement import compared
from audit.log_rows import SALT_BYTES
from audit.log_walk import LogWalk
from audit.public_log import PublicLog
from audit.tile_check import Known, SignedTree
from shared.errors import InvalidArgument, Tampered
from shared.events import decode_envelope
from shared.settings import SERVICES
from shared.tiles import NO_FILE, files_in

MOST_LINE_BYTES = 16_000_000
"""A line of `events.jsonl` is no longer: what an event may hold is far below."""

Progress = Callable[[str, int, int], object]
"""Is told the service, and how many events of how many are done."""


def verify_offline(
    folder: Path,
    kept: KeptCheckpoints | None = None,
    keys: Path | None = None,
    services: Sequence[str] = (),
    progress: Progress = lambda *_: None,
) -> list[Verdict]:
    """Checks the logs in an export; `kept` are checkpoints that the auditor kept elsewhere, `services` which logs (all).

    `keys`: a folder with verifier keys that came by another way than the export; those in the export are its own word.
    Raises `InvalidArgument` where the folder is no export, `Tampered` where its manifest can't be read.
    """
    manifest = read_manifest(folder)
    if keys is not None and not keys.is_dir():
        raise InvalidArgument(field="keys", rule="must be a folder with verifier keys")
    names = services or tuple(dict.fromkeys((*SERVICES, *sorted(manifest.services))))
    return compared([_Offline(folder, manifest, name, kept, keys or folder / VERIFIERS, progress).run() for name in names])


class _Line(NamedTuple):
    """A line of the file of events, numbered from 0; `event` is None where it can't be read."""

    number: int
    event: ExportedEvent | None


class _Offline:
    """One run over one log of an export."""

    def __init__(
        self, folder: Path, manifest: ExportManifest, service: str, kept: KeptCheckpoints | None, keys: Path,
        progress: Progress,
    ) -> None:  # fmt: skip
        self._manifest = manifest
        self._service = service
        self._progress = progress
        self._log = PublicLog(service, f"{manifest.cell}/{service}", folder / service, keys)
        self._findings = Findings()
        self._journal = read_journal(self._log, self._findings)
        before = len(self._findings.kept)
        self._published, _ = self._log.published(self._findings)
        self._is_signed = len(self._findings.kept) == before
        note = kept.note(service) if kept else None
        which = "the checkpoint that was kept"
        self._kept = None if note is None else self._log.open_note(note, which, self._findings)
        known = [Known(self._kept)] if self._kept else []
        self._tree = SignedTree(files_in(self._log.tiles), self._published, known, self._findings)
        self._displaced = Displacements(self._published.size)
        self._checks = EventChecks(service, self._findings, self._displaced.is_moved)
        self._walk = LogWalk(self._tree, self._checks, self._displaced, self._findings, self._at_boundary)
        self._digest = hashlib.sha256()
        self._lines = 0
        self._settled = Settled(0, 0)

    def run(self) -> Verdict:
        if self._is_signed:
            self._check()
        return Verdict(
            service=self._service, origin=self._published.origin, size=self._published.size, root=self._published.root.hex(),
            kept_size=self._kept.size if self._kept else None, checked=self._walk.checked, pruned=self._checks.pruned,
            gone=self._settled.gone, lost=self._settled.lost, pending=0, findings=self._findings.in_order(),
            told=self._checks.told(), left_out=self._findings.left_out,
        )  # fmt: skip

    def _check(self) -> None:
        """All that hangs on the checkpoint; under one that does not hold each event would be a finding, and say nothing."""
        try:
            with (self._log.tiles / EVENTS).open("rb") as file:
                self._read(file)
        except NO_FILE:
            self._findings.add("dropped", f"{self._service}/{EVENTS} is not in the export")
        good = self._walk.finish()
        self._checks.accept(place.signed for place in self._displaced.places if place.signed)
        self._settled = self._displaced.settle(self._checks.gone)
        self._displaced.explain(self._findings)
        self._checks.report(self._displaced.missing_runs())
        if self._journal is not None:
            compare_cuts(self._journal, self._checks.cuts, self._checks.gone.accounts, self._findings)
        self._compare_manifest()
        if not good and not self._findings.kept:
            self._findings.add("forked", "the tiles are not those of the published checkpoint")
        self._name_findings()

    def _at_boundary(self, position: int) -> None:
        self._progress(self._service, position, self._published.size)

    def _name_findings(self) -> None:
        """Reads once more which events stand where something was found. They are not believed: it is where to look."""
        unnamed = self._findings.unnamed()
        found: dict[int, tuple[str, str]] = {}
        try:
            with (self._log.tiles / EVENTS).open("rb") as file:
                for line in self._read_lines(file) if unnamed else ():
                    if line.event is not None and line.event.at in unnamed:
                        with suppress(Tampered):
                            envelope = decode_envelope(line.event.salted[SALT_BYTES:])
                            found[line.event.at] = envelope.stream, envelope.event
        except NO_FILE:
            pass  # the findings stand without
        self._findings.name(found)

    def _compare_manifest(self) -> None:
        said = self._manifest.services.get(self._service)
        if said is None:
            self._findings.add("dropped", "the manifest names no log of this service")
            return
        found = ExportedLog(
            origin=self._published.origin, size=self._published.size, root=self._published.root.hex(), events=self._lines,
            sha256=self._digest.hexdigest(),
        )  # fmt: skip
        wrong = [name for name in ExportedLog.__struct_fields__ if getattr(said, name) != getattr(found, name)]
        if wrong:
            self._findings.add("changed", f"the manifest says something else of: {', '.join(wrong)}")

    # -- events

    def _read(self, file: BinaryIO) -> None:
        """Each line at its place: that of its index where the lines go on from there, else that of its number.

        So a line that was taken out, put in or moved shows as that, and does not make all later ones look moved.
        """
        size = self._published.size
        line: _Line | None = None
        for following in chain(self._read_lines(file), (None,)):
            if line is not None:
                self._take(line, following, size)
            line = following

    def _take(self, line: _Line, following: _Line | None, size: int) -> None:
        place, event = self._walk.position, line.event
        after = following.event.at if following is not None and following.event is not None else None
        if place >= size:
            self._put_aside(line)
        elif event is None:
            if after == place:
                self._put_aside(line)
                return
            self._findings.add("changed", f"line {line.number + 1} of {EVENTS} can't be read", index=place)
            self._walk.skip()
        elif event.at == place:
            if after == place and not self._walk.fits(event):  # of two lines of one index, this one was put in
                self._put_aside(line)
            else:
                self._walk.take_exported(event)
        elif event.at < place and after == place:
            self._put_aside(line)  # what stood there was there already
        elif place < event.at < size and after in (event.at + 1, None):
            self._walk.take_exported(event)  # the lines between are missing
        else:
            text = f"line {line.number + 1} of {EVENTS} calls itself event {event.at}, and stands in the place of {place}"
            self._findings.add("reordered", text, index=place)
            self._walk.take_exported(event._replace(at=place))

    def _put_aside(self, line: _Line) -> None:
        """A line that has no place in the log."""
        if line.event is None:
            self._findings.add("inserted", f"line {line.number + 1} of {EVENTS} is one too many, and can't be read")
        else:
            text = f"line {line.number + 1} of {EVENTS} is one too many: it stands at no place of the log"
            self._findings.add("inserted", text, index=line.event.at)
            self._checks.note_unverified(line.event.salted)

    def _read_lines(self, file: BinaryIO) -> Iterator[_Line]:
        while raw := file.readline(MOST_LINE_BYTES + 1):
            self._digest.update(raw)
            try:
                if len(raw) > MOST_LINE_BYTES:
                    raise Tampered("the line is too long")
                yield _Line(self._lines, decode_line(raw))
            except Tampered:
                yield _Line(self._lines, None)
            self._lines += 1
