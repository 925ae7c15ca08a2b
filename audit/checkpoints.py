"""The checkpoints of all services in one file, to be kept where nobody who can write to the stack can reach (mission A2).

Each is the log's own signed note, unchanged; the file adds nothing to be trusted, only which note is whose.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec

from audit.findings import Findings
from audit.public_log import read_published
from shared import clock
from shared.checkpoint import parse_checkpoint
from shared.errors import InvalidArgument, Tampered
from shared.events import UNREADABLE
from shared.personal import NotPersonal
from shared.settings import SERVICES, Settings
from shared.tiles import NO_FILE

FORM = "lethe checkpoints 1"


class KeptCheckpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Checkpoints as they were at a time: the signed note of each service that had one."""

    form: Annotated[str, NotPersonal("the name of this form")] = FORM
    cell: Annotated[str, NotPersonal("the name of a cell")]
    taken_at: datetime
    notes: Annotated[dict[str, str], NotPersonal("signed checkpoints by service")]

    def note(self, service: str) -> bytes | None:
        """The note of a service; None where its log was empty."""
        text = self.notes.get(service)
        return None if text is None else text.encode()


def take_checkpoints(settings: Settings, services: Sequence[str] = SERVICES) -> KeptCheckpoints:
    """The published checkpoints, each with its signature checked. Raises `Tampered`: what does not hold is not kept."""
    notes: dict[str, str] = {}
    for service in services:
        findings = Findings()
        _, note = read_published(settings, service, findings)
        if findings.kept:
            raise Tampered(findings.kept[0].text, service=service)
        if note is not None:
            notes[service] = note.decode()
    return KeptCheckpoints(cell=settings.cell, taken_at=clock.now(), notes=notes)


def write_checkpoints(kept: KeptCheckpoints) -> bytes:
    """The file's bytes: JSON."""
    return msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n"


def read_checkpoints(path: Path, field: str = "checkpoint") -> KeptCheckpoints:
    """Reads such a file, or one log's own signed checkpoint, as it is published. Raises `InvalidArgument`, which names the
    argument `field`; whether the notes hold is for `verify` to say."""
    try:
        octets = path.read_bytes()
    except NO_FILE:
        raise InvalidArgument(field=field, rule="there is no such file") from None
    try:
        if not octets.lstrip().startswith(b"{"):
            return _of_one_log(octets.decode(), datetime.fromtimestamp(path.stat().st_mtime, UTC))
        kept = msgspec.json.decode(octets, type=KeptCheckpoints)
    except (*UNREADABLE, Tampered):
        rule = "must be a file that `lethe audit checkpoint` wrote, or the checkpoint of a log"
        raise InvalidArgument(field=field, rule=rule) from None
    if kept.form != FORM:
        raise InvalidArgument(field=field, rule=f"must have the form {FORM!r}")
    return kept


def _of_one_log(note: str, taken_at: datetime) -> KeptCheckpoints:
    """A checkpoint as a log is published with it. Raises `Tampered` where it is none."""
    cell, _, service = parse_checkpoint(note.partition("\n\n")[0] + "\n").origin.rpartition("/")
    return KeptCheckpoints(cell=cell, taken_at=taken_at, notes={service: note})
