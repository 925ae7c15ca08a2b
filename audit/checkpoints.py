"""The checkpoints of all services in one file, to be kept where nobody who can write to the stack can reach (mission A2).

Each is the log's own signed note, unchanged; the file adds nothing to be trusted, only which note is whose.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec

from audit.findings import Findings
from audit.public_log import read_published
from shared import clock
from shared.errors import InvalidArgument, Tampered
from shared.events import UNREADABLE
from shared.personal import NotPersonal
from shared.settings import SERVICES, Settings
from shared.tiles import NO_FILE

FORM = "lethe checkpoints 1"
_FIRST_LINE = re.compile(rb"(?P<cell>[a-z0-9-]+)/(?P<service>[a-z]+)\n[0-9]+\n")
"""Of a checkpoint: the log's origin, then its size."""


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


def read_checkpoints(path: Path) -> KeptCheckpoints:
    """Reads such a file, or one log's own signed checkpoint, as it is published. Raises `InvalidArgument`; whether the notes
    hold is for `verify` to say."""
    try:
        octets = path.read_bytes()
    except NO_FILE:
        raise InvalidArgument(field="checkpoint", rule="there is no such file") from None
    note = _FIRST_LINE.match(octets)
    if note is not None:
        cell, service = note["cell"].decode(), note["service"].decode()
        taken = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return KeptCheckpoints(cell=cell, taken_at=taken, notes={service: octets.decode(errors="replace")})
    try:
        kept = msgspec.json.decode(octets, type=KeptCheckpoints)
    except UNREADABLE:
        rule = "must be a file that `lethe audit checkpoint` wrote, or the checkpoint of a log"
        raise InvalidArgument(field="checkpoint", rule=rule) from None
    if kept.form != FORM:
        raise InvalidArgument(field="checkpoint", rule=f"must have the form {FORM!r}")
    return kept
