"""Writes an audit export: a folder with all that is needed to verify the logs elsewhere, without a server and without a key.

As the auditor, who sees no key: events as they stand, tiles and checkpoint as they were published, the cut journal, the public
keys. It verifies nothing; `verify_offline.py` does. It is written beside the folder, synced, and given its name at the end, so
an export that was interrupted is none. Memory does not grow with the logs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from audit.cut_notes import CutNotes
from audit.exported import (
    CHECKPOINT,
    EVENTS,
    JOURNAL,
    MANIFEST,
    VERIFIERS,
    ExportedLog,
    ExportManifest,
    encode_gone,
    encode_line,
)  # fmt: skip
from audit.findings import Findings
from audit.gone_notes import GoneNotes, GrowingRuns
from audit.journal_check import await_cuts, known_to_log, read_journal
from audit.log_agreement import reading_order
from audit.log_rows import LogRow
from audit.public_log import PublicLog
from audit.reading import auditor_connection, read_log
from audit.report import write_report
from shared import clock
from shared.durable_files import sync_folders
from shared.errors import Refused, Tampered
from shared.events import decode_envelope
from shared.settings import SERVICES, Settings
from shared.tiles import ENTRIES, TILE_HEIGHT, TILE_WIDTH, TileReader, encode_bundle, files_in, tile_path, tile_width

Progress = Callable[[str, str, int, int], object]
"""Is told the service, the step, and how much of how much of it is done."""

PATIENCE_SECONDS = 10.0
"""How long to wait for a checkpoint, and for the cut journal, to have what the log says already."""
_LOOK_AGAIN_SECONDS = 0.1
_PUBLIC_KEYS = ("log-*.vkey", "journal-*.key", "certificate.*")


def export(
    settings: Settings, folder: Path, progress: Progress = lambda *_: None, services: Sequence[str] = SERVICES
) -> ExportManifest:
    """Writes the export of the logs of a stack into `folder`, which must not be there yet (or be empty).

    Each log is as of its published checkpoint. Raises `Refused` where the folder is not empty, `Tampered` where a checkpoint is
    not signed by its log's key or the tiles do not reach as far as it, `Unavailable` where a database can't be reached.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused("the folder is not empty: an export goes into one of its own", folder=str(folder))
    with _beside(folder) as made:
        (made / VERIFIERS).mkdir()
        for path in sorted(one for pattern in _PUBLIC_KEYS for one in settings.path("verifiers").glob(pattern)):
            _write(made / VERIFIERS / path.name, path.read_bytes())
        taken_at = clock.now()
        logs = {service: _export_log(settings, service, made / service, progress) for service in reading_order(services)}
        manifest = ExportManifest(cell=settings.cell, taken_at=taken_at, services=logs)
        _write(made / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        write_report(made)
    return manifest


def _export_log(settings: Settings, service: str, made: Path, progress: Progress) -> ExportedLog:
    made.mkdir()
    log = PublicLog.of(settings, service)
    until, is_second = time.monotonic() + PATIENCE_SECONDS, False
    while True:
        findings = Findings()
        published, note = log.published(findings)
        if findings.kept:
            raise Tampered(findings.kept[0].text, service=service)
        with _new_file(made / EVENTS) as file, auditor_connection(settings, service) as connection:
            events = _Events(file, lambda done: progress(service, "events", done, published.size))  # noqa: B023
            read_log(connection, events.take, end=published.size)
        if not events.gone.unexplained(events.missing.runs()) or (is_second and time.monotonic() > until):
            break
        is_second = True
        # an account has ended since the checkpoint was signed: the next one covers the event that names its leaves
        (made / EVENTS).unlink()
        time.sleep(_LOOK_AGAIN_SECONDS)
    if note is not None:
        _write(made / CHECKPOINT, note)
    _copy_tiles(TileReader(files_in(log.tiles), published.size), made, lambda done, of: progress(service, "tiles", done, of))
    _copy_journal(log, made, events.cuts, events.gone.accounts)
    return ExportedLog(
        origin=published.origin, size=published.size, root=published.root.hex(), events=events.count,
        sha256=events.digest.hexdigest(),
    )  # fmt: skip


class _Events:
    """The lines of one log on their way into a file, and what its events say of cuts and of accounts that are gone."""

    def __init__(self, file: BinaryIO, progress: Callable[[int], object]) -> None:
        self._file = file
        self._progress = progress
        self.digest = hashlib.sha256()
        self.count = 0
        self.missing = GrowingRuns()
        self.cuts, self.gone = CutNotes(), GoneNotes()

    def take(self, rows: list[LogRow]) -> None:
        """Writes the lines of the next rows of the log."""
        lines = b"".join(
            encode_line(row.at, bytes(row.salted), row.sealed) if row.salted else encode_gone(row.at) for row in rows
        )
        self._file.write(lines)
        self.digest.update(lines)
        self.count += len(rows)
        for row in rows:
            if not row.salted:
                self.missing.add(row.at)
            elif b'"keys":[' in row.envelope or b'"ranges":[' in row.envelope:
                self._note(row)
        self._progress(rows[-1].at + 1)

    def _note(self, row: LogRow) -> None:
        try:
            envelope = decode_envelope(row.envelope)
        except Tampered:
            return  # it is exported as it stands; who verifies finds it
        self.cuts.note(envelope, row.at)
        self.gone.note(envelope, row.at)


def _copy_journal(log: PublicLog, made: Path, cuts: CutNotes, gone: Collection[str]) -> None:
    """The journal, up to where the exported log knows its cuts. Taken last, so that it has them all: a cut whose event is in
    the log is noted in the journal a moment later, and that moment is waited for."""
    entries = read_journal(log, Findings())
    if entries is not None:
        entries = await_cuts(log, entries, cuts, gone, PATIENCE_SECONDS)
    octets = log.journal.read_bytes() if log.journal.exists() else b""
    lines = octets[: octets.rfind(b"\n") + 1].splitlines(keepends=True)  # a line that is being written is not there yet
    known = len(lines) if entries is None else known_to_log(entries, cuts, gone)
    if known:
        _write(made / JOURNAL, b"".join(lines[:known]))


def _copy_tiles(reader: TileReader, made: Path, progress: Callable[[int, int], object]) -> None:
    """The tiles of the log at its size, no more: a log that goes on meanwhile has others beside them."""
    bundles = -(-reader.size // TILE_WIDTH)
    for number in range(bundles):
        width = tile_width(ENTRIES, number, reader.size)
        _write_tile(made / tile_path(ENTRIES, number, width), encode_bundle(reader.bundle(number)))
        progress(number + 1, bundles)
    level = 0
    while hashes := reader.size >> (TILE_HEIGHT * level):
        for number in range(-(-hashes // TILE_WIDTH)):
            width = tile_width(level, number, reader.size)
            _write_tile(made / tile_path(level, number, width), b"".join(reader.tile(level, number)))
        level += 1


def _write_tile(path: Path, octets: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(octets)


def _write(path: Path, octets: bytes) -> None:
    with _new_file(path) as file:
        file.write(octets)


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that is on the disk when the block ends."""
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A folder beside `folder`, for its owner only, which gets its name when the block has ended well, and goes otherwise."""
    folder = folder.absolute()
    parent = folder.parent
    if not parent.is_dir():
        raise Refused("the folder that it is to go into is not there", folder=str(parent))
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=parent))
    try:
        yield made
        sync_folders([made])
        os.rename(made, folder)  # takes the place of an empty folder, and of nothing else
        sync_folders([parent])
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
